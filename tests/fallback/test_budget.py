import pytest

from toolkit.errors import UsageError
from toolkit.fallback.budget import AccuracyBudget, LatencyBudget, parse_budget
from toolkit.limits import Bounds, Limit
from toolkit.targets import load_recipe

USUAL = load_recipe("x86-avx2").tuning.profiles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy", AccuracyBudget("accuracy")),
        ("cosine_p1>=0.99", AccuracyBudget("cosine_p1>=0.99", "cosine_p1", Bounds(min=0.99))),
        ("label_flips<=.01", AccuracyBudget("label_flips<=.01", "label_flips", Bounds(max=0.01))),
        ("speedup>=3", LatencyBudget("speedup>=3", speedup=3.0)),
        ("speedup>=2.5@8x64", LatencyBudget("speedup>=2.5@8x64", speedup=2.5, shape=(8, 64))),
        ("1.2ms@1x128", LatencyBudget("1.2ms@1x128", ms=1.2, shape=(1, 128))),
    ],
)
def test_what_is_understood(text, expected):
    assert parse_budget(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "fast", "speedup=3", "speedup>3", "speedup>=", "1.2ms", "1.2 ms@1x128", "ms@1x1", "3ms@0x8", "3s@1x16",
     "cosine_p1>=0.99,sqnr_db>=20", "cosine_p1>=nan", "cosine_p1>=-1", "Cosine>=1", "accuracy ", "speedup>=2@16"],
)  # fmt: skip
def test_what_is_not(text):
    with pytest.raises(UsageError, match="--budget is not understood") as caught:
        parse_budget(text)
    assert "speedup>=N" in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["speedup>=0", "0ms@1x16"])
def test_a_budget_of_nothing(text):
    with pytest.raises(UsageError, match="more than nothing"):
        parse_budget(text)


def test_a_named_metric_moves_its_limit_and_no_other():
    recipe = load_recipe("x86-avx2")
    limits = parse_budget("spearman>=0.8").within(recipe, "embedding").gate.embedding
    assert limits.spearman == Limit(min=0.8, max_drop=0.003, min_ratio=0.99)
    assert limits.model_copy(update={"spearman": recipe.gate.embedding.spearman}) == recipe.gate.embedding
    loose = parse_budget("cosine_p1>=0.9").within(recipe, "embedding")
    assert loose.gate.embedding.cosine_p1 == Bounds(min=0.9)
    assert parse_budget("accuracy").within(recipe, "embedding") == recipe


def test_a_metric_of_another_task_is_named():
    with pytest.raises(UsageError, match="embedding has no such metric") as caught:
        parse_budget("cosine_p2>=0.9").within(load_recipe("x86-avx2"), "embedding")
    assert "cosine_p1" in str(caught.value)


def test_a_time_is_measured_where_the_budget_says():
    assert parse_budget("speedup>=2").profiles(USUAL) == USUAL
    assert [(one.batch, one.length) for one in parse_budget("3ms@2x10").profiles(USUAL)] == [(2, 10)]
