"""Do the seed's work with transformers + torch + sentence-transformers and with edgequant, side by side.

usage: seed.py [--rounds N] [--sentences N] [--torch PIP_ARGUMENTS] [--classifier FOLDER] [--cache DIR]
               [--json] [--save FILE] [--write PAGE]        measure; or
       seed.py --from FILE [--json] [--write PAGE]          what --save kept

all-MiniLM-L6-v2 embeds, a fine-tuned RoBERTa classifies (skipped with the reason where its weights are not to be had).
Each variant has an environment of its own, made in the cache folder on the first run. A round starts one process of
each variant, one after the other; figures are medians of the rounds. A process loads, answers one sentence, then all,
one at a time, then all as one list, with one thread, by the plain code of the seed's app and of ours. Wall time is
from the parent's start of the process to the first answer; memory is the process's own peak (VmHWM); throughput is by
the process's CPU time. As root the processes run before all others (chrt -r 1), where the system allows it.

Sizes are of files, without Python's caches. edgequant runs with the packages that it needs (pip install --no-deps);
what pip resolves by itself is weighed too. edgequant's images are built; the other stack's is computed, not built: its
installed packages, its model, and as base the Python and system libraries of edgequant's own image, less than any base
that one would take. A page that --write changes has two marks, and all between them is replaced.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seed_setup import (
    CLASSIFIER,
    Variant,
    bundle_of,
    bytes_of,
    classifier_model,
    images,
    variants,
    version_of,
)
from seed_table import OLD, Result, Run, Work, render, replaced, result_of

from toolkit.cli.doctor import diagnose
from toolkit.cli.reach import cache_folder
from toolkit.samples import load_samples
from toolkit.sources import DEMO_NAME, demo_model

TASKS = {"embedding": "stsb", "classification": "vader-sentiment"}
KEPT = 64  # answers that are compared
LOAD = {
    (OLD, "embedding"): """
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(folder, device="cpu")
answer = lambda texts: model.encode(texts, show_progress_bar=False).tolist()
""",
    (OLD, "classification"): """
from transformers import pipeline
model = pipeline("text-classification", model=folder, device="cpu")
answer = lambda texts: [found["label"] for found in model(texts, truncation=True)]
""",
    ("edgequant", "embedding"): """
from toolkit.runtime import load
model = load(folder, 1)
answer = lambda texts: model.embed(texts).tolist()
""",
    ("edgequant", "classification"): """
from toolkit.runtime import load
model = load(folder, 1)
answer = lambda texts: [found[0].label for found in model.classify(texts, 1)]
""",
}
CHILD = """
import sys, time
folder, file, kept = sys.argv[1], sys.argv[2], int(sys.argv[3])
{load}
answer(["A man is playing a guitar."])
first = time.monotonic()
def peak():
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
memory = peak()
import json
texts = json.load(open(file, encoding="utf-8"))
start = time.process_time()
for text in texts:
    answer([text])
single = time.process_time() - start
start = time.process_time()
answers = answer(texts)
together = time.process_time() - start
report = dict(first=first, memory=memory, peak=peak(), single=len(texts) / single, list=len(texts) / together)
print(json.dumps(dict(report, answers=answers[:kept])))
"""
QUIET = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure or read, print, and write what is asked for."""
    args = _parser().parse_args(arguments)
    if args.write:
        _marked(args.write)  # before the measurement, not after
    if args.classifier and not (args.classifier / "config.json").is_file():
        raise SystemExit(f"--classifier: {args.classifier} is no model's folder: it has no config.json")
    result = stored(args.stored) if args.stored else measure(args)
    text = json.dumps(result.as_dict(), indent=2)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")
    print(text if args.json else render(result))
    if args.write:
        args.write.write_text(replaced(_marked(args.write), render(result)), encoding="utf-8")
    return 0


def stored(file: Path) -> Result:
    """Return what --save kept."""
    return result_of(json.loads(file.read_text(encoding="utf-8")))


