import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import models
from tests.graphs import graph, node, serialized
from toolkit import gate
from toolkit.errors import DataError, NumericsError
from toolkit.gate import Evidence, GateReport, Measured, Verdict, describe, gold_labels, require_labels, texts_of
from toolkit.limits import Bounds, Limit
from toolkit.runtime.manifest import FileInfo, ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.model import TextModel
from toolkit.samples import Samples
from toolkit.sources import Source, open_source
from toolkit.targets import load_recipe

POINT = gate.Rules("point")
EMBEDDER = Source(
    name="tiny",
    model=graph([node("Relu", ["x"], "y")], {}),
    task="embedding",
    output="y",
    tokenizer_json="{}",
    max_length=8,
    pad_id=0,
    labels=(),
    multi_label=False,
    pooling="mean",
    normalize=False,
    digest="0",
    built_by="edgequant",
)
CLASSIFIER = replace(EMBEDDER, task="classification", labels=("calm", "glad", "sad"), pooling=None)
PAIRS = Samples("pairs", "1", "none", "here", ("a", "c", "a"), ("b", "d", "d"), scores=(1.0, 5.0, 3.0))
TEXTS = Samples("texts", "2", "none", "here", ("a", "b", "c", "d"), labels=(0, 1, 2, 1))
# Rows of a, c, b, d: similarities of PAIRS are 0, 1 and 0.6.
VECTORS = np.array([[1, 0], [0.6, 0.8], [0, 1], [0.6, 0.8]], np.float32)
LOGITS = np.array([[3, 0, 0], [0, 2, 1], [0, 1, 2], [1, 2, 0]], np.float32)  # all right
RECIPES = ["arm64-dotprod", "arm64-i8mm", "arm64-neon", "x86-avx2", "x86-vnni"]


def judge(
    source: Source, samples: Samples, outputs: tuple[np.ndarray, np.ndarray], limits: dict[str, Bounds], size: int = 50
) -> GateReport:
    """Judge a model of `size` percent of the float model's 200 bytes."""
    return gate.judge(source, Evidence(samples, outputs, (FileInfo("f", 200), FileInfo("i", 2 * size))), limits, POINT)


def verdicts(report: GateReport) -> dict[str, Verdict]:
    return {verdict.metric: verdict for verdict in report.verdicts}


def embeddings(int8: np.ndarray, fp32: np.ndarray = VECTORS, samples: Samples = PAIRS, **limits: Bounds) -> GateReport:
    return judge(EMBEDDER, samples, (fp32, int8), limits)


def logits(int8: np.ndarray, fp32: np.ndarray = LOGITS, samples: Samples = TEXTS, **limits: Bounds) -> GateReport:
    return judge(CLASSIFIER, samples, (fp32, int8), limits)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_fails_first_and_alone(bad):
    int8 = VECTORS.copy()
    int8[1, 0] = int8[1, 1] = int8[3, 1] = bad
    report = embeddings(int8, cosine_mean=Bounds(min=-1))
    (only,) = report.verdicts
    assert (only.metric, only.int8, only.outcome) == ("non_finite_rows", 2, "fail")
    assert not report.passed
    assert report.as_dict()["passed"] is False
    json.dumps(report.as_dict(), allow_nan=False)


def test_what_is_finite_passes_that_check():
    report = embeddings(VECTORS)
    assert (report.verdicts[0].metric, report.verdicts[0].int8, report.verdicts[0].outcome) == (
        "non_finite_rows",
        0,
        "pass",
    )
    assert report.passed


def test_a_float_model_that_is_not_finite_is_no_reference():
    fp32 = VECTORS.copy()
    fp32[2] = np.inf
    with pytest.raises(NumericsError, match=r"float model's output is not finite .*\n.*tiny on pairs\n.*1 of 4 texts"):
        embeddings(VECTORS, fp32)


def test_what_is_measured_of_embeddings():
    int8 = VECTORS.copy()
    int8[0] = [0.8, 0.6]
    found = verdicts(embeddings(int8))
    assert list(found) == [
        "non_finite_rows",
        "spearman",
        "cosine_mean",
        "cosine_p1",
        "cosine_min",
        "sqnr_db",
        "size_ratio",
    ]
    assert (found["spearman"].fp32, found["spearman"].int8) == (1, 1)  # the order is the same
    assert found["cosine_min"].int8 == 0.8
    assert found["cosine_mean"].int8 == 0.95
    assert found["cosine_p1"].int8 == pytest.approx(0.8 + 0.03 * 0.2, abs=1e-6)
    assert found["sqnr_db"].int8 == pytest.approx(10 * np.log10(4 / 0.4), abs=1e-5)
    assert (found["size_ratio"].int8, found["size_ratio"].note) == (0.5, "100 of 200 bytes")
    assert all(verdict.outcome == "no limit" for name, verdict in found.items() if name != "non_finite_rows")


