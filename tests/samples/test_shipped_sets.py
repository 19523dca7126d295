"""The sets that come with edgequant: what they promise, and what happens when a file of theirs changes."""

import csv
import io
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.errors import DataError, RecipeError, UsageError
from toolkit.samples import check_disjoint, default_set, load_samples, shipped, shipped_sets

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "calibration"
STS = ROOT.parent / "shared" / "data" / "sts" / "STSBenchmark"
WNUT = ROOT.parent / "shared" / "data" / "wnut17"
WIKITEXT, TINYSTORIES = STS.parents[1] / "wikitext2", STS.parents[1] / "lmtext"
NAMES = ("stsb", "vader-sentiment", "wnut17")
TEXTS = ("articles", "tinystories")


def test_list_and_defaults() -> None:
    assert [(each.name, each.tasks) for each in shipped_sets()] == [
        ("articles", ("text-generation",)),
        ("stsb", ("embedding", "reranking")),
        ("tinystories", ("text-generation",)),
        ("vader-sentiment", ("classification",)),
        ("wnut17", ("token-classification",)),
    ]
    assert [(each.calibration_rows, each.evaluation_rows) for each in shipped_sets()] == [
        (64, 120),
        (600, 1379),
        (46, 100),
        (600, 1600),
        (600, 1287),
    ]
    assert all(each.licence and each.source and each.description for each in shipped_sets())
    tasks = ("embedding", "classification", "token-classification")
    assert tuple(map(default_set, tasks)) == NAMES
    assert default_set("reranking") == "stsb"
    assert default_set("text-generation") == "articles"


def test_no_default_for_another_task() -> None:
    with pytest.raises(UsageError, match="did you mean 'embedding'"):
        default_set("embeddings")


@pytest.mark.parametrize("name", NAMES)
def test_disjoint_with_long_inputs_and_licence_beside(name: str) -> None:
    calibration, evaluation = load_samples(name, "calibration"), load_samples(name, "evaluation")
    check_disjoint(calibration, evaluation)
    others = 400 if name == "stsb" else 0
    assert len(calibration.texts) == len(set(calibration.texts)) == 600 + 24 + others
    sentences, paragraphs = calibration.texts[:600], calibration.texts[600:624]
    assert all(900 < len(text) <= 1200 for text in paragraphs)
    assert " ".join(sentences).startswith(" ".join(paragraphs))
    assert calibration.licence.startswith(evaluation.licence)
    assert evaluation.licence != "not stated"
    assert (FOLDER / name / "LICENSE.txt").read_bytes()
    assert (FOLDER / name / "README.md").read_text(encoding="utf-8").startswith(f"# {name}\n")


@pytest.mark.parametrize("name", TEXTS)
def test_texts_for_language_models(name: str) -> None:
    calibration, evaluation = load_samples(name, "calibration"), load_samples(name, "evaluation")
    check_disjoint(calibration, evaluation)
    assert all(len(text) > 150 for text in (*calibration.texts, *evaluation.texts))
    assert (FOLDER / name / "LICENSE.txt").read_bytes()
    assert (FOLDER / name / "README.md").read_text(encoding="utf-8").startswith(f"# {name}\n")


