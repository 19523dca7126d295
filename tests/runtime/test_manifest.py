import json
from dataclasses import replace

import pytest

from tests.runtime.lm import lm_parts
from tests.runtime.tiny import DIMENSION, LABELS, Parts
from toolkit.runtime.bundle import open_bundle
from toolkit.runtime.errors import BundleError
from toolkit.runtime.manifest import CHECKSUM, FileInfo, Golden, Manifest, ModelInfo, checksum_line


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return Parts().manifest()


def changed(manifest: Manifest, key: str, value: object) -> bytes:
    """The manifest's bytes with one key set, or removed by None."""
    data = json.loads(manifest.to_json())
    *path, last = key.split("/")
    place = data
    for step in path:
        place = place[int(step) if isinstance(place, list) else step]
    if value is None:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(data).encode()


def test_round_trip_gives_equal_manifest_and_equal_bytes(manifest):
    data = manifest.to_json()
    again = Manifest.from_json(data, "m")
    assert again == manifest
    assert again.to_json() == data


def test_bytes_do_not_depend_on_the_order_of_opaque_keys(manifest):
    turned = replace(manifest, provenance=dict(reversed(manifest.provenance.items())))
    assert turned.to_json() == manifest.to_json()


def test_file_is_readable_utf8_with_vectors_on_one_line(manifest):
    odd = replace(manifest, name="über\u2028[\n1,\n2\n]")
    data = odd.to_json()
    assert data.endswith(b"}\n")
    assert "über".encode() in data
    assert Manifest.from_json(data, "m") == odd
    assert max(line.count(b",") for line in data.splitlines()) >= DIMENSION - 1


def test_to_json_refuses_nan(manifest):
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        replace(manifest, gate={"cosine": float("nan")}).to_json()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff{}", "not UTF-8.*\n.*m.json\n.*byte 0 is 0xff"),
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b'{"a": NaN}', "NaN is not a number of JSON"),
        (b'{"a": 1, "a": 2}', "key 'a' occurs twice"),
        (b"[" * 100_000, "very deep nesting"),
        (b"[]", "wrong content\n.*m.json\n.*a list\n.*an object"),
        (b"3", "wrong content\n.*m.json\n.*3 .a whole number.\n.*an object"),
        (b'{"schema": 2}', "another schema\n.*m.json\n.*got: 2\n.*expected: 1\n.*hint"),
        (b"{}", "missing key 'schema'\n.*m.json\n.*nothing"),
    ],
)
def test_broken_files(data, message):
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(data, "m.json")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("target", None, "missing key 'target'"),
        ("model/output", None, "missing key 'model.output'"),
        (
            "session/max_batch_token",
            3,
            "unknown key 'session.max_batch_token'(.*\n)*.*did you mean 'max_batch_tokens'",
        ),
        ("extra", 1, "unknown key 'extra'"),
        ("name", 3, "'name'\n.*m\n.*3 .a whole number.\n.*a string"),
        ("normalize", 1, "'normalize'\n.*m\n.*\n.*true or false"),
        ("schema", True, "'schema'\n.*m\n.*\n.*a whole number"),
        ("model/dimension", 4.0, "'model.dimension'\n.*m\n.*\n.*a whole number"),
        ("model/inputs", "input_ids", "'model.inputs'\n.*m\n.*\n.*a list"),
        ("model/inputs/1", 7, "'model.inputs.1.'"),
        ("pooling", 7, "'pooling'"),
        ("task", "ranking", "'task'\n.*m\n.*'ranking'(.*\n)*.*one of 'embedding', 'classification'"),
        ("gate", [], "'gate'\n.*m\n.*\n.*an object"),
        ("golden/outputs/0/1", "x", "'golden.outputs.0..1.'(.*\n)*.*a number"),
        ("golden/min_cosine", True, "'golden.min_cosine'"),
        ("golden/min_cosine", 1.5, "'golden.min_cosine'"),
        ("golden/max_difference", -1, "'golden.max_difference'"),
        ("golden/texts", [], "'golden.texts'"),
        ("golden/outputs", [], "'golden.outputs'\n.*m\n.*0 outputs\n.*3"),
        ("golden/outputs/1/3", -3.5e38, "'golden.outputs.1.'\n.*m\n.*3.5e\\+38\n.*at most 3.4028235e\\+38"),
        ("golden/outputs/2", [1.0], "'golden.outputs.2.'\n.*m\n.*1 numbers\n.*4"),
        ("model/inputs", ["attention_mask"], "'model.inputs'"),
        ("model/inputs", ["input_ids", "input_ids"], "'model.inputs'"),
        ("model/inputs", ["input_ids", "position_ids"], "'model.inputs'"),
        ("model/file", "other.onnx", "'model.file'\n.*m\n.*other.onnx\n.*model.onnx, tokenizer.json"),
        ("tokenizer/max_length", 0, "'tokenizer.max_length'"),
        ("tokenizer/pad_id", -1, "'tokenizer.pad_id'"),
        ("session/max_batch_tokens", 0, "'session.max_batch_tokens'"),
        ("session/graph_optimization", "most", "'session.graph_optimization'"),
        ("labels", ["joy"], "'labels'\n.*m\n.*got: 1\n.*0 labels"),
        ("files/model.onnx/bytes", -1, "'files.model.onnx.bytes'"),
        ("files/model.onnx/sha256", "AB", "'files.model.onnx.sha256'"),
    ],
)
def test_each_wrong_key_is_named(manifest, key, value, message):
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(changed(manifest, key, value), "m")


