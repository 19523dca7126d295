import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.tiny import LABELS, TEXTS, Parts, model_bytes, table, text_model
from toolkit import runtime
from toolkit.runtime import BundleError, Classifier, Embedder, UsageError, cpu, load, verify
from toolkit.runtime.manifest import Golden, TargetInfo
from toolkit.runtime.verification import compare_golden

pytestmark = pytest.mark.usefixtures("engine")


def checks(folder: Path) -> dict[str, tuple[bool, str]]:
    return {check.name: (check.ok, check.detail) for check in verify(folder).checks}


def test_load_gives_what_the_task_says(bundle, classifier_bundle):
    embedder, classifier = load(bundle), load(str(classifier_bundle), threads=1)
    assert isinstance(embedder, Embedder)
    assert isinstance(classifier, Classifier)
    assert classifier.labels == LABELS["labels"]
    assert classifier.model.threads == 1
    np.testing.assert_allclose(embedder.embed(TEXTS), text_model().run(TEXTS), atol=1e-6)


def test_unknown_name_of_the_package():
    with pytest.raises(AttributeError, match=r"no attribute 'lod'"):
        _ = runtime.lod


@pytest.mark.parametrize("function", [load, verify])
def test_no_folder_is_a_usage_error(function, tmp_path):
    with pytest.raises(UsageError, match=r"no such bundle\n.*nowhere"):
        function(tmp_path / "nowhere")
    (tmp_path / "b.tar.gz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"a file, not a folder\n(.*\n)*.*unpacked first"):
        function(tmp_path / "b.tar.gz")


def test_folder_without_manifest(tmp_path):
    with pytest.raises(BundleError, match=r"not a bundle"):
        load(tmp_path)
    report = verify(tmp_path)
    assert not report.ok
    assert [check.name for check in report.checks] == ["manifest.json"]


def test_incomplete_copies(bundle):
    path = bundle / "model.onnx"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(
        BundleError,
        match=rf"wrong size\n.*model.onnx\n  got: {len(data) - 1} bytes\n.*{len(data)} bytes\n.*hint",
    ):
        load(bundle)
    assert not checks(bundle)["model.onnx"][0]
    path.unlink()
    with pytest.raises(BundleError, match=r"file of the bundle is missing"):
        load(bundle)
    assert "missing" in checks(bundle)["model.onnx"][1]
    assert checks(bundle)["golden vectors"] == (False, "not run: the files are not the bundle's")


def test_tokenizer_that_is_not_utf8(tmp_path):
    parts = Parts()
    parts.files["tokenizer.json"] = b"\xff" + parts.files["tokenizer.json"]
    with pytest.raises(BundleError, match=r"tokenizer is not UTF-8\n.*tokenizer.json\n.*byte at 0"):
        load(parts.write(tmp_path / "b"))


def test_good_bundle_verifies(bundle, classifier_bundle):
    for folder in (bundle, classifier_bundle):
        report = verify(folder, threads=1)
        assert report.ok, report
        assert [c.name for c in report.checks] == [
            "manifest.json", "model.onnx", "tokenizer.json", "other files", "cpu", "golden vectors",
        ]  # fmt: skip
    data = report.as_dict()
    assert (data["ok"], data["bundle"], data["title"]) == (
        True,
        str(classifier_bundle),
        "tiny (classification) for test",
    )
    assert data["checks"][0] == {"name": "manifest.json", "ok": True, "detail": "schema 1"}


def test_altered_byte_of_the_same_size(bundle):
    path = bundle / "tokenizer.json"
    path.write_bytes(path.read_bytes().replace(b"[UNK]", b"[UNQ]"))
    ok, detail = checks(bundle)["tokenizer.json"]
    assert not ok
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:12] in detail
    assert "altered or damaged" in detail


def test_files_that_are_not_the_bundles(bundle):
    (bundle / "notes.txt").write_text("x")
    (bundle / "sub").mkdir()
    assert checks(bundle)["other files"] == (False, "not in the manifest: notes.txt, sub")


def test_cpu_without_what_is_required_still_runs_the_golden_vectors(write_bundle):
    found = checks(write_bundle(target=TargetInfo("t", cpu.architecture(), ("no_such", "nor_this"))))
    assert not found["cpu"][0]
    assert found["cpu"][1].endswith("lacks no_such, nor_this")
    assert found["golden vectors"][0]


def test_other_architecture(write_bundle):
    found = checks(write_bundle(target=TargetInfo("t", "riscv64", ())))
    assert found["cpu"] == (False, f"the bundle is for riscv64, this is {cpu.architecture()}")


def test_model_of_other_numbers_fails_the_golden_vectors(tmp_path):
    parts = Parts()
    weights = table()
    weights[6] += 0.01  # dog: only text 1
    parts.files["model.onnx"] = model_bytes(weights)
    ok, detail = checks(parts.write(tmp_path / "b"))["golden vectors"]
    assert not ok
    assert detail.endswith("failed: text 1")


def test_non_finite_model_fails_the_golden_vectors(tmp_path):
    parts = Parts()
    parts.files["model.onnx"] = model_bytes(np.full_like(table(), np.nan))
    ok, detail = checks(parts.write(tmp_path / "b"))["golden vectors"]
    assert not ok
    assert "NaN or infinite" in detail


@pytest.mark.parametrize(
    ("golden", "got", "ok"),
    [
        ([1, 0], [1, 0], True),
        ([1, 0], [1, 0.0005], True),
        ([1, 0], [1, 0.0011], False),
        ([100, 0], [100, 0.5], False),  # the cosine would pass
        ([0.0001, 0], [0, 0.0001], False),  # the difference would pass
        ([0, 0], [0, 0], True),
        ([0, 0], [0.0001, 0], False),
        ([0.0001, 0], [0, 0], False),
        ([1, 0], [np.nan, 0], False),
        ([1, 0], [np.inf, 0], False),
        ([2.0**100, 0], [2.0**100, 0], True),
    ],
)
def test_both_limits_count(golden, got, ok):
    expected = Golden(("x",), (), (tuple(map(float, golden)),), 0.999, 0.001)
    assert compare_golden(expected, np.array([got], dtype=np.float32)).ok is ok


def test_cosine_of_one_can_be_asked_for():
    vector = np.random.default_rng(0).normal(size=(20, 384)).astype(np.float32)
    golden = Golden(tuple(map(str, range(20))), (), tuple(map(tuple, vector.tolist())), 1.0, 0.0)
    assert compare_golden(golden, vector).ok
