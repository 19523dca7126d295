"""The C API engine: the same answers as onnxruntime's package, nothing leaked, and every refusal in words."""

import ctypes
import gc
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tests.models import tiny_bert
from tests.runtime.tasks import loaded
from tests.runtime.tiny import MODEL_INFO, TEXTS, model_bytes, text_model
from toolkit.runtime import (
    Classifier,
    Embedder,
    Reranker,
    TextModel,
    TokenClassifier,
    arrays,
    engine_capi,
    host,
    ort_api,
)
from toolkit.runtime.engine_capi import CapiSession
from toolkit.runtime.engine_python import PythonSession, session_options
from toolkit.runtime.errors import BundleError, EdgequantError, EngineError
from toolkit.runtime.host import Host
from toolkit.runtime.manifest import GraphOptimization, SessionInfo
from toolkit.runtime.session import Session
from toolkit.sources import open_source

LIBRARY = Host(engine="capi").library_path()


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> bytes:
    folder = tiny_bert(tmp_path_factory.mktemp("bert") / "m", head="tokens")
    return ir.to_proto(open_source(str(folder)).model).SerializeToString()


def feed(batch: int, length: int, seed: int = 0, inputs: Sequence[str] = MODEL_INFO.inputs) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(seed).integers(0, 12, (batch, length))
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {name: known[name] for name in inputs}


def capi(model: bytes | Path, settings: SessionInfo | None = None, threads: int = 1) -> CapiSession:
    return CapiSession(model, settings or SessionInfo(), threads, LIBRARY)


def resident() -> int:
    """Return this process's resident memory in bytes, after a collection."""
    gc.collect()
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


@pytest.mark.parametrize("level", ["disabled", "basic", "extended", "all"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_as_onnxruntimes_package(bert, level: GraphOptimization, threads):
    settings = SessionInfo(graph_optimization=level)
    a, b = PythonSession(bert, settings, threads), capi(bert, settings, threads)
    assert (a.inputs, a.outputs) == (b.inputs, b.outputs)
    for seed, (batch, length) in enumerate([(1, 1), (3, 7), (1, 40), (8, 16)]):
        numbers = feed(batch, length, seed, a.inputs)
        expected, got = a.run(numbers, a.outputs[0]), b.run(numbers, b.outputs[0])
        assert (got.shape, got.dtype) == ((batch, length, 3), np.float32)
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("disabled", [(), ("SkipLayerNormFusion", "BiasGeluFusion")])
@pytest.mark.parametrize("level", ["disabled", "basic", "extended", "all"])
def test_the_graph_that_runs_is_the_same(bert, level, disabled, tmp_path, monkeypatch):
    settings = SessionInfo(graph_optimization=level, disabled_optimizers=disabled)
    ours, theirs = tmp_path / "capi.onnx", tmp_path / "python.onnx"
    monkeypatch.setitem(ort_api.FUNCTIONS, "SetOptimizedModelFilePath", (11, (ctypes.c_void_p, ctypes.c_char_p)))
    ort_api.load_api.cache_clear()
    create = engine_capi._create

    def create_and_write(api, env, model, options):
        api.call("SetOptimizedModelFilePath", options, str(ours).encode())
        return create(api, env, model, options)

    monkeypatch.setattr(engine_capi, "_create", create_and_write)
    capi(bert, settings)
    ort_api.load_api.cache_clear()
    options = session_options(settings, 1)
    options.optimized_model_filepath = str(theirs)
    ort.InferenceSession(bert, options, disabled_optimizers=list(disabled))
    operators = [[node.op_type for node in onnx.load(path).graph.node] for path in (ours, theirs)]
    assert operators[0] == operators[1]
    assert ("BiasGelu" in operators[0]) is (level in ("extended", "all") and not disabled)


def test_settings_reach_the_library(monkeypatch):
    calls = []
    call = ort_api.OrtApi.call

    def recorded(self, name, *arguments):
        calls.append((name, *arguments[1:]))
        call(self, name, *arguments)

    monkeypatch.setattr(ort_api.OrtApi, "call", recorded)
    capi(model_bytes(), SessionInfo("extended", ("A", "B"), allow_spinning=True, memory_arena=False), 3)
    assert [call for call in calls if call[0].startswith(("Set", "Add", "Enable", "Disable"))] == [
        ("DisableTelemetryEvents",),
        ("SetIntraOpNumThreads", 3),
        ("SetInterOpNumThreads", 1),
        ("SetSessionLogSeverityLevel", 4),
        ("SetSessionGraphOptimizationLevel", 2),
        ("DisableCpuMemArena",),
        ("AddSessionConfigEntry", b"session.intra_op.allow_spinning", b"1"),
        ("AddSessionConfigEntry", b"optimization.disable_specified_optimizers", b"A;B"),
    ]


def test_a_path_or_bytes(tmp_path):
    path = tmp_path / "möd el.onnx"
    path.write_bytes(model_bytes())
    results = [capi(model).run(feed(2, 3), "output").tobytes() for model in (path, path.read_bytes())]
    assert results[0] == results[1]


@pytest.mark.parametrize("change", ["read-only", "strided", "transposed", "memoryview"])
def test_inputs_as_they_come(change):
    whole = feed(4, 6)
    kinds = {
        "read-only": lambda array: np.frombuffer(array.tobytes(), np.int64).reshape(array.shape),
        "strided": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
        "transposed": lambda array: array.T.copy().T,
        "memoryview": lambda array: memoryview(bytearray(array.tobytes())).cast("q", array.shape),
    }
    changed = {name: kinds[change](array) for name, array in whole.items()}
    session = capi(model_bytes())
    assert session.run(changed, "output").tobytes() == session.run(whole, "output").tobytes()


def test_inputs_of_another_type():
    session = Session(model_bytes(), MODEL_INFO, SessionInfo(), Host(1, "capi"))
    for dtype in (np.int32, np.float64):
        with pytest.raises(BundleError, match=r"the model failed\n.*\n.*an input is of type '.', not int64"):
            session.run({name: array.astype(dtype) for name, array in feed(1, 2).items()})


def _casting(node: onnx.NodeProto, kind: onnx.TypeProto) -> bytes:
    model = onnx.load_model_from_string(model_bytes())
    model.graph.node[-1].output[0] = "mean2"
    model.graph.node.append(node)
    model.graph.output[0].type.CopyFrom(kind)
    return model.SerializeToString()


DOUBLE = _casting(
    helper.make_node("Cast", ["mean2"], ["output"], to=TensorProto.DOUBLE),
    helper.make_tensor_type_proto(TensorProto.DOUBLE, ["batch", 4]),
)
SEQUENCE = _casting(
    helper.make_node("SequenceConstruct", ["mean2"], ["output"]),
    helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None)),
)


