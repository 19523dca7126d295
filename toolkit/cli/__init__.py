"""``edgequant``: the command line. stdout is data, stderr is talk; nothing ever asks a question."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import toolkit
from toolkit.errors import MissingExtraError
from toolkit.runtime import commands, failures, text_commands
from toolkit.runtime.run_command import register_run
from toolkit.runtime.server.command import register_server
from toolkit.runtime.unpack_command import WHAT

# Command → (module, help). A module is imported when its command runs, so that a device needs no extra for the others.
COMMANDS = {
    "quantize": ("turn a float model into a gated int8 bundle for one target CPU", "quantize"),
    "prepare": ("gate, bundle and put into one image all the models that a stack.toml names", "prepare"),
    "gate": ("judge an int8 model by its float model: a bundle, or any two ONNX text models", "gate"),
    "verify": (commands.VERIFY, "verify"),
    "report": ("render the gate's report of a bundle or a file: a page, JUnit XML, markdown, annotations", "report"),
    "inspect": ("show what was decided for every tensor of a bundle, and why", "inspect"),
    "parity": ("run one bundle on every int8 kernel that this machine can reach, and compare them", "parity"),
    "compare": (
        "quantize one model by every engine: size, accuracy, time and memory side by side",
        "compare",
    ),
    "cost": ("count the instructions of fp32 and int8 on CPUs that cannot be timed here", "cost"),
    "targets": ("list the target CPUs, or explain one recipe", "targets"),
    "sets": ("list the calibration and evaluation sets that are shipped", "sets"),
    "keygen": ("make a pair of keys: one signs, the other tells on a device who signed", "keygen"),
    "sign": ("sign a bundle or an image with a private key", "sign"),
    "kit": ("write one archive for a host without the internet: bundles, runtime, install script", "kit"),
    "sbom": ("print what a bundle or an image is made of, in CycloneDX, or how it was made", "sbom"),
    "unpack": (WHAT, "unpack"),
    "image": ("build, inspect, verify, unpack and push OCI images of bundles, without a daemon", "image"),
    "doctor": ("tell what this CPU is, which target suits it and what is missing", "doctor"),
}
# What `edgequant image` does with an image; without one of these words it builds.
IMAGE_ACTIONS = ("build", "inspect", "verify", "unpack", "push", "lock")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 fine, 1 failure, 2 usage or recipe, 3 gate failed."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["image"] and not {*arguments[1:2]} <= {*IMAGE_ACTIONS, "-h", "--help"}:
        arguments.insert(1, "build")
    parser = argparse.ArgumentParser(
        prog="edgequant",
        description="Float text models in, statically calibrated and accuracy-gated int8 bundles out.",
        epilog="Exit status: 0 fine, 1 failure, 2 usage or recipe, 3 gate failed.",
    )
    parser.add_argument("--version", action="version", version=f"edgequant {toolkit.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (what, module) in COMMANDS.items():
        described = subparsers.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        if name in arguments[:1]:
            try:
                described.set_defaults(run=_configured(described, name, module))
            except MissingExtraError as missing:  # its arguments are not known, so none of them can be called wrong
                return failures.run_command(argparse.Namespace(run=_raising(missing)))
    text_commands.register(subparsers)
    register_run(subparsers)
    register_server(subparsers)
    return failures.run_command(parser.parse_args(arguments))


def _configured(parser: argparse.ArgumentParser, name: str, module: str) -> Callable[[argparse.Namespace], int]:
    """Add the command's arguments to its parser and return what runs it; MissingExtraError without its packages."""
    try:
        command = import_module(f"toolkit.cli.{module}")
    except ModuleNotFoundError as error:
        missing = MissingExtraError(
            f"`edgequant {name}` needs the package {error.name}, which is not installed",
            hint="pip install 'edgequant[quantize]'",
        )
        raise missing from None
    command.configure(parser)
    run: Callable[[argparse.Namespace], int] = command.run
    return run


def _raising(error: MissingExtraError) -> Callable[[argparse.Namespace], int]:
    def run(_args: argparse.Namespace) -> int:
        raise error

    return run