def test_each_text_is_run_once_and_found_again():
    assert texts_of(EMBEDDER, PAIRS) == ["a", "c", "b", "d"]
    report = verdicts(embeddings(VECTORS))
    a, c, b, d = VECTORS
    assert [float(a @ b), round(float(c @ d), 6), round(float(a @ d), 6)] == [0, 1, 0.6]
    assert report["spearman"].fp32 == report["spearman"].int8 == 1


@pytest.mark.parametrize("samples", [PAIRS, replace(PAIRS, scores=None), replace(PAIRS, pairs=None, scores=None)])
def test_spearman_needs_scored_pairs(samples):
    count = len(texts_of(EMBEDDER, samples))
    spearman = verdicts(embeddings(VECTORS[:count], VECTORS[:count], samples, spearman=Limit(max_drop=0)))["spearman"]
    if samples.scores:
        assert spearman.outcome == "pass"
    else:
        assert (spearman.fp32, spearman.int8, spearman.outcome) == (None, None, "not measured")
        assert spearman.note == "the set has no scored pairs"


def test_spearman_of_equal_scores_is_not_measured():
    report = embeddings(VECTORS, samples=replace(PAIRS, scores=(2.0, 2.0, 2.0)), spearman=Limit(max_drop=0))
    spearman = verdicts(report)["spearman"]
    assert (spearman.int8, spearman.outcome) == (None, "not measured")
    assert "all equal" in spearman.note
    assert report.passed


def test_an_int8_model_that_gives_the_same_for_every_text_fails():
    report = embeddings(np.ones_like(VECTORS), spearman=Limit(max_drop=0.5))
    spearman = verdicts(report)["spearman"]
    assert (spearman.fp32, spearman.int8, spearman.outcome) == (1, 0, "fail")
    assert not report.passed


def test_what_is_measured_of_classes():
    int8 = LOGITS.copy()
    int8[0] = [0, 1, 0]
    found = verdicts(logits(int8))
    assert list(found) == ["non_finite_rows", "accuracy", "macro_f1", "label_flips", "sqnr_db", "size_ratio"]
    assert (found["accuracy"].fp32, found["accuracy"].int8) == (1, 0.75)
    # glad: 2 hits among 3 and 2, sad: all, calm: none.
    assert (found["macro_f1"].fp32, found["macro_f1"].int8) == (1, pytest.approx((0.8 + 1 + 0) / 3, abs=1e-6))
    assert (found["label_flips"].fp32, found["label_flips"].int8) == (None, 0.25)


def test_flips_count_against_the_float_model_and_not_against_the_labels():
    wrong = LOGITS[:, [1, 2, 0]]
    found = verdicts(logits(wrong, wrong))
    assert found["accuracy"].int8 < 1
    assert found["label_flips"].int8 == 0


@pytest.mark.parametrize("labels", [None, ("red", "calm", "glad", "sad"), (0, 1, 2, 3), (0, 1, -1, 2)], ids=str)
def test_foreign_labels_leave_the_flips(labels):
    report = logits(LOGITS, samples=replace(TEXTS, labels=labels), accuracy=Limit(min=1), label_flips=Bounds(max=0))
    found = verdicts(report)
    for name in ("accuracy", "macro_f1"):
        assert (found[name].int8, found[name].outcome) == (None, "not measured")
        assert found[name].note == "the set has no labels of this model: calm, glad, sad"
    assert found["label_flips"].outcome == "pass"


def test_a_multi_label_model_is_judged_by_its_flips():
    source = replace(CLASSIFIER, multi_label=True)
    fp32 = np.array([[1, 1, -1], [-1, -1, -1]], np.float32)
    int8 = np.array([[1, -1, -1], [-1, -1, -2]], np.float32)
    samples = replace(TEXTS, texts=("a", "b"), labels=None)
    found = verdicts(judge(source, samples, (fp32, int8), {"label_flips": Bounds(max=0.1)}))
    assert found["label_flips"].int8 == pytest.approx(1 / 6, abs=1e-6)
    assert found["label_flips"].outcome == "fail"
    assert found["accuracy"].outcome == found["macro_f1"].outcome == "not measured"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("calm", "sad", "glad"), [0, 2, 1]),
        (("Calm", "SAD", "gLAD"), [0, 2, 1]),
        ((0, 2, 1), [0, 2, 1]),
        (("0", "2", "1"), [0, 2, 1]),
        ((0, 1, 3), None),
        ((0, 1, -1), None),
        (("0", "1", "²"), None),
        (("calm", "sad", "1"), None),  # names and numbers in one column are neither
        (("calm", "sad", ""), None),
        (None, None),
    ],
)
def test_labels_are_names_or_numbers(labels, expected):
    found = gold_labels(CLASSIFIER, replace(TEXTS, labels=labels))
    assert (found if found is None else found.tolist()) == expected


