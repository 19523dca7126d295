from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.tiny import TEXTS, Parts, model_bytes, table, text_model
from toolkit.errors import EdgequantError
from toolkit.isa.place import bundle_outputs, outputs, run, verify_there
from toolkit.runtime.bundle import open_bundle
from toolkit.runtime.manifest import ModelInfo, SessionInfo
from toolkit.runtime.raw import RawJob


@pytest.fixture
def bundle(tmp_path):
    return Parts().write(tmp_path / "a bundle")


def test_a_bundle_is_verified_there(here, bundle):
    assert verify_there(here, bundle)["ok"] is True
    (bundle / "model.onnx").write_bytes(b"")
    assert verify_there(here, bundle)["ok"] is False


def test_raw_outputs_are_those_of_this_process(here, bundle):
    texts = [*TEXTS, "the\ncat\r\n", ("the cat", "a dog")]
    got = bundle_outputs(here, open_bundle(bundle), texts)
    assert got.dtype == np.float32
    assert np.array_equal(got, text_model().raw(texts))


def test_what_is_not_finite_comes_back_as_it_is(here, tmp_path):
    weights = table()
    weights[5] = np.nan
    weights[6] = np.inf
    parts = Parts()
    parts.files["model.onnx"] = model_bytes(weights)
    got = bundle_outputs(here, open_bundle(parts.write(tmp_path / "bundle")), ["cat", "dog", "mat"])
    assert np.isnan(got[0]).all()
    assert np.isinf(got[1]).all()
    assert np.isfinite(got[2]).all()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 4)", r"this \(native\) died of SIGILL\n  hint: a kernel used an instruction"),
        ("import sys; sys.exit(128 + 11)", r"died of SIGSEGV"),  # as QEMU and shells tell it
        ("import sys; sys.exit('no such thing')", r"failed\n  got: no such thing"),
        ("import sys; sys.exit(7)", r"failed\n  got: exit code 7 and no word"),
        ("import time; time.sleep(9)", r"took too long\n  expected: at most 0.5 s"),
    ],
)
def test_how_a_program_ended_is_told(here, code, said):
    with pytest.raises(EdgequantError, match=said):
        run(here, ("-c", code), timeout=0.5 if "sleep" in code else 60)


def test_an_interpreter_that_is_not_there(here):
    with pytest.raises(EdgequantError, match=r"cannot start\n  where: /nowhere/python\n  got: No such file"):
        run(replace(here, python=("/nowhere/python",)), ())


def test_nothing_is_inherited(here, monkeypatch):
    monkeypatch.setenv("EDGEQUANT_TEST", "1")
    assert run(here, ("-c", "import os; print(os.environ.get('EDGEQUANT_TEST'), os.getcwd())")).stdout == b"None /\n"


def test_a_model_that_cannot_be_loaded(here):
    job = RawJob("/nowhere.onnx", ModelInfo("m", ("input_ids",), "output", 4), SessionInfo(), 1, rows=((1,),))
    with pytest.raises(
        EdgequantError, match=r"on this \(native\) failed\n  got: error: onnxruntime cannot load the model"
    ):
        outputs(here, job)


def test_texts_have_one_part_or_two(here, bundle):
    with pytest.raises(EdgequantError, match=r"text 1 of the job has another number of parts"):
        bundle_outputs(here, open_bundle(bundle), ["a", ("a", "b", "c")])
