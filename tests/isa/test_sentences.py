import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests import jobs
from toolkit.errors import BundleError, UsageError
from toolkit.isa import parity as parity_module
from toolkit.isa.pinned import pin
from toolkit.isa.place import Place, bundle_outputs
from toolkit.isa.sentences import Sample, agreement, cosine, make_reference
from toolkit.runtime.bundle import open_bundle

TEXTS = tuple(f"{a} {b}" for a in ("the cat", "a dog", "the", "dog cat a") for b in ("sat", "ran on", "the mat", "cat"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = jobs.tiny_job(tmp_path_factory.mktemp("job"))
    assert folder.quantize() == 0
    return open_bundle(folder.out)


@pytest.fixture
def reference(bundle, tmp_path):
    return make_reference(bundle, TEXTS, tmp_path)


def spoil(path, change):
    """Change the first s8 weight of the model that layers are held in: a kernel that computes something else."""
    model = onnx.load(path)
    weight = next(each for each in model.graph.initializer if each.name.endswith(".weight_s8"))
    values = numpy_helper.to_array(weight).copy()
    weight.CopyFrom(numpy_helper.from_array(change(values), weight.name))
    onnx.save(model, path)


def test_the_models_answer_as_the_bundle_does(bundle, reference, here):
    found, outputs = agreement(here, reference, Sample(TEXTS, len(TEXTS)))
    # One sentence a batch, as here.
    alone = np.concatenate([bundle_outputs(here, bundle, [text]) for text in TEXTS[:3]])
    assert np.array_equal(np.array(outputs[:3]), alone)
    assert (found.moved, found.difference, found.held_difference) == (0, 0, 0)
    assert [each.text for each in found.sentences] == list(TEXTS)
    assert found.activations > 0
    assert all(check.ok for check in found.checks(0.9999))


def test_a_wrong_kernel_shows_at_its_layer(reference, here):
    spoil(reference.held, np.negative)
    found, _ = agreement(here, reference, Sample(TEXTS, 4))
    layers, sentences = found.checks(0.995)
    assert not layers.ok
    assert found.moved > 0
    assert sentences.ok  # the free model was not touched


def test_a_moved_rounding_is_counted_and_does_not_spread(reference, here):
    name = reference.job.names[-1]  # nothing after it is rounded
    given = reference.arrays[f"0|{name}"]
    given[0, 0, 0] = given[0, 0, 0] - 1 if given[0, 0, 0] else 1  # as if this machine had rounded otherwise
    found, _ = agreement(here, reference, Sample(TEXTS, 2))
    assert (found.sentences[0].moved, found.sentences[1].moved) == (1, 0)
    assert found.farthest_step == 1


def test_a_budget_decides_how_many_sentences_run(reference, here):
    few, _ = agreement(here, reference, Sample(TEXTS, budget=1e-6))
    every, _ = agreement(here, reference, Sample(TEXTS, budget=1000.0))
    assert (len(few.sentences), len(every.sentences)) == (8, len(TEXTS))
    assert every.sentences[:8] == few.sentences


def test_what_cannot_be_compared_is_told(bundle, tmp_path):
    with pytest.raises(UsageError, match="no sentences"):
        make_reference(bundle, (), tmp_path)
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "none", [], []))
    with pytest.raises(BundleError, match="no int8 activations"):
        pin(empty.SerializeToString(), "a model")


def test_a_cosine_of_what_is_not_finite_is_the_worst():
    one = np.array([1.0, 2.0])
    assert cosine(one, one) == pytest.approx(1)
    assert cosine(one, np.array([np.nan, 1])) == cosine(np.array([np.inf, 1]), one) == -1
    assert cosine(np.zeros(2), np.zeros(2)) == 1
    assert cosine(np.zeros(2), one) == 0


def test_parity_compares_each_with_each(bundle, here, monkeypatch):
    monkeypatch.setattr(parity_module, "prove_place", lambda _: (None, ()))
    reached = {"one": [here], "two": [Place("other", *[getattr(here, name) for name in ("how", "python", "env")])]}

    def reach(name):
        if name not in reached:
            raise UsageError("cannot be had")
        return reached[name]

    report = parity_module.parity(bundle, ["one", "two", "three"], reach, Sample(TEXTS, 2))
    assert report.ok
    assert report.names == ("this machine", "this (native)", "other (native)")
    assert np.allclose(report.cosines, np.ones((3, 3)))
    assert report.unreached == {"three": "cannot be had"}
    nothing = parity_module.parity(bundle, ["three"], reach, Sample(TEXTS, 2))
    assert not nothing.ok
