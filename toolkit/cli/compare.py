"""``edgequant compare``: one model by every engine, and what each one's costs and gives."""

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

import onnx

from toolkit.cli import inputs, terminal
from toolkit.cli.comparison_table import conditions, lines, markdown, table
from toolkit.cli.engines import add_pythons, check_engine, pythons
from toolkit.cli.reach import add_on, reach
from toolkit.compare import Request, compare
from toolkit.compare.comparing import NATIVE
from toolkit.compare.native import NativeOrder
from toolkit.engines.catalog import ENGINES
from toolkit.isa.choose import places
from toolkit.isa.place import Place
from toolkit.runtime.options import positive
from toolkit.sets import calibration_set
from toolkit.sources import DEMO_NAME, Pooling, Source, SourceOptions, demo_model, open_source
from toolkit.targets import Recipe, load_recipe, recipe_files

ALL = (NATIVE, *ENGINES)


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", metavar="MODEL", nargs="?", help=f"as for quantize (default: {DEMO_NAME})")
    parser.add_argument(
        "-t",
        "--target",
        required=True,
        metavar="TARGET",
        help=f"one of {', '.join(recipe_files())}, or a recipe.toml",
    )
    parser.add_argument("--engines", metavar="ENGINE,…", help=f"some of {', '.join(ALL)} (default: all)")
    add_pythons(parser)
    parser.add_argument(
        "--export",
        type=Path,
        metavar="MODEL.onnx",
        help="the float graph of fp32 and of the other engines (default: the one that edgequant quantizes)",
    )
    parser.add_argument(
        "--alike", action="store_true", help="run the others a second time, with the recipe's session settings"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="of edgequant's own engine (default: all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print as JSON")
    form.add_argument("--markdown", action="store_true", help="print in Markdown, with what the figures hold for")
    add_on(parser)
    inputs.add_calibration(inputs.add_data(parser))
    inputs.add_model(parser)


def run(args: Namespace) -> int:
    """Compare and report; exit 1 if an engine that is installed gave no model that runs."""
    engines = tuple(args.engines.split(",")) if args.engines else ALL
    for name in engines:
        check_engine(name, (NATIVE,))
    request = _request(args, load_recipe(args.target), engines)
    with tempfile.TemporaryDirectory(prefix="edgequant-compare-") as folder:
        found = compare(request, Path(folder), terminal.track)
    known = conditions(found)
    if args.json:
        terminal.print_json({"conditions": known, **found.as_dict()})
    elif args.markdown:
        print("\n".join([*(f"- {name}: {value}" for name, value in known.items()), "", *markdown(found)]))
    else:
        terminal.print_table(table(found))
        terminal.out().print("\n".join(["", *lines(found)]), soft_wrap=True, markup=False)
    return 1 if found.failed else 0


def _request(args: Namespace, recipe: Recipe, engines: tuple[str, ...]) -> Request:
    model, name = args.model or str(demo_model()), args.name or (None if args.model else DEMO_NAME)
    options = inputs.source_options(args, name)
    source = open_source(model, options)
    evaluation, wanted = inputs.evaluation(args, source), inputs.wanted_calibration(args)
    calibration = calibration_set(wanted, source, evaluation)
    return Request(
        order=NativeOrder(model, options, recipe, wanted, inputs.wanted_evaluation(args), args.threads),
        source=source,
        given=source if args.export is None else _export(args.export, source),
        calibration=calibration,
        evaluation=evaluation,
        engines=engines,
        pythons=pythons(args),
        place=_place(args, recipe),
        alike=args.alike,
    )


def _place(args: Namespace, recipe: Recipe) -> Place | None:
    return None if args.on is None else places([args.on], recipe.verify, reach(args.qemu))[0]


def _export(path: Path, source: Source) -> Source:
    """Return another graph of the same model: where an export gives token embeddings, the pooling is put behind it."""
    graph = onnx.load(path, load_external_data=False).graph
    tokens = source.task == "embedding" and len(graph.output[0].type.tensor_type.shape.dim) == 3
    pooling = next((mode for mode in get_args(Pooling) if mode == source.pooling), None) if tokens else None
    options = SourceOptions(
        task=source.task,
        pooling=pooling,
        normalize=source.normalize if tokens else None,
        max_length=source.max_length,
        name=source.name,
    )
    return open_source(str(path), options)
