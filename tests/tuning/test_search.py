import numpy as np
import pytest

from tests import models
from toolkit.forms import Forms, Profile, Tuning
from toolkit.sources import open_source
from toolkit.targets import load_recipe
from toolkit.tuning.search import search

PROFILES = (
    Profile(name="short", batch=1, length=16, weight=1.0),
    Profile(name="long", batch=2, length=400, weight=3.0),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return open_source(str(models.tiny_bert(tmp_path_factory.mktemp("models") / "bert", hidden=128)))


def recipe(*, approximate=False, profiles=PROFILES, minimum_gain=0.02, **forms):
    shipped = load_recipe("x86-vnni")
    start = Forms(attention="matmul", projection="merged", normalization="parts", gelu="erf")
    tuning = Tuning(minimum_gain=minimum_gain, approximate=approximate, profiles=profiles)
    return shipped.model_copy(update={"tuning": tuning, "forms": start.model_copy(update=forms)})


class Clock:
    """Gives a model the seconds of the first kernel in ``seconds`` that it has, 1 for any other; notes the feeds."""

    def __init__(self, noise=(0.0,), **seconds):
        self.seconds, self.noise, self.shapes, self.calls = seconds, noise, [], 0

    def __call__(self, variants, feeds):
        self.calls += 1
        self.shapes = [feed["input_ids"].shape for feed in feeds]
        found = [next((s for kernel, s in self.seconds.items() if kernel.encode() in v.model), 1.0) for v in variants]
        rounds = np.array([np.array(found) + noise * np.arange(len(found)) for noise in self.noise])
        return np.repeat(rounds[None], len(feeds), 0)


def test_the_fastest_form_is_taken_and_the_next_ones_are_timed_beside_it(source):
    forms, session, trials = search(source, recipe(), Clock(MultiHeadAttention=0.5, BiasGelu=0.25))
    assert forms == Forms(attention="multi-head", projection="merged", normalization="parts", gelu="erf")
    found = {(trial.computation, trial.form): trial for trial in trials}
    attention = found["attention", "multi-head"]
    assert (attention.instead_of, attention.speed, attention.taken) == ("matmul", 2.0, True)
    assert (attention.milliseconds, attention.milliseconds_before) == ((500.0, 500.0), (1000.0, 1000.0))
    assert not found["attention", "onnx"].taken
    # The clock finds the attention first: every later form stands beside one that has it, and none is faster.
    assert {trial.speed for trial in trials if trial.computation != "attention"} == {1.0}
    assert session.disabled_optimizers == load_recipe("x86-vnni").runtime.disabled_optimizers


def test_a_gain_below_the_recipes_is_noise(source):
    clock = Clock(MultiHeadAttention=0.97)
    assert search(source, recipe(minimum_gain=0.04), clock)[0].attention == "matmul"
    assert search(source, recipe(minimum_gain=0.03), clock)[0].attention == "multi-head"


def test_a_form_that_is_slower_in_many_rounds_is_not_taken(source):
    unsure = Clock(noise=(0.0, 0.0, 0.0, 0.6, 0.6), MultiHeadAttention=0.5, Attention=1.2)
    assert search(source, recipe(), unsure)[0].attention == "matmul"
    assert search(source, recipe(), Clock(MultiHeadAttention=0.5, Attention=1.2))[0].attention == "multi-head"


def test_an_approximation_is_timed_only_where_the_recipe_says_so(source):
    clock = Clock(FastGelu=0.5)
    assert search(source, recipe(), clock)[0].gelu == "erf"
    assert search(source, recipe(approximate=True), clock)[0].gelu == "tanh"


def test_profiles_are_the_shapes_as_far_as_the_model_reads(source):
    clock = Clock()
    search(source, recipe(), clock)
    assert clock.shapes == [(1, 16), (2, source.max_length)]


def test_a_form_that_changes_nothing_is_not_timed(source):
    """The recipe's forms are where it starts; old opsets have no Attention."""
    clock = Clock()
    trials = search(source, recipe(attention="onnx", projection="separate"), clock)[2]
    assert {(trial.computation, trial.instead_of) for trial in trials} >= {
        ("attention", "onnx"),
        ("projection", "separate"),
    }
    assert all(trial.form != trial.instead_of for trial in trials)