def test_a_model_whose_names_are_numbers():
    stars = replace(CLASSIFIER, labels=("1", "2", "3"))
    by_name = gold_labels(stars, replace(TEXTS, labels=(1, 2, 3)))
    from_zero = gold_labels(stars, replace(TEXTS, labels=(0, 1, 2)))
    assert by_name.tolist() == from_zero.tolist() == [0, 1, 2]


def test_a_chosen_set_must_have_the_models_labels():
    require_labels(CLASSIFIER, TEXTS)
    require_labels(CLASSIFIER, replace(TEXTS, labels=None))
    require_labels(EMBEDDER, replace(TEXTS, labels=("red", "blue")))
    with pytest.raises(DataError, match=r"labels are not the model's\n  where: texts") as raised:
        require_labels(CLASSIFIER, replace(TEXTS, labels=("red", "calm", "blue", "red")))
    said = str(raised.value)
    assert "\n  got: blue, calm, red\n  expected: calm, glad, sad\n  hint: rename the labels" in said
    assert raised.value.exit_code == 1


# int8 is right for 3 rows of 4; fp32 for all. All bounds are exact in binary.
@pytest.mark.parametrize(
    ("limit", "outcome", "note"),
    [
        (Limit(min=0.75), "pass", ""),
        (Limit(min=0.7500001), "fail", "is below 0.75"),
        (Limit(max=0.75), "pass", ""),
        (Limit(max=0.7499999), "fail", "is above 0.75"),
        (Limit(max_drop=0.25), "pass", ""),
        (Limit(max_drop=0.125), "fail", "drops by more than 0.125"),
        (Limit(min_ratio=0.75), "pass", ""),
        (Limit(min_ratio=0.875), "fail", "is below 0.875 of fp32"),
        (Limit(min=0.5, max=0.875, max_drop=0.5, min_ratio=0.5), "pass", ""),
        (Limit(min=0.5, max_drop=0.125, min_ratio=0.875), "fail", "drops by more than 0.125; is below 0.875 of fp32"),
    ],
    ids=str,
)
def test_every_bound_holds_at_its_edge_and_not_beyond(limit, outcome, note):
    int8 = LOGITS.copy()
    int8[0] = [0, 1, 0]
    report = logits(int8, accuracy=limit)
    accuracy = verdicts(report)["accuracy"]
    assert (accuracy.int8, accuracy.outcome, accuracy.note) == (0.75, outcome, note)
    assert report.passed is (outcome == "pass")
    assert accuracy.limit == limit.model_dump(exclude_none=True)


@pytest.mark.parametrize(
    ("bounds", "outcome"),
    [
        (Bounds(max=0.5), "pass"),
        (Bounds(max=0.4999), "fail"),
        (Bounds(min=0.5), "pass"),
        (Bounds(min=0.5001), "fail"),
    ],
    ids=str,
)
def test_bounds_of_what_compares_the_two(bounds, outcome):
    assert verdicts(embeddings(VECTORS, size_ratio=bounds))["size_ratio"].outcome == outcome


@pytest.mark.parametrize("limit", [Limit(min=-9), Limit(max=9), Limit(max_drop=9), Limit(min_ratio=-9)], ids=str)
def test_what_is_no_number_holds_no_bound(limit):
    for fp32, int8 in ((1.0, float("nan")), (float("nan"), float("nan"))):
        (verdict,) = gate.verdicts([Measured("accuracy", fp32, int8)], {"accuracy": limit}, POINT)
        assert verdict.outcome == "fail"


def test_rounding_for_the_report_does_not_decide():
    (verdict,) = gate.verdicts([Measured("accuracy", None, 0.49999999)], {"accuracy": Bounds(min=0.5)}, POINT)
    assert (verdict.int8, verdict.outcome) == (0.5, "fail")


