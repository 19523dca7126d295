"""Judge weights of 8 and 4 bits of causal models by the gate, and let each generate: the table of docs/llm.md.

usage: llm.py [--capp FOLDER] [MODEL SET]...

MODEL is whatever `edgequant quantize --task text-generation` takes, SET a shipped set or a file of texts. By default
stories260k (tests/golden/stories260k) on tinystories. ``--capp`` is the folder model/ of
github.com/HelgeS/capp-gpt-serve: a GPT-2 that plans how a part is made; it has no texts, so it is judged on plans that
its float model draws by chance for parts of all kinds, and its tokenizer is made of its token_mappings.json. Each row:
the bits of most weights and how they were rounded, perplexity over float32's with its 90 % interval, agreement on the
next token, size, and tokens a second of decoding, one thread, CPU time, median of runs that take turns.
"""

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from toolkit.causal import CausalJob, QuantizedCausal, quantize_causal
from toolkit.causal.subject import source_subject
from toolkit.gate import Verdict
from toolkit.runtime import Generator
from toolkit.samples import Samples, load_samples
from toolkit.sources import SourceOptions
from toolkit.sources.causal import CausalSource, open_causal
from toolkit.targets import Bits, load_recipe

STORIES = Path(__file__).parents[1] / "tests" / "golden" / "stories260k"
VARIANTS: tuple[tuple[Bits, bool], ...] = ((8, False), (4, False), (4, True))  # bits, and whether by GPTQ
PLANS = {"calibration": 64, "evaluation": 200}
TOKENS, ROUNDS = 64, 7


def main() -> None:
    """Print a table for people, and what each model says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capp", type=Path, metavar="FOLDER", help="capp-gpt's folder")
    parser.add_argument("--target", default="x86-vnni", help="whose recipe (default: x86-vnni)")
    parser.add_argument("pairs", nargs="*", metavar="MODEL SET")
    arguments = parser.parse_args()
    pairs = list(zip(arguments.pairs[::2], arguments.pairs[1::2], strict=True)) or [(str(STORIES), "tinystories")]
    print("| model | weights | perplexity | over fp32 | next token | size | tokens/s |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for number, (model, spec) in enumerate(pairs):
            folder = Path(work) / str(number)
            sets = [load_samples(spec, role) for role in ("calibration", "evaluation")] if spec else []
            compare(open_causal(model, SourceOptions(), folder), sets, arguments.target, folder)
        if arguments.capp:
            folder = prepare_capp(arguments.capp, Path(work) / "capp-gpt")
            source = open_causal(str(folder), SourceOptions(), Path(work) / "opened")
            compare(source, plans(source), arguments.target, Path(work) / "made")


def compare(source: CausalSource, sets: Sequence[Samples], target: str, folder: Path) -> None:
    """Print the rows of one model."""
    calibration, evaluation = sets
    made = []
    for bits, gptq in VARIANTS:
        work = folder / f"{bits}-{gptq}"
        work.mkdir(parents=True)
        job = CausalJob(source, load_recipe(target), calibration if gptq else None, evaluation, work, bits)
        made.append(quantize_causal(job))
    subjects = [source_subject(source), *(source_subject(source, one.job.work) for one in made)]
    prompt = evaluation.texts[0].partition(", <SOS>")[0] if "<SOS>" in evaluation.texts[0] else "Once upon a time"
    speeds = decode_speeds([subject.loaded(1) for subject in subjects], prompt)
    first = verdicts(made[0])
    fp32, size = first["perplexity"].fp32, mb(made[0].report.sizes.fp32)
    print(f"| {source.name} | float32 | {fp32:.3f} | | | {size} | {speeds[0]:.0f} |")
    for one, (bits, gptq), speed in zip(made, VARIANTS, speeds[1:], strict=True):
        print(row(one, f"{bits} bits{', GPTQ' if gptq else ''}", speed))
    for name, subject in zip(("float32", "8 bits", "4 bits", "4 bits, GPTQ"), subjects, strict=True):
        found = subject.loaded(1)
        ids = found.encode(prompt)
        said = found.greedy_ids(prompt, min(TOKENS, source.max_length - len(ids) - 1))
        print(f"{name}: {Tokenizer.from_str(source.tokenizer_json).decode([*ids, *said])!r}", file=sys.stderr)


def row(made: QuantizedCausal, name: str, speed: float) -> str:
    """Return a line of the table."""
    found = verdicts(made)
    ratio, agreement, size = found["perplexity_ratio"], found["next_token_agreement"].int8 or 0, made.report.sizes.int8
    ends = [] if ratio.interval is None else [percent(ratio.interval.low), percent(ratio.interval.high)]
    perplexity, over = f"{found['perplexity'].int8:.3f}", f"{percent(ratio.int8)}, {' … '.join(ends)}"
    shown = [perplexity, over, f"{100 * agreement:.1f} %"]
    return f"| | {name} | {' | '.join(shown)} | {mb(size)} | {speed:.0f} |"


def decode_speeds(generators: Sequence[Generator], prompt: str) -> list[float]:
    """Return the tokens a second of each, the median of rounds in which they take turns."""
    times: list[list[float]] = [[] for _ in generators]
    for _, (number, generator) in itertools.product(range(ROUNDS), enumerate(generators)):
        start = time.process_time()
        count = len(generator.greedy_ids(prompt, TOKENS))
        times[number].append(count / (time.process_time() - start))
    return [statistics.median(every) for every in times]


def prepare_capp(folder: Path, out: Path) -> Path:
    """Copy the model and write the tokenizer that its mappings stand for: words between commas."""
    out.mkdir()
    for name in ("model.onnx", "config.json", "generation_config.json"):
        shutil.copyfile(folder / name, out / name)
    ids = json.loads((folder / "token_mappings.json").read_text(encoding="utf-8"))["token2id"]
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<PAD>"))  # noqa: S106 - a token of the model
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(", "), "removed")
    tokenizer.save(str(out / "tokenizer.json"))
    return out


def plans(source: CausalSource) -> list[Samples]:
    """Return plans that the float model draws for parts of all kinds, no one of them in both sets."""
    words = [
        word for word, _ in sorted(json.loads(source.tokenizer_json)["model"]["vocab"].items(), key=lambda at: at[1])
    ]
    kinds = [[at for at, word in enumerate(words) if word.startswith(f"{kind}_")] for kind in
             ("geometry", "holes", "external_threads", "surface_finish", "tolerance", "batch_size")]  # fmt: skip
    random, model, end = np.random.default_rng(0), source_subject(source).loaded(1), words.index("<EOS>")
    found: dict[str, None] = {}
    while len(found) < sum(PLANS.values()):
        tokens = [*(int(random.choice(kind)) for kind in kinds), words.index("<SOS>")]
        while tokens[-1] != end and len(tokens) < 40:
            logits = model.logits(tokens)[-1].astype(np.float64)
            odds = np.exp(logits - logits.max())
            tokens.append(int(random.choice(len(words), p=odds / odds.sum())))
        found[", ".join(words[token] for token in tokens)] = None
    texts = iter(found)
    sets = (Samples(role, "", "", "", tuple(itertools.islice(texts, count))) for role, count in PLANS.items())
    return [one.sealed() for one in sets]


def verdicts(made: QuantizedCausal) -> dict[str, Verdict]:
    """Return the verdicts by metric."""
    return {verdict.metric: verdict for verdict in made.report.verdicts}


def percent(ratio: float | None) -> str:
    """Return how much more or less."""
    return f"{100 * ((ratio or 0) - 1):+.2f} %"


def mb(size: int) -> str:
    """Return megabytes."""
    return f"{size / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