@pytest.mark.parametrize(
    ("model", "engine", "message"),
    [
        (DOUBLE, "capi", "output 'output' is of ONNX element type 11, not float32"),
        (DOUBLE, "python", "output 'output' is float64, not float32"),
        (SEQUENCE, "capi", "output 'output' is no tensor"),
        (SEQUENCE, "python", "output 'output' is list, not float32"),
    ],
)
def test_outputs_that_are_not_float32(model, engine, message):
    session = Session(model, MODEL_INFO, SessionInfo(), Host(1, engine))
    with pytest.raises(BundleError, match=message):
        session.run(feed(1, 2))


def test_names_that_the_model_does_not_know():
    with pytest.raises(EngineError, match="Invalid"):
        capi(model_bytes()).run(feed(1, 2), "nothing")
    with pytest.raises(EngineError, match="Invalid"):
        capi(model_bytes()).run({**feed(1, 2), "nothing": feed(1, 2)["input_ids"]}, "output")


@pytest.mark.parametrize("engine", ["python", "capi"])
def test_inputs_that_are_not_given(engine):
    session = Session(model_bytes(), MODEL_INFO, SessionInfo(), Host(1, engine))
    with pytest.raises(BundleError, match=r"too few inputs\n.*\n  got: no attention_mask"):
        session.run({"input_ids": feed(1, 2)["input_ids"]})


def test_many_threads_run_one_session(bert):
    session = capi(bert, threads=2)
    numbers = [feed(2, 5 + seed, seed, session.inputs) for seed in range(8)]
    expected = [session.run(each, "logits").tobytes() for each in numbers]
    wrong = []

    def work(place: int) -> None:
        wrong.extend(place for _ in range(50) if session.run(numbers[place], "logits").tobytes() != expected[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_ten_thousand_runs_leak_nothing():
    session = capi(model_bytes())
    numbers = [feed(1 + place % 4, 1 + place) for place in range(16)]

    def run(times: int) -> None:
        for place in range(times):
            session.run(numbers[place % 16], "output")
            if place % 10 == 0:
                with pytest.raises(EngineError):
                    session.run(numbers[0], "nothing")

    run(2000)
    before = resident()
    run(10_000)
    assert resident() - before < 2**20  # an OrtValue or a status of each run would be several MB


def test_sessions_are_released():
    def load(times: int) -> None:
        for _ in range(times):
            capi(model_bytes())
            with pytest.raises(EngineError):
                capi(b"not onnx")

    load(50)
    before = resident()
    load(200)
    assert resident() - before < 4 * 2**20


def test_exit_while_another_thread_runs():
    code = """
import threading, numpy as np
from tests.runtime.test_engine_capi import capi, feed, model_bytes
session = capi(model_bytes())
def work():
    while True:
        session.run(feed(64, 500), "output")
threading.Thread(target=work, daemon=True).start()
print(session.run(feed(1, 1), "output").shape)
"""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1, 4)\n", "")


@pytest.fixture
def fake(tmp_path) -> Iterator[object]:
    """Return a function that compiles an onnxruntime of another version."""
    source = """
static const void *api(unsigned version) {{ return {table}; }}
static const char *name(void) {{ return "{version}"; }}
static const struct {{ const void *(*api)(unsigned); const char *(*name)(void); }} base = {{ api, name }};
const void *{function}(void) {{ return &base; }}
"""

    def build(version: str, table: str = "&api", function: str = "OrtGetApiBase") -> Path:
        path = tmp_path / f"libonnxruntime.so.{version}"
        text = source.format(version=version, table=table, function=function)
        command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
        try:
            subprocess.run(command, input=text, text=True, check=True)
        except FileNotFoundError:
            pytest.skip("gcc is not installed")
        return path

    return build


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            {"version": "1.31.0"},
            r"another release of onnxruntime\n.*\n  got: 1.31.0\n  expected: 1.30, C API 30\n.*hint",
        ),
        ({"version": "1.3.0"}, "another release of onnxruntime"),
        ({"version": "1.30.1", "table": "0"}, "another release of onnxruntime"),
        ({"version": "1", "function": "other"}, "not onnxruntime's\n.*\n  expected: a function OrtGetApiBase"),
    ],
)
def test_other_libraries_are_refused(fake, made, message):
    with pytest.raises(EdgequantError, match=message):
        CapiSession(model_bytes(), SessionInfo(), 1, fake(**made))