def measure(args: argparse.Namespace) -> Result:
    """Set up what is not there, and measure all."""
    cache = args.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    ran = variants(cache, args.torch)
    models, skipped = _models(cache, args.classifier)
    resolved = {name: bytes_of(variant.resolved) for name, variant in ran.items()}
    installed = {name: bytes_of(variant.installed) for name, variant in ran.items()}
    work = {}
    for task, (folder, bundle) in models.items():
        texts = load_samples(TASKS[task], "evaluation").texts
        step = max(1, len(texts) // args.sentences)
        places = {name: folder if name == OLD else bundle for name in ran}
        file = cache / f"{task}.json"
        file.write_text(json.dumps(texts[::step][: args.sentences]), encoding="utf-8")
        work[task] = compare(task, ran, places, file, args.rounds)
    folder, bundle = models["embedding"]
    image = images(cache, bundle, installed[OLD] + bytes_of(folder))
    return Result(conditions(ran, args), resolved, installed, image, work, skipped)


def compare(task: str, ran: dict[str, Variant], places: dict[str, Path], file: Path, rounds: int) -> Work:
    """Return the medians of all variants on one task, after one round that fills caches."""
    runs: dict[str, list[Run]] = {name: [] for name in ran}
    answers: dict[str, list[Any]] = {}
    for number in range(rounds + 1):
        for name, variant in ran.items():
            print(f"{task}, round {number} of {rounds}: {name}", file=sys.stderr)
            run, answers[name] = start(variant, (name if name == OLD else "edgequant", task), places[name], file)
            if number:
                runs[name].append(run)
    medians = {name: _medians(found) for name, found in runs.items()}
    agreement = {name: agree(answers[OLD], found) for name, found in answers.items() if name != OLD}
    return Work(places[OLD].name if task != "embedding" else DEMO_NAME, medians, agreement)


def start(variant: Variant, kind: tuple[str, str], model: Path, file: Path) -> tuple[Run, list[Any]]:
    """Start one process; return its figures, and its first answers."""
    code = CHILD.format(load=LOAD[kind])
    command = [*before_all_others(), *variant.command, "-c", code, str(model), str(file), str(KEPT)]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=variant.folder, env={**_plain(), **QUIET}, stdout=subprocess.PIPE, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    run = Run(told["first"] - began, told["memory"], told["peak"], told["single"], told["list"])
    return run, told["answers"]


def before_all_others() -> tuple[str, ...]:
    """Return the command that runs another in real time, where this process may and the system can; else nothing."""
    if os.geteuid() or shutil.which("chrt") is None:
        return ()
    tried = subprocess.run(["chrt", "-r", "1", "true"], stderr=subprocess.DEVNULL, check=False)
    return ("chrt", "-r", "1") if tried.returncode == 0 else ()


def agree(old: Sequence[Any], new: Sequence[Any]) -> str:
    """Return how near the answers are: cosines of embeddings, or how many labels are the same."""
    if isinstance(old[0], str):
        return f"{sum(map(str.__eq__, old, new))} of {len(old)} labels the same"
    found = [sum(map(float.__mul__, a, b)) / math.hypot(*a) / math.hypot(*b) for a, b in zip(old, new, strict=True)]
    return f"cosine of {len(found)} embeddings {statistics.mean(found):.4f} on average, {min(found):.4f} at least"


def conditions(ran: dict[str, Variant], args: argparse.Namespace) -> dict[str, str]:
    """Return what the figures hold for."""
    found = diagnose()
    order = "before all other processes (chrt -r 1)" if before_all_others() else "among other processes"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{found.cpu}, {len(os.sched_getaffinity(0))} cores, kernels of {found.target}",
        "load": f"{', '.join(f'{value:.1f}' for value in os.getloadavg())} at the end; measured {order}",
        "versions before": f"python {sys.version.split()[0]}, "
        + version_of(ran[OLD], "torch", "transformers", "sentence-transformers"),
        "versions after": version_of(ran["normal"], "edgequant", "onnxruntime", "tokenizers", "numpy"),
        "figures": f"medians of {args.rounds} rounds, variants in turn, one thread, {args.sentences} sentences, "
        "files in the page cache",
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="processes of each variant (default: 5)")
    parser.add_argument("--sentences", type=int, default=300, metavar="N", help="sentences to answer (default: 300)")
    parser.add_argument("--torch", default="torch", metavar="ARGS", help="what pip installs torch by (default: torch)")
    parser.add_argument("--classifier", type=Path, metavar="FOLDER", help=f"a float classifier (default: {CLASSIFIER})")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "seed", metavar="DIR", help="of environments")
    parser.add_argument("--from", dest="stored", type=Path, metavar="FILE", help="measure nothing: what --save kept")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the result as JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace the block between the marks of a page")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    return parser


def _marked(page: Path) -> str:
    """Return the text of a page that has the two marks; SystemExit if it has not."""
    text = page.read_text(encoding="utf-8")
    try:
        replaced(text, "")
    except ValueError as error:
        raise SystemExit(f"{page}: {error}") from None
    return text


def _models(cache: Path, classifier: Path | None) -> tuple[dict[str, tuple[Path, Path]], dict[str, str]]:
    """Return float folder and bundle of each task, and why a task has none."""
    embedding = demo_model()
    models = {"embedding": (embedding, bundle_of(cache, embedding, DEMO_NAME))}
    found = classifier or classifier_model(cache)
    if isinstance(found, str):
        return models, {"classification": found}
    models["classification"] = (found, bundle_of(cache, found, found.name))
    return models, {}


def _medians(runs: Sequence[Run]) -> Run:
    return Run(*map(statistics.median, zip(*map(astuple, runs), strict=True)))


def _plain() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


if __name__ == "__main__":
    sys.exit(main())
