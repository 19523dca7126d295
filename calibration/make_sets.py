"""Make the data files of the shipped sets from their originals; the same originals give the same bytes.

    python calibration/make_sets.py --sts STSBenchmark --vader vaderSentiment-3.3.2.tar.gz --wnut emerging_entities_17

``STSBenchmark`` is the unpacked folder of the STS benchmark (``sts-train.csv``, ``sts-test.csv``,
``LICENSE.txt``); the next is the source distribution of vaderSentiment 3.3.2 as PyPI has it, the last the
folder of WNUT-17 (``wnut17train.conll``, ``emerging.test.annotated``). For causal language models ``--wikitext`` is the
folder of WikiText-2 (``wiki.valid.raw``, ``wiki.test.raw``) and ``--tinystories`` one with the first 200 KB of
TinyStories' training split (``tinystories_train_head.txt``, a blank line between stories and paragraphs) and some
stories of its validation split (``tinystories_sample.txt``, ``<|endoftext|>`` between them). Prints the rows and the
sha256 of each file, which ``set.toml`` repeats.
"""  # noqa: INP001

import argparse
import csv
import hashlib
import html
import io
import re
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

# STS-B: the parts of the train split whose licence allows to pass them on, and sentences of each.
STS_CALIBRATION = {"headlines": 300, "images": 300}
STS_COLUMNS = ("genre", "file", "year", "id", "score", "sentence1", "sentence2", "licence1", "licence2")
# vaderSentiment: rows for each of the eight pairs of source and label.
VADER_SOURCES = ("tweets", "movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets")
VADER_CALIBRATION, VADER_EVALUATION = 75, 200
VADER_LEAST_RATING = 0.5  # of 4; what people rated closer to 0 has no clear label

# WNUT-17: sentences of the training split to take ranges from.
WNUT_CALIBRATION = 600

# WikiText-2: paragraphs of the validation split to calibrate, of the test split to judge, and how long they are.
ARTICLES = {"calibration.csv": ("wiki.valid.raw", 64), "evaluation.csv": ("wiki.test.raw", 120)}
ARTICLE_CHARACTERS = (400, 1000)
TOKENIZED = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), (" ,", ","), (" .", "."), (" ;", ";"), (" :", ":"))
TOKENIZED += ((" 's", "'s"), (" ' ", "' "), ("( ", "("), (" )", ")"), (" n't", "n't"), (" %", "%"))

# TinyStories: stories to calibrate and to judge.
STORIES = {"calibration.csv": 64, "evaluation.csv": 100}
BEGINNING = r"\n\n(?=Once upon |Once there )"

Row = Sequence[str]


def order(text: str) -> str:
    """Return the key by which rows are shuffled: a shuffle that no library version changes."""
    return hashlib.sha256(text.encode()).hexdigest()


def by_text(row: Row) -> str:
    """Return the key by which rows are shuffled: that of their first field."""
    return order(row[0])


def sameness(text: str) -> str:
    """Return what two texts share that differ only by case, spaces or punctuation."""
    return re.sub(r"\W+", " ", text.casefold()).strip()


def usable(text: str) -> bool:
    """Tell whether a text has three words and no character that betrays a broken encoding."""
    return len(text.split()) >= 3 and not re.search("[\x00-\x1f\x7f-\x9f\ufffd]|\u00e2\u20ac|\u201a\u00c4", text)


