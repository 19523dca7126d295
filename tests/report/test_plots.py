from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from tests.report.pages import CLASSIFIER, EVERYTHING, FAILED, NASTY, PASSED
from toolkit.gate import Histogram, Interval, Trend, Verdict
from toolkit.report.page import Layer
from toolkit.report.plots.bars import size_plot, speed_plot
from toolkit.report.plots.forest import Used, forest, used
from toolkit.report.plots.histogram import histogram_plot
from toolkit.report.plots.layers import kinds, layer_plot
from toolkit.report.plots.svg import Figure, Scale
from toolkit.speed import Speed


def only(verdict: Verdict, *trend: Trend) -> Used:
    (found,) = used(replace(PASSED, verdicts=(verdict,), trend=trend))
    return found


def tree(figure: Figure) -> ET.Element:
    return ET.fromstring(str(figure.markup()))  # noqa: S314 - ours


@pytest.mark.parametrize(
    ("verdict", "share"),
    [
        (Verdict("spearman", 0.82, 0.82, {"max_drop": 0.004}, "pass"), 0),
        (Verdict("spearman", 0.82, 0.816, {"max_drop": 0.004}, "pass"), 1),
        (Verdict("spearman", 0.82, 0.822, {"max_drop": 0.004}, "pass"), -0.5),
        (Verdict("spearman", 0.8, 0.79, {"max_drop": 0.1, "min_ratio": 0.95, "min": 0.78}, "pass"), 0.5),  # min binds
        (Verdict("cosine_p1", None, 0.995, {"min": 0.99}, "pass"), 0.5),
        (Verdict("score_correlation", None, 0.995, {"min": 0.99}, "pass"), 0.5),
        (Verdict("label_flips", None, 0.03, {"max": 0.02}, "fail"), 1.5),
        (Verdict("sqnr_db", None, 20.0, {"min": 20.0}, "pass"), 1),
        (Verdict("sqnr_db", None, 30.0, {"min": 20.0}, "pass"), 0.1),  # a tenth of the noise power
    ],
)
def test_a_metric_uses_a_share_of_what_its_limit_allows(verdict, share):
    assert only(verdict).share == pytest.approx(share)


def test_intervals_of_differences_and_of_values_are_shares_too_low_end_first():
    drop = Verdict("spearman", 0.82, 0.818, {"max_drop": 0.004}, "pass", "", Interval(-0.004, 0.002, 0.95))
    assert (only(drop).low, only(drop).high) == (pytest.approx(-0.5), pytest.approx(1))
    cosine = Verdict("cosine_mean", None, 0.995, {"min": 0.99}, "pass", "", Interval(0.9925, 0.9975, 0.95))
    assert (only(cosine).low, only(cosine).high) == (pytest.approx(0.25), pytest.approx(0.75))
    assert only(drop, Trend("spearman", 0.816, 0.818, "pass")).before == pytest.approx(1)


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict("spearman", 0.82, 0.82, {}, "no limit"),
        Verdict("spearman", None, None, {"min": 0.5}, "not measured"),
        Verdict("spearman", 0.82, 0.82, {"max_drop": 0}, "pass"),  # nothing is allowed, so nothing is a share of it
        Verdict("accuracy", 0.85, 0.84, {"min": 0.9}, "fail"),  # fp32 itself breaks it
        Verdict("cosine_mean", None, 0.99, {"min": 1.5}, "fail"),
        Verdict("label_flips", None, 0.01, {"max": 0}, "fail"),
        Verdict("non_finite_rows", None, 3.0, {"max": 0}, "fail"),
        Verdict("size_ratio", None, 0.3, {"max": 0.35}, "pass"),
        Verdict("something_new", None, 0.3, {"min": 0.1}, "pass"),  # its best value is not known
    ],
)
def test_what_has_no_allowed_loss_has_no_row(verdict):
    assert used(replace(PASSED, verdicts=(verdict,))) == ()


def test_the_forest_says_in_words_what_it_shows_and_stays_inside():
    far = Verdict("spearman", 0.82, 0.1, {"max_drop": 0.003}, "fail", "", Interval(-0.9, -0.6, 0.95))
    svg = tree(forest(used(replace(FAILED, verdicts=(*FAILED.verdicts[1:3], far)))))
    assert "0 % is fp32, 100 % is the limit" in svg.find("desc").text
    for circle in svg.iter("circle"):
        assert 0 <= float(circle.get("cx").rstrip("%")) <= 100
    assert svg.get("aria-labelledby").split() == [svg.find("title").get("id"), svg.find("desc").get("id")]


def test_each_layer_has_a_dot_and_each_role_a_colour():
    svg = tree(layer_plot(EVERYTHING.layers))
    dots = [circle.find("title").text for circle in svg.iter("circle")]
    assert len(dots) == len(EVERYTHING.layers)
    assert "layer.2.dense/MatMul: 36.0 dB" in dots
    assert "head/Gemm: float" in dots
    assert "least: layer.2.dense/MatMul" in svg.find("desc").text
    assert kinds(EVERYTHING.layers) == {"dense": 0, "embeddings.word.weight": 1}
    many = tuple(Layer(str(n), str(n), "int8", 30.0, "") for n in range(9))
    assert set(kinds(many).values()) == set(range(6))
    tree(layer_plot(many[:1]))  # one layer, one value


def test_a_bar_is_drawn_for_each_bin_that_has_texts_and_one_text_can_be_seen():
    found = Histogram((0.9, 0.95, 0.96, 1.0), (1, 0, 1000))
    svg = tree(histogram_plot(CLASSIFIER, found))
    heights = [float(box.get("height")) for box in svg.iter("rect")]
    assert len(heights) == 2
    assert 5 < heights[0] < heights[1]
    tree(histogram_plot(CLASSIFIER, Histogram((1.0, 1.0), (0,))))


def test_sizes_and_times_are_to_scale():
    boxes = list(tree(size_plot(EVERYTHING.parts)).iter("rect"))
    widths = [float(box.get("width").rstrip("%")) for box in boxes]
    assert widths == [47, 53, 12, 14]
    bars = [
        float(box.get("width").rstrip("%")) for box in tree(speed_plot((Speed(1, 16, 4.0, 2.0, 2.0),))).iter("rect")
    ]
    assert bars[0] == pytest.approx(2 * bars[1], abs=0.02)
    alone = tree(size_plot(tuple(replace(part, fp32=None) for part in EVERYTHING.parts)))
    assert len(list(alone.iter("rect"))) == 2


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_any_text_is_text_in_a_plot(text):
    figure = Figure("x", 10, text, text)
    figure.words((0, 0), text, "label")
    figure.dot((0, 0), 1, "dot", text)
    assert {element.tag for element in tree(figure).iter()} == {"svg", "title", "desc", "text", "circle"} - (
        set() if text else {""}
    )


def test_a_scale_without_width_has_a_middle_and_ends_hold():
    assert Scale(1, 1).at(1) == 50
    assert Scale(0, 2).at(5) == 100
    assert Scale(0, 2).at(-5) == 0
