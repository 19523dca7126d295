"""The figures of seed.py: what is kept of a run, the table in Markdown, and the block of a page that shows it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

OLD = "torch"  # the variant that the others are compared with
NAMES = {OLD: "transformers, torch, sentence-transformers", "normal": "edgequant", "slim": "edgequant, slim"}
BEGIN, END = "<!-- benchmarks/seed.py: begin -->", "<!-- benchmarks/seed.py: end -->"
NOTES = """\
- lists: as each library does by default; sentence-transformers runs 32 at a time by length, a pipeline one at a time
- sizes: files, without Python's caches; packages without models; images with the embedding model. The old stack's
  image is computed, not built: packages, model, and the Python and system libraries of edgequant's own image. Packages
  that run are those of `pip install --no-deps`: nothing imports the others, which the package tokenizers asks for."""
Form = Callable[[float], str]


@dataclass(frozen=True)
class Run:
    """One process, or the medians of many: seconds from its start to the first answer, peak bytes then and at the end.

    Sentences per second of CPU time, on one thread: one at a time, and as one list.
    """

    first_s: float
    first_bytes: float
    peak_bytes: float
    single_per_s: float
    list_per_s: float


@dataclass(frozen=True)
class Work:
    """One model on every variant: medians, and how far the answers of each are from the first variant's."""

    model: str
    runs: dict[str, Run]
    agreement: dict[str, str]


@dataclass(frozen=True)
class Result:
    """All of a run: conditions by name, bytes by variant, and the models by task; ``skipped`` says what and why.

    ``resolved`` is what pip installs by itself, ``installed`` what ran: for edgequant, without what nothing imports.
    """

    conditions: dict[str, str]
    resolved: dict[str, int]
    installed: dict[str, int]
    image: dict[str, int]
    work: dict[str, Work]
    skipped: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def result_of(stored: dict[str, Any]) -> Result:
    """Return the result that ``as_dict`` gave; KeyError or TypeError if it is none."""
    work = {
        task: Work(one["model"], {name: Run(**run) for name, run in one["runs"].items()}, one["agreement"])
        for task, one in stored["work"].items()
    }
    return Result(**{**stored, "work": work})


def render(result: Result) -> str:
    """Return the tables and the conditions in Markdown."""
    names = [NAMES[name] for name in result.installed]
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    sizes = {"packages, as pip resolves them": result.resolved, "packages that run": result.installed}
    lines += [_row(words, _size, found) for words, found in {**sizes, "image, unpacked": result.image}.items()]
    for task, work in result.work.items():
        columns = {name: asdict(run) for name, run in work.runs.items()}
        lines += [
            _row(f"{task}: {words}", form, {name: column[figure] for name, column in columns.items()})
            for figure, words, form in FIGURES
        ]
    said = {task: f"{work.model}; {_agreement(work.agreement)}" for task, work in result.work.items()}
    left = {task: f"not measured: {reason}" for task, reason in result.skipped.items()}
    notes = {**said, **left, **result.conditions}
    return "\n".join([*lines, "", *(f"- {name}: {text}" for name, text in notes.items()), NOTES])


def replaced(page: str, block: str) -> str:
    """Return the page with ``block`` between its two marks; ValueError unless each stands there once, in order."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page needs {BEGIN} and {END}, once each and in this order")
    return f"{page[: page.index(BEGIN)]}{BEGIN}\n{block}\n{page[page.index(END) :]}"


def shown(page: str) -> str:
    """Return what stands between the two marks of a page."""
    return page.partition(f"{BEGIN}\n")[2].partition(f"\n{END}")[0]


def _size(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _rate(value: float) -> str:
    return f"{value:.0f}"


FIGURES: tuple[tuple[str, str, Form], ...] = (
    ("first_s", "process start to first answer", _seconds),
    ("first_bytes", "peak memory at the first answer", _size),
    ("peak_bytes", "peak memory after all sentences", _size),
    ("single_per_s", "sentences per CPU second, one at a time", _rate),
    ("list_per_s", "sentences per CPU second, as one list", _rate),
)


def _row(words: str, form: Form, values: Mapping[str, float]) -> str:
    """Return a row with how it compares with the first variant: 12 MB (1/20), or 400 (4.0x) for a rate."""
    cells = []
    for name, value in values.items():
        ratio = f" ({value / values[OLD]:.1f}x)" if form is _rate else f" (1/{values[OLD] / value:.1f})"
        cells.append(form(value) + (ratio if name != OLD else ""))
    return f"| {words} | " + " | ".join(cells) + " |"


def _agreement(agreement: Mapping[str, str]) -> str:
    """Return what the variants agree on with the first, those that say the same together."""
    words = dict.fromkeys(agreement.values())
    return "; ".join(f"{' and '.join(NAMES[n] for n, w in agreement.items() if w == one)}: {one}" for one in words)