def test_number_beyond_float_is_refused(manifest):
    data = manifest.to_json().replace(b'"min_cosine": 0.9999', b'"min_cosine": 1e999')
    with pytest.raises(BundleError, match=r"golden.min_cosine"):
        Manifest.from_json(data, "m")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", ".", "/etc/passwd", "a\\b", "manifest.json", "a\nb", " a"])
def test_files_stay_inside_the_folder(manifest, name):
    odd = replace(manifest, files={**manifest.files, name: FileInfo("0" * 64, 0)})
    with pytest.raises(BundleError, match=r"plain names of files"):
        Manifest.from_json(odd.to_json(), "m")


def test_classifier_needs_a_label_for_each_output(manifest):
    assert Manifest.from_json(replace(manifest, **LABELS).to_json(), "m").labels[0] == "joy"
    with pytest.raises(BundleError, match=r"'labels'\n.*m\n.*got: 0\n.*4 labels"):
        Manifest.from_json(replace(manifest, task="classification").to_json(), "m")


def test_a_manifest_that_its_checksum_does_not_fit_is_refused_before_it_is_read(bundle):
    data = (bundle / "manifest.json").read_bytes()
    (bundle / CHECKSUM).write_bytes(checksum_line(data))
    assert open_bundle(bundle).manifest == Manifest.from_json(data, "")
    for position in range(0, len(data), 97):
        altered = bytearray(data)
        altered[position] ^= 1
        (bundle / "manifest.json").write_bytes(altered)
        with pytest.raises(BundleError, match="does not fit the manifest"):
            open_bundle(bundle)
    (bundle / "manifest.json").write_bytes(data)
    (bundle / CHECKSUM).write_bytes(b"")
    with pytest.raises(BundleError, match="does not fit the manifest"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"golden": Golden(("once",), (), ((3.0, 1.5),), 1, 0)}, r"golden.outputs\[0\][\s\S]*1.5[\s\S]*from 0 to 265"),
        ({"golden": Golden(("once",), (), ((266.0,),), 1, 0)}, r"golden.outputs\[0\][\s\S]*266"),
        ({"golden": Golden(("once",), (), ((),), 1, 0)}, r"golden.outputs\[0\][\s\S]*no tokens"),
        (
            {"files": {"model.onnx": FileInfo("0" * 64, 1), "tokenizer.json": FileInfo("0" * 64, 1)}},
            "genai_config.json",
        ),
        ({"model": ModelInfo("model.onnx", ("position_ids",), "logits", 266)}, "model.inputs"),
    ],
)
def test_what_text_generation_cannot_be(change, message):
    wrong = replace(lm_parts().manifest(), **change)
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(wrong.to_json(), "m")


def test_text_generation_may_have_inputs_of_any_name():
    parts = lm_parts()
    parts.changes["model"] = ModelInfo("model.onnx", ("input_ids", "position_ids"), "logits", 266)
    assert Manifest.from_json(parts.manifest().to_json(), "m") == parts.manifest()