def test_what_is_no_library_is_refused(tmp_path):
    path = tmp_path / "libonnxruntime.so"
    path.write_bytes(b"text")
    with pytest.raises(EdgequantError, match=r"cannot be loaded\n  where: .*libonnxruntime.so\n  got: .*\n  hint"):
        CapiSession(model_bytes(), SessionInfo(), 1, path)


def test_the_pin_and_the_library_are_one():
    root = Path(__file__).parent.parent.parent
    low, high = re.search(r'"onnxruntime>=([\d.]+),<([\d.]+)"', (root / "pyproject.toml").read_text()).groups()
    assert low == ort_api.RELEASE
    assert high == f"1.{ort_api.API_VERSION + 1}"
    assert ort_api.load_api(LIBRARY) is ort_api.load_api(LIBRARY)


def test_every_function_stands_once_and_is_used():
    places = [place for place, _ in ort_api.FUNCTIONS.values()]
    assert len(set(places)) == len(places)
    text = "".join(Path(module.__file__).read_text() for module in (ort_api, engine_capi))
    for name in ort_api.FUNCTIONS:
        kind = name.removeprefix("Release")
        name_in_code = name.replace("Input", "{kind}").replace("Output", "{kind}") if "SessionGet" in name else name
        assert f'"{kind}"' in text.replace(f'"{name}": (', "") or f'"{name_in_code}"' in text


def test_plain_numbers_without_numpy_are_the_same_bits(monkeypatch):
    expected = text_model().run(TEXTS)
    monkeypatch.setattr(arrays, "numpy_module", lambda: None)
    monkeypatch.setattr(host, "_python_is_installed", lambda: False)
    got = text_model().run(TEXTS)
    assert isinstance(got, arrays.FloatRows)
    assert (got.shape, got.tobytes()) == (expected.shape, expected.tobytes())
    with pytest.raises(BundleError, match=r"another shape than the manifest says\n.*\n  got: \(1, 4\)\n.*\(1, 5\)"):
        text_model(info=replace(MODEL_INFO, dimension=5)).run(["a"])


TASK_TEXTS = ["the cat sat on the mat", "a very big red dog ran under the blue tree", "", "not bad", "dog"]
ANSWERS: dict[str | None, Callable[[TextModel], object]] = {
    None: lambda model: Embedder(model).embed(TASK_TEXTS).tobytes(),
    "classifier": lambda model: (
        Classifier(model, ("calm", "glad", "sad")).logits(TASK_TEXTS).tobytes(),
        Classifier(model, ("calm", "glad", "sad")).probabilities(TASK_TEXTS).tobytes(),
        Classifier(model, ("calm", "glad", "sad")).classify(TASK_TEXTS),
    ),
    "multi_label": lambda model: (
        Classifier(model, ("calm", "glad", "sad"), True).probabilities(TASK_TEXTS).tobytes(),
        Classifier(model, ("calm", "glad", "sad"), True).classify(TASK_TEXTS, 2),
    ),
    "reranker": lambda model: Reranker(model).rank("the red cat", TASK_TEXTS),
    "tokens": lambda model: (
        TokenClassifier(model, ("O", "B-x", "I-x")).entities(TASK_TEXTS),
        [row.tobytes() for row in model.flat(TASK_TEXTS, by_token=True)],
    ),
}


@pytest.mark.parametrize("head", ANSWERS)
def test_every_task_gives_the_same_answers_without_numpy(head, tmp_path, monkeypatch):
    folder = tiny_bert(tmp_path / "m", head=head)
    expected = ANSWERS[head](loaded(folder))
    monkeypatch.setattr(host, "_python_is_installed", lambda: False)
    slim = loaded(folder)
    monkeypatch.setattr(arrays, "numpy_module", lambda: None)
    assert ANSWERS[head](slim) == expected
