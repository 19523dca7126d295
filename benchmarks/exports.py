"""Lower what every exporter makes of every family, and hold it to the original and to edgequant's own graphs.

usage: exports.py [--minilm] [--family FAMILY]... [--write-fixtures] [--json]

For tiny models of random weights: linear layers found of those there are, Q/K/V merged, GELUs, layer
normalizations, nodes, and the largest difference of the lowered float graph to the file. --minilm exports
all-MiniLM-L6-v2 with its real weights, makes int8 of each export and of edgequant's own graph, and compares accuracy
and CPU time, interleaved. --write-fixtures writes the sample that tests/lower/test_exports.py reads. Needs torch:
`make exports` sets that up. Exit 1 if a difference is above 1e-5 or a layer is missing.
"""

import argparse
import collections
import gzip
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime as ort
from export_models import (
    ATTENTIONS,
    EXPORTERS,
    FAMILIES,
    HEADS,
    HIDDEN,
    OPSETS,
    TYPED,
    VOCABULARY,
    Way,
    export,
    fused,
    halved,
    tiny,
)
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, ShapeInferencePass

from toolkit.cli import terminal
from toolkit.lower import Lowered, lower

FIXTURES = Path(__file__).parent.parent / "tests" / "golden" / "exports"
LIMIT = 1e-5
SHAPES = ((1, 1), (1, 7), (3, 5), (2, 33))
LAYERS = 2
SAMPLE = {
    "bert": (
        *(Way("optimum", "eager", 13), Way("optimum", "sdpa", 14), Way("torchscript", "sdpa", 17)),
        *(Way("dynamo", "eager", 17), Way("dynamo", "sdpa", 18), Way("dynamo", "sdpa", 20)),
    ),
    "roberta": (Way("optimum", "sdpa", 17), Way("dynamo", "sdpa", 18)),
    "distilbert": (Way("optimum", "eager", 13), Way("dynamo", "sdpa", 18)),
    "mpnet": (Way("optimum", "eager", 14), Way("dynamo", "eager", 20)),
    "albert": (Way("torchscript", "eager", 13), Way("dynamo", "sdpa", 18)),
    "electra": (Way("optimum", "eager", 17),),
}
FUSED = ("bert", "roberta")

Feed = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Row:
    """What lowering found in one file; ``failed`` says why there is none."""

    family: str
    way: Way
    linears: str = ""
    merged: str = ""
    gelu: str = ""
    layer_norm: str = ""
    nodes: str = ""
    difference: float = 0.0
    failed: str = ""

    @property
    def good(self) -> bool:
        """Whether all is found and the function is the same."""
        counts = (self.linears, self.merged, self.gelu, self.layer_norm)
        return bool(self.failed) or (self.difference <= LIMIT and all(len({*c.split("/")}) == 1 for c in counts))


def main() -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description="lower what every exporter makes of every family")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="default: all")
    parser.add_argument("--minilm", action="store_true", help="all-MiniLM-L6-v2 instead: accuracy and CPU time of int8")
    parser.add_argument("--write-fixtures", action="store_true", help="write tests/golden/exports instead")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    if args.write_fixtures:
        return write_fixtures()
    if args.minilm:
        from exports_minilm import compare  # noqa: PLC0415 - loads the data sets

        return compare(as_json=args.json)
    rows = list(matrix(args.family or list(FAMILIES), show=not args.json))
    if args.json:
        terminal.print_json([asdict(row) for row in rows])
    return int(not all(row.good for row in rows))


def matrix(families: Sequence[str], *, show: bool) -> Iterator[Row]:
    """Return a row for each family, exporter, attention and opset."""
    if show:
        print("| family | exporter | attention | opset | linear | Q/K/V | GELU | layer norm | nodes | difference |")
        print("|---|---|---|---|---|---|---|---|---|---|")
    ways = [Way(exporter, attention, opset) for exporter in EXPORTERS for attention in ATTENTIONS for opset in OPSETS]
    for family in families:
        with tempfile.TemporaryDirectory() as out:
            folder = tiny(family, Path(out))
            for way in ways:
                row = examine(family, way, folder)
                if show:
                    print_row(row)
                yield row