def as_csv(header: Row, rows: Iterable[Row]) -> bytes:
    """Return the bytes of a csv file."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue().encode()


def sts_rows(path: Path) -> list[list[str]]:
    """Read a file of the benchmark: fields between tabs, no quoting, the last two fields optional."""
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = [line.split("\t") for line in lines if line]
    return [row + [""] * (len(STS_COLUMNS) - len(row)) for row in rows]


def spread(rows: Iterable[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """Pick texts of every length alike: one of each class of ten characters in turn."""
    classes: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for row in sorted(rows, key=by_text):
        classes[len(row[0]) // 10].append(row)
    turns = zip_longest(*(classes[size] for size in sorted(classes)))
    return [row for row in chain.from_iterable(turns) if row is not None][:count]


def stsb(folder: Path) -> dict[str, bytes]:
    """Return the files of the set ``stsb``: the whole test split, and single sentences of train."""
    test = sts_rows(folder / "sts-test.csv")
    seen = {sameness(text) for row in test for text in row[5:7]}
    candidates: dict[str, list[tuple[str, str]]] = {file: [] for file in STS_CALIBRATION}
    for row in sts_rows(folder / "sts-train.csv"):
        for number, text in enumerate((" ".join(field.split()) for field in row[5:7]), 1):
            if row[1] in candidates and usable(text) and sameness(text) not in seen:
                seen.add(sameness(text))
                candidates[row[1]].append((text, "/".join([*row[1:4], str(number)])))
    picked = [row for file, count in STS_CALIBRATION.items() for row in spread(candidates[file], count)]
    return {
        "calibration.csv": as_csv(("text", "origin"), sorted(picked, key=by_text)),
        "evaluation.csv": as_csv(STS_COLUMNS, test),
        "LICENSE.txt": (folder / "LICENSE.txt").read_bytes(),
    }


def member(archive: tarfile.TarFile, end: str) -> bytes:
    """Return the bytes of the one file whose path ends so."""
    (name,) = (name for name in archive.getnames() if name.endswith(end))
    file = archive.extractfile(name)
    if file is None:
        sys.exit(f"{name} is no file")
    return file.read()


def vader_rows(data: bytes, source: str) -> Iterable[Row]:
    """Yield text, label, rating, source and id of the rows that people rated clearly.

    The files are UTF-8, but their ampersands were escaped, some of them twice.
    """
    for line in data.decode("utf-8").splitlines():
        number, rating, raw = line.split("\t")
        text = " ".join(html.unescape(html.unescape(raw)).split())
        if abs(float(rating)) >= VADER_LEAST_RATING and usable(text):
            yield text, "negative" if float(rating) < 0 else "positive", rating, source, number


def vader(sdist: Path) -> dict[str, bytes]:
    """Return the files of the set ``vader-sentiment``: the four sources and both labels alike."""
    cells: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    seen: set[str] = set()
    with tarfile.open(sdist) as outer:
        licence = member(outer, "/LICENSE.txt")
        with tarfile.open(fileobj=io.BytesIO(member(outer, "/hutto_ICWSM_2014.tar.gz"))) as inner:
            for source in VADER_SOURCES:
                for row in vader_rows(member(inner, f"/{source}_GroundTruth.txt"), source):
                    if sameness(row[0]) not in seen:
                        seen.add(sameness(row[0]))
                        cells[source, row[1]].append(row)
    ordered = [sorted(cells[cell], key=by_text) for cell in sorted(cells)]
    calibration = chain.from_iterable(rows[:VADER_CALIBRATION] for rows in ordered)
    evaluation = chain.from_iterable(rows[VADER_CALIBRATION:][:VADER_EVALUATION] for rows in ordered)
    header = ("text", "label", "rating", "source", "id")
    return {
        "calibration.csv": as_csv(header, sorted(calibration, key=by_text)),
        "evaluation.csv": as_csv(header, sorted(evaluation, key=by_text)),
        "LICENSE.txt": licence,
    }


def wnut_rows(path: Path) -> list[tuple[str, str]]:
    """Read a CoNLL file: a word and its tag a line, a blank line between sentences; return their texts and tags."""
    blocks = re.split(r"\n[ \t]*\n", path.read_text(encoding="utf-8"))
    sentences = [[line.split("\t") for line in block.split("\n") if line.strip()] for block in blocks]
    return [tuple(" ".join(each) for each in zip(*words, strict=True)) for words in sentences if words]


def wnut(folder: Path) -> dict[str, bytes]:
    """Return the files of the set ``wnut17``: the whole test split, and sentences of the training split."""
    test = wnut_rows(folder / "emerging.test.annotated")
    seen = {sameness(text) for text, _ in test}
    fresh = {sameness(row[0]): row for row in wnut_rows(folder / "wnut17train.conll") if usable(row[0])}
    picked = spread((row for key, row in fresh.items() if key not in seen), WNUT_CALIBRATION)
    return {
        "calibration.csv": as_csv(("text", "tags"), sorted(picked, key=by_text)),
        "evaluation.csv": as_csv(("text", "tags"), test),
    }


def paragraphs(path: Path) -> Iterable[Row]:
    """Yield the paragraphs of WikiText of a middling length, their marks put back, and the article of each."""
    article = ""
    for line in path.read_text(encoding="utf-8").split("\n"):
        heading = re.fullmatch(r" = ([^=].*[^=]) = ", line)
        article = heading[1] if heading else article
        text = " ".join(line.split())
        for marks, plain in TOKENIZED:
            text = text.replace(marks, plain)
        text = re.sub(r'" ([^"]*) "', r'"\1"', text)
        if not heading and "<unk>" not in text and ARTICLE_CHARACTERS[0] <= len(text) <= ARTICLE_CHARACTERS[1]:
            yield text, article


def wikitext(folder: Path) -> dict[str, bytes]:
    """Return the files of the set ``articles``."""
    made = {}
    for name, (file, count) in ARTICLES.items():
        rows = sorted((row for row in paragraphs(folder / file) if usable(row[0])), key=by_text)[:count]
        made[name] = as_csv(("text", "article"), rows)
    return made


def stories(folder: Path) -> dict[str, bytes]:
    """Return the files of the set ``tinystories``: no story is in both."""
    train = re.split(BEGINNING, (folder / "tinystories_train_head.txt").read_text(encoding="utf-8"))[:-1]  # cut off
    valid = (folder / "tinystories_sample.txt").read_text(encoding="utf-8").split("<|endoftext|>")
    every = [(text, split) for split, texts in (("valid", valid), ("train", train)) for text in texts if text.strip()]
    fresh = {sameness(text): (text.strip().replace("\n\n", "\n"), split) for text, split in every}
    kept = [row for row in fresh.values() if usable(row[0].replace("\n", " "))]
    held = [row for row in kept if row[1] == "valid"]
    others = sorted((row for row in kept if row[1] == "train"), key=by_text)
    wanted = STORIES["evaluation.csv"] - len(held)
    evaluation, calibration = [*held, *others[:wanted]], others[wanted:][: STORIES["calibration.csv"]]
    return {
        "calibration.csv": as_csv(("text", "split"), calibration),
        "evaluation.csv": as_csv(("text", "split"), evaluation),
    }


def main() -> None:
    """Write the files beside this script, or into the folder that ``--out`` names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sts", type=Path, help="folder of the STS benchmark")
    parser.add_argument("--vader", type=Path, help="source distribution of vaderSentiment 3.3.2")
    parser.add_argument("--wnut", type=Path, help="folder of WNUT-17")
    parser.add_argument("--wikitext", type=Path, help="folder of WikiText-2, raw")
    parser.add_argument("--tinystories", type=Path, help="folder with stories")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the folders of the sets are")
    arguments = parser.parse_args()
    sets = {}
    if arguments.sts:
        sets["stsb"] = stsb(arguments.sts)
    if arguments.vader:
        sets["vader-sentiment"] = vader(arguments.vader)
    if arguments.wnut:
        sets["wnut17"] = wnut(arguments.wnut)
    if arguments.wikitext:
        sets["articles"] = wikitext(arguments.wikitext)
    if arguments.tinystories:
        sets["tinystories"] = stories(arguments.tinystories)
    for name, files in sets.items():
        (arguments.out / name).mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            (arguments.out / name / file).write_bytes(data)
            rows = sum(1 for _ in csv.reader(io.StringIO(data.decode(), newline=""))) - 1
            print(name, file, f"rows={rows}" if file.endswith(".csv") else "", hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
