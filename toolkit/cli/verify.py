"""``edgequant verify``: the device's self-check, or with ``--isa`` a bundle on the kernels of its target."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from toolkit.cli.emulation import add_qemu, add_sample, sample_of
from toolkit.errors import MissingExtraError, UsageError
from toolkit.runtime import commands

if TYPE_CHECKING:
    from toolkit.isa.check import IsaReport

# The rest, files and digests, is the same in every place.
TOLD = ("kernels", "instructions", "golden vectors", "layers", "sentences")


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    commands.configure_verify(parser)
    parser.add_argument(
        "--isa",
        action="append",
        metavar="ISA,…",
        help="run it on these kernels here, and prove that they ran: avx2, vnni, neon, dotprod, i8mm, a CPU model of "
        "QEMU, or target (those of the bundle's recipe); on one thread unless --threads says "
        "more; may be given more than once",
    )
    add_sample(parser)
    add_qemu(parser)


def run(args: Namespace) -> int:
    """Verify, and report; exit 1 if something is not as it should be."""
    if args.isa is None:
        if args.sample or args.budget or args.texts:
            raise UsageError("sentences are compared between kernels", hint="name them: --isa target")
        return commands.run_verify(args)
    try:
        report = _check(args)
    except ModuleNotFoundError as error:
        what = f"`edgequant verify --isa` needs the package {error.name}, which is not installed"
        raise MissingExtraError(what, hint="pip install 'edgequant[quantize]'") from None
    from toolkit.cli import terminal  # noqa: PLC0415 - the device has no rich

    if args.json:
        terminal.print_json(report.as_dict())
    else:
        terminal.out().print("\n".join(_lines(report)), soft_wrap=True, markup=False)
    return 0 if report.ok else 1


def _check(args: Namespace) -> "IsaReport":
    from toolkit.cli import terminal  # noqa: PLC0415
    from toolkit.cli.reach import reach  # noqa: PLC0415
    from toolkit.image.bundles import runtime_kind  # noqa: PLC0415
    from toolkit.isa.check import check_places  # noqa: PLC0415
    from toolkit.isa.choose import places, verify_of  # noqa: PLC0415
    from toolkit.runtime.bundle import Bundle, open_any  # noqa: PLC0415
    from toolkit.runtime.signature import verify_signature  # noqa: PLC0415

    names = [name.strip() for given in args.isa for name in given.split(",")]
    if not all(names):
        raise UsageError("a name after --isa is empty", got=", ".join(args.isa), expected="avx2,target or the like")
    bundle = open_any(args.bundle)
    if args.key is not None:
        verify_signature(bundle.folder, args.key.read_bytes())
    if isinstance(bundle, Bundle):
        sample = sample_of(args, bundle.manifest)
    elif args.sample or args.budget or args.texts:
        raise UsageError("the bundle's model reads no sentences", where=bundle.folder, hint="leave --sample out")
    else:
        sample = None
    chosen = places(names, verify_of(bundle.manifest), reach(args.qemu, runtime_kind([bundle], slim=False)))
    return check_places(bundle, chosen, args.threads or 1, sample=sample, track=terminal.track)


def _lines(report: "IsaReport") -> list[str]:
    lines = [report.title, *commands.check_lines(report.checks)]
    for place in report.places:
        lines.append(f"on {place.isa}, {place.how}" + (f": {place.detail}" if place.detail else ""))
        lines += commands.check_lines([check for check in place.checks if check.name in TOLD or not check.ok])
    lines.append("verified on these kernels" if report.ok else "NOT verified: see FAIL above")
    return lines