def test_a_ratio_to_a_metric_below_zero_does_not_fail_what_is_equal():
    opposite = replace(PAIRS, scores=(5.0, 1.0, 3.0))
    spearman = verdicts(embeddings(VECTORS, samples=opposite, spearman=Limit(max_drop=0, min_ratio=0.99)))["spearman"]
    assert (spearman.fp32, spearman.int8, spearman.outcome) == (-1, -1, "pass")


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_passes_what_is_equal_and_fails_what_is_noise(name):
    noise = np.random.default_rng(0).normal(size=VECTORS.shape).astype(np.float32)
    limits = load_recipe(name).gate.limits("embedding")
    assert judge(EMBEDDER, PAIRS, (VECTORS, VECTORS), limits, 25).passed
    report = judge(EMBEDDER, PAIRS, (VECTORS, noise), limits, 25)
    assert {"cosine_mean", "cosine_p1", "cosine_min", "sqnr_db"} <= {
        verdict.metric for verdict in report.verdicts if verdict.outcome == "fail"
    }
    assert not judge(EMBEDDER, PAIRS, (VECTORS, VECTORS), limits, 100).passed
    limits = load_recipe(name).gate.limits("classification")
    assert judge(CLASSIFIER, TEXTS, (LOGITS, LOGITS), limits, 25).passed
    assert not judge(CLASSIFIER, TEXTS, (LOGITS, LOGITS[:, ::-1].copy()), limits, 25).passed


def test_one_bad_text_among_many_is_seen():
    """A mean of 0.99 coexists with bad tails."""
    rng = np.random.default_rng(0)
    fp32 = rng.normal(size=(400, 8)).astype(np.float32)
    int8 = fp32.copy()
    int8[17] *= -1
    samples = replace(PAIRS, texts=tuple(map(str, range(400))), pairs=None, scores=None)
    limits = load_recipe("x86-avx2").gate.limits("embedding")
    found = verdicts(judge(EMBEDDER, samples, (fp32, int8), limits, 25))
    assert (found["cosine_mean"].outcome, found["cosine_min"].outcome) == ("pass", "fail")


def test_the_report_says_on_what_it_stands():
    report = embeddings(VECTORS, cosine_min=Bounds(min=0.9))
    said = report.as_dict()
    assert (said["task"], said["dataset"], said["dataset_digest"], said["rows"]) == ("embedding", "pairs", "1", 3)
    again = json.loads(json.dumps(said, allow_nan=False))
    assert again["passed"] is True
    assert {
        "metric": "cosine_min",
        "fp32": None,
        "int8": 1.0,
        "limit": {"min": 0.9},
        "outcome": "pass",
        "note": "",
        "interval": None,
        "rows_needed": None,
    } in again["verdicts"]


def test_limits_in_words():
    assert describe({"min": 0.5, "max": 2}) == "≥ 0.5, ≤ 2"
    assert describe({"max_drop": 0.003, "min_ratio": 0.99}) == "drop ≤ 0.003, ≥ 0.99 of fp32"
    assert describe({"max_drop": 0.003, "min_ratio": 0.99}, 100) == "drop ≤ 0.3, ≥ 0.99 of fp32"
    assert describe({}) == ""


def test_pairs_of_a_classifier_are_read_together():
    both = replace(TEXTS, pairs=("w", "x", "y", "z"))
    assert texts_of(CLASSIFIER, both) == [("a", "w"), ("b", "x"), ("c", "y"), ("d", "z")]
    assert texts_of(CLASSIFIER, replace(TEXTS, texts=("a", "a", "b", "c"))) == ["a", "a", "b", "c"]


def test_both_models_are_run_on_the_same_texts(tmp_path: Path):
    source = open_source(str(models.tiny_bert(tmp_path / "bert")))
    other = open_source(str(models.tiny_bert(tmp_path / "other", seed=1)))
    texts = [f"{text} {word}" for text in models.TEXTS for word in models.WORDS * 4]
    assert len(texts) > gate.CHUNK
    told = []

    def track(items, what, total):
        told.append((what, total))
        return items

    fp32, int8 = gate.outputs_for((loaded(source), loaded(other, source.output)), gate.Reading(texts), track)
    assert fp32.shape == int8.shape == (len(texts), 32)
    assert told == [("evaluate fp32", 2), ("evaluate int8", 2)]
    np.testing.assert_allclose(fp32[-1], models.outputs(source, texts[-1:])[0], rtol=0, atol=1e-5)
    assert np.abs(fp32 - int8).max() > 0.01


def loaded(source: Source, output: str = "") -> TextModel:
    inputs = tuple(str(value.name) for value in source.model.graph.inputs)
    info = ModelInfo("model.onnx", inputs, output or source.output, 32)
    tokens = TokenizerInfo("tokenizer.json", source.max_length, source.pad_id)
    return TextModel(serialized(source.model), source.tokenizer_json, info, tokens, SessionInfo(), 1)