def examine(family: str, way: Way, folder: Path) -> Row:
    """Export and lower one model."""
    try:
        model = read(export(folder, way))
    except Exception as error:  # noqa: BLE001 - whatever an exporter raises is its answer
        return Row(family, way, failed=str(error).strip().partition("\n")[0][:80])
    found = lower(model)
    kinds = collections.Counter(node.op_type for node in found.model.graph)
    projected = int(family in ("albert", "electra"))
    return Row(
        family=family,
        way=way,
        linears=f"{len(found.linears)}/{4 * LAYERS + projected}",
        merged=f"{sum(linear.weight.shape == (HIDDEN, 3 * HIDDEN) for linear in found.linears)}/{LAYERS}",
        gelu=f"{kinds['Gelu'] + kinds['FastGelu']}/{LAYERS}",
        layer_norm=f"{kinds['LayerNormalization']}/{2 * LAYERS + 1}",
        nodes=f"{len(list(model.graph))} to {len(list(found.model.graph))}",
        difference=difference(family, model, found),
    )


def print_row(row: Row) -> None:
    """Print one row in Markdown."""
    way = f"| {row.family} | {row.way.exporter} | {row.way.attention} | {row.way.opset} "
    if row.failed:
        print(f"{way}| not exported: {row.failed} ||||||")
        return
    counts = f"{row.linears} | {row.merged} | {row.gelu} | {row.layer_norm} | {row.nodes}"
    print(f"{way}| {counts} | {row.difference:.1e} |", flush=True)


def read(proto: bytes) -> ir.Model:
    """Return the model as edgequant reads it."""
    model = ir.from_proto(onnx.load_from_string(proto))
    ShapeInferencePass()(model)
    return model


def difference(family: str, model: ir.Model, found: Lowered) -> float:
    """Return the largest difference of what two graphs give, over SHAPES with padding; infinity where one is NaN."""
    sessions = [
        ort.InferenceSession(ir.to_proto(each).SerializeToString(), providers=["CPUExecutionProvider"])
        for each in (model, found.model)
    ]
    off = 0.0
    for shape in SHAPES:
        given = feed(family, shape)
        before, after = (session.run(None, given)[0] for session in sessions)
        apart = np.abs(before - after).max()
        off = max(off, float(apart) if np.isfinite(apart) else np.inf)
    return off


def feed(family: str, shape: tuple[int, int]) -> Feed:
    """Return random ids, the later rows padded."""
    random = np.random.default_rng(0)
    mask = np.ones(shape, np.int64)
    for row in range(1, shape[0]):
        mask[row, max(1, shape[1] - 2 * row) :] = 0
    found = {"input_ids": random.integers(3, VOCABULARY, shape), "attention_mask": mask}
    return found | ({"token_type_ids": random.integers(0, 2, shape)} if family in TYPED else {})


def write_fixtures() -> int:
    """Write the sample, without what exporters note of their source."""
    FIXTURES.mkdir(exist_ok=True)
    for family, ways in SAMPLE.items():
        with tempfile.TemporaryDirectory() as out:
            folder = tiny(family, Path(out))
            for way in ways:
                store(f"{family}-{way.exporter}-{way.attention}-{way.opset}", read(export(folder, way)))
            if family in FUSED:
                plain = export(folder, Way("optimum", "eager", 14))
                store(f"{family}-fused", read(fused(plain, HEADS, HIDDEN)))
            if family == "bert":
                store(f"{family}-float16", read(halved(plain)))
    total = sum(path.stat().st_size for path in FIXTURES.iterdir())
    print(f"wrote {FIXTURES}, {total / 1e3:.0f} kB")
    return 0


def store(name: str, model: ir.Model) -> None:
    """Write one file, compressed."""
    ClearMetadataAndDocStringPass()(model)
    content = gzip.compress(ir.to_proto(model).SerializeToString(deterministic=True), mtime=0)
    (FIXTURES / f"{name}.onnx.gz").write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