def test_stsb() -> None:
    found = load_samples("stsb", "evaluation")
    assert found.pairs is not None
    assert found.scores is not None
    assert (found.texts[0], found.pairs[0], found.scores[0]) == (
        "A girl is styling her hair.",
        "A girl is brushing her hair.",
        2.5,
    )
    assert len(found.texts) == len(found.pairs) == len(found.scores) == 1379
    assert (min(found.scores), max(found.scores)) == (0, 5)
    with (FOLDER / "stsb" / "calibration.csv").open(encoding="utf-8", newline="") as file:
        origins = Counter(row["origin"].split("/")[0] for row in csv.DictReader(file))
    assert origins == {"headlines": 300, "images": 300}  # no part whose licence forbids to pass it on
    sizes = Counter(min(len(text) // 30, 3) for text in load_samples("stsb", "calibration").texts[:600])
    assert all(sizes[size] > 20 for size in range(4))


def test_vader_sentiment_is_balanced() -> None:
    found = load_samples("vader-sentiment", "evaluation")
    assert Counter(found.labels) == {"negative": 800, "positive": 800}
    for file, count in (("calibration.csv", 75), ("evaluation.csv", 200)):
        with (FOLDER / "vader-sentiment" / file).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        cells = Counter((row["source"], row["label"]) for row in rows)
        assert len(cells) == 8
        assert set(cells.values()) == {count}
        assert all((float(row["rating"]) > 0) == (row["label"] == "positive") for row in rows)
        assert not [row for row in rows if "&amp;" in row["text"] or "\ufffd" in row["text"]]


@pytest.mark.parametrize(
    ("name", "role", "digest"),
    [
        ("stsb", "calibration", "cb37479fb853824faa33575a3b7c189ea3491c238842bd7809c200b219c9595d"),
        ("stsb", "evaluation", "fa17065b68319a42461c5253518ec57e940e45ff268bebb92cd36b50588a1381"),
        (
            "vader-sentiment",
            "calibration",
            "cfd4e89cd42f19e0a9aa54a660a85fb73335dfd17a4c8d92d2df4d25ac99e94f",
        ),
        ("vader-sentiment", "evaluation", "1c2722e5b08bc78301806a70fcefeaf1094680b4faf235774a19b22f724adec9"),
    ],
)
def test_digests(name: str, role: str, digest: str) -> None:
    assert load_samples(name, role).digest == digest  # type: ignore[arg-type]


def test_limit_takes_sentences_and_paragraphs() -> None:
    found = load_samples("vader-sentiment", "calibration", limit=52)
    assert len(found.texts) == 52
    assert sum(len(text) > 900 for text in found.texts) == 2


@pytest.mark.skipif(not STS.is_dir(), reason="../shared has the originals of the sets; it is not here")
def test_the_script_makes_the_same_bytes(tmp_path: Path) -> None:
    originals = ["--sts", STS, "--wnut", WNUT, "--wikitext", WIKITEXT, "--tinystories", TINYSTORIES]
    script = [sys.executable, str(FOLDER / "make_sets.py"), *map(str, originals), "--out", str(tmp_path)]
    subprocess.run(script, check=True, capture_output=True)
    made = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    both = ("calibration.csv", "evaluation.csv")
    others = (f"{name}/{file}" for name in ("articles", "tinystories", "wnut17") for file in both)
    assert made == sorted(["stsb/LICENSE.txt", *(f"stsb/{file}" for file in both), *others])
    for name in made:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_wnut17() -> None:
    found = load_samples("wnut17", "evaluation")
    assert found.tags is not None
    assert len(found.tags) == len(found.texts) == 1287
    assert Counter(str(tag)[:2] for row in found.tags for tag in row) == {"O": 21654, "B-": 1079, "I-": 661}


def test_the_script_cleans_ratings(tmp_path: Path) -> None:
    lines = [
        "1\t2.5\ta  good &amp;amp; fine film",
        "2\t-0.5\tnot so good",
        "3\t0.4\tso and so",
        "4\t3\ttwo words",
    ]
    inner = {f"x/{name}_GroundTruth.txt": b"" for name in ("movieReviewSnippets", "amazonReviewSnippets")}
    inner |= {"x/tweets_GroundTruth.txt": "\r\n".join(lines).encode()}
    inner |= {"x/nytEditorialSnippets_GroundTruth.txt": b"9\t1\tNot so good!"}
    (tmp_path / "v.tar.gz").write_bytes(
        packed({"v/LICENSE.txt": b"MIT", "v/more/hutto_ICWSM_2014.tar.gz": packed(inner)})
    )
    script = [sys.executable, str(FOLDER / "make_sets.py"), "--vader", "v.tar.gz", "--out", str(tmp_path)]
    subprocess.run(script, check=True, capture_output=True, cwd=tmp_path)
    made = (tmp_path / "vader-sentiment" / "calibration.csv").read_text(encoding="utf-8").splitlines()
    assert sorted(made[1:]) == [
        "a good & fine film,positive,2.5,tweets,1",
        "not so good,negative,-0.5,tweets,2",
    ]


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let a copy of the set vader-sentiment be the only shipped one."""
    shutil.copytree(FOLDER / "vader-sentiment", tmp_path / "vader-sentiment")
    monkeypatch.setattr(shipped, "data_folder", lambda _: tmp_path)
    shipped.describe.cache_clear()
    yield tmp_path / "vader-sentiment"
    shipped.describe.cache_clear()


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "set.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_changed_file(copy: Path) -> None:
    with (copy / "evaluation.csv").open("a", encoding="utf-8") as file:
        file.write("more\n")
    with pytest.raises(DataError, match=r"(?s)was changed.*evaluation\.csv.*got: sha256.*expected: sha256.*hint"):
        load_samples("vader-sentiment", "evaluation")


def test_missing_file(copy: Path) -> None:
    (copy / "calibration.csv").unlink()
    with pytest.raises(DataError, match="a file of a shipped set is missing"):
        load_samples("vader-sentiment", "calibration")


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("rows = 1600", "rows = 1601", DataError, r"(?s)another size.*got: 1600 rows.*expected: 1601"),
        (
            '"negative", ',
            "",
            DataError,
            r"(?s)label that set.toml does not name.*negative.*expected: positive",
        ),
        ("paragraphs = 24", "paragraf = 24", RecipeError, r"(?s)'paragraf'.*did you mean 'paragraphs'"),
        ('"classification"', '"classify"', RecipeError, r"(?s)tasks.*'embedding', 'classification'.*hint"),
        ("text = ", "texd = ", RecipeError, r"(?s)columns\.texd.*did you mean 'text'"),
        ('file = "', 'file = "../', RecipeError, r"file\n"),
        ('name = "vader-sentiment"', 'name = "vader"', RecipeError, r"(?s)named as its folder.*got: vader\n"),
    ],
)
def test_wrong_description(copy: Path, old: str, new: str, error: type[Exception], message: str) -> None:
    edit(copy, old, new)
    with pytest.raises(error, match=message):
        load_samples("vader-sentiment", "evaluation")


def test_texts_of_other_sets_follow_with_their_licences() -> None:
    samples = load_samples("stsb", "calibration")
    tweets = load_samples("wnut17", "calibration")
    assert set(samples.texts[-200:]) <= set(tweets.texts[:600])
    assert set(samples.texts[624:824]) <= set(load_samples("vader-sentiment", "calibration").texts[:600])
    assert all(licence in samples.licence for licence in ("CC BY-SA 4.0", "MIT", "CC BY 4.0"))
    assert tweets.source in samples.source


def test_another_set_that_is_not_shipped(copy: Path) -> None:
    edit(copy, "paragraphs = 24", "also = { sms = 20 }\nparagraphs = 24")
    with pytest.raises(RecipeError, match=r"(?s)no such set.*calibration\.also.*got: sms.*expected: .*vader"):
        load_samples("vader-sentiment", "calibration")


@pytest.mark.parametrize(
    ("texts", "count", "characters", "expected"),
    [
        (("a", "b", "c", "d"), 2, 3, ["a b"]),
        (("a", "b", "c", "d", "e"), 2, 3, ["a b", "c d"]),
        (("aaaa", "b", "c"), 9, 3, ["aaaa"]),
        (("a", "b"), 0, 1, []),
        ((), 3, 10, []),
    ],
)
def test_paragraphs(texts: tuple[str, ...], count: int, characters: int, expected: list[str]) -> None:
    part = shipped.CalibrationPart(
        file="f",
        columns=shipped.Columns(text="t"),
        rows=1,
        sha256="0" * 64,
        paragraphs=count,
        paragraph_characters=characters,
    )
    assert shipped.paragraphs(texts, part) == expected
