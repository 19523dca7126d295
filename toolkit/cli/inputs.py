"""Options that name data and models, the same in every command that takes them."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ArgumentGroup
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from toolkit.gate import Judged
from toolkit.runtime.manifest import Task
from toolkit.runtime.options import positive
from toolkit.samples import Samples, shipped_sets
from toolkit.sets import DataSet, evaluation_set
from toolkit.sources import Pooling, SourceOptions
from toolkit.targets import Decision

ROLES = ("text", "text2", "label", "score", "tags")
DECISION_HELP = (
    "pass if the whole confidence interval keeps to the limits, or if the value does (default: the recipe's)"
)


def add_data(parser: ArgumentParser) -> _ArgumentGroup:
    """Add the options of the evaluation set, and return their group."""
    data = parser.add_argument_group("data", "NAME of a shipped set, FILE (csv, tsv, jsonl, parquet, txt), or hub:ID")
    data.add_argument(
        "--eval", metavar="SET", help="texts to judge on, that calibration has not seen (default: by task)"
    )
    data.add_argument("--eval-samples", type=positive, metavar="N", help="use at most N rows")
    data.add_argument(
        "--columns",
        type=_columns,
        metavar="ROLE=COLUMN,…",
        help="columns of your files: text, text2, label, score, tags (default: by the usual names)",
    )
    data.add_argument("--decision", choices=get_args(Decision), help=DECISION_HELP)
    return data


def add_calibration(data: _ArgumentGroup, also: str = "") -> None:
    """Add the options of the calibration set to the group of the evaluation set."""
    data.add_argument("--calibration", metavar="SET", help=f"texts like those of the app{also} (default: by task)")
    data.add_argument("--calibration-samples", type=positive, metavar="N", help="use at most N texts")


def add_model(parser: ArgumentParser) -> None:
    """Add the options of a model."""
    model = parser.add_argument_group("model", "where its own files leave it open, or are wrong")
    model.add_argument("--task", choices=get_args(Task))
    model.add_argument("--pooling", choices=get_args(Pooling))
    model.add_argument("--normalize", action="store_true", default=None, help="embeddings of length 1")
    model.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json")
    model.add_argument("--max-length", type=positive, metavar="TOKENS")
    model.add_argument("--revision", metavar="REV", help="of a hub id: a commit, branch or tag (default: the newest)")
    model.add_argument("--name", help="the bundle's name")


def source_options(args: Namespace, name: str | None) -> SourceOptions:
    """Return what the options say of the model."""
    return SourceOptions(
        args.task, args.pooling, args.normalize, args.tokenizer, args.max_length, name, revision=args.revision
    )


def evaluation(args: Namespace, model: Judged) -> Samples:
    """Return the evaluation set; DataError where its labels or columns are not what the model needs."""
    return evaluation_set(wanted_evaluation(args), model)


def wanted_evaluation(args: Namespace) -> DataSet:
    """Return the evaluation set as the user named it."""
    return DataSet(args.eval, columns_of(args, args.eval), args.eval_samples)


def wanted_calibration(args: Namespace) -> DataSet:
    """Return the calibration set as the user named it."""
    return DataSet(args.calibration, columns_of(args, args.calibration, ("text", "text2")), args.calibration_samples)


def columns_of(args: Namespace, spec: str | None, roles: Sequence[str] = ROLES) -> dict[str, str] | None:
    """Return the columns that the user named: they are those of the user's own files that have columns."""
    shipped = spec is None or spec in {info.name for info in shipped_sets()}
    if shipped or args.columns is None or str(spec).lower().endswith(".txt"):
        return None
    return {role: column for role, column in args.columns.items() if role in roles}


def _columns(text: str) -> dict[str, str]:
    pairs = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if not pairs or len(pairs) != len(text.split(",")) or not set(pairs) <= set(ROLES):
        raise ArgumentTypeError(f"{text!r} is not ROLE=COLUMN,… with the roles {', '.join(ROLES)}")
    return pairs
