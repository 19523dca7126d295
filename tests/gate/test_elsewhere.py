"""int8 judged in a place: its raw outputs are those of this process, and the report tells where they come from."""

from dataclasses import replace

import numpy as np
import pytest

from tests import models
from toolkit import gate
from toolkit.errors import EdgequantError
from toolkit.gate import Trial, compare, proven
from toolkit.gate.elsewhere import outputs_there
from toolkit.gate.running import reading_of, run
from toolkit.runtime import cpu
from toolkit.samples import Samples
from toolkit.sources import open_source
from toolkit.subjects import source_subject

TEXTS = tuple(f"{one} {other} the" for one in models.WORDS for other in models.WORDS[:20])[:300]
SAMPLES = Samples("texts", "1", "none", "here", TEXTS)


@pytest.fixture
def place(here):
    """This interpreter, under the name of its kernels."""
    names = {"x86_64": "vnni" if "vnni" in cpu.features() else "avx2", "arm64": "neon"}
    return replace(here, isa=names[cpu.architecture()])


@pytest.mark.parametrize("head", [None, "classification", "tokens"])
def test_raw_outputs_are_the_same_there(place, tmp_path, head):
    subject = source_subject(open_source(str(models.tiny_bert(tmp_path / "model", head=head))))
    reading = reading_of(subject.judged, SAMPLES)
    assert reading.by_word is (head == "tokens")
    here = run(subject.loaded(1), reading, "here")
    assert np.array_equal(outputs_there(place, subject, reading.texts, 1), here)


def test_the_report_tells_the_place_and_its_proof(place, tmp_path):
    subject = source_subject(open_source(str(models.tiny_bert(tmp_path / "model"))))
    trial = Trial(SAMPLES, {}, gate.Rules(), 1, proven(place).elsewhere(subject, 1))
    report = compare(subject, subject, trial)
    assert (report.place.isa, report.place.how) == (place.isa, "native")
    assert report.place.proof.startswith("pairs of products ")
    assert compare(subject, subject, replace(trial, elsewhere=None)).place is None


def test_kernels_that_are_not_what_they_are_called(place):
    other = replace(place, isa="neon" if place.isa == "avx2" else "avx2")
    with pytest.raises(EdgequantError, match=r"not those that were asked for\n  where: .* \(native\)\n  got: pairs of"):
        proven(other)


def test_a_place_that_cannot_run(place):
    with pytest.raises(EdgequantError, match=r"not those that were asked for\n(.*\n)*.*cannot start"):
        proven(replace(place, python=("/nowhere",)))
