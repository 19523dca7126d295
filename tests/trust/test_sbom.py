"""Bills of materials that CycloneDX's own validator takes, and statements of the form that in-toto and SLSA ask for."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.cli import workplace
from tests.runtime.tiny import Parts
from toolkit.cli import main
from toolkit.runtime.bundle import open_bundle
from toolkit.trust.provenance import Build, statement
from toolkit.trust.sbom import Component, pypi, sbom

PARTS = (
    Component("data", "set", sha256="ab" * 32, licence="CC BY-SA 4.0, ask first", build_only=True),
    Component("data", "set", sha256="cd" * 32, source="another part of it", build_only=True),
    Component("machine-learning-model", "model.onnx", sha256="12" * 32, made_from="34" * 32),
    pypi("numpy", "2.4.6", sha256="56" * 32),
    Component("library", "libc6", "2.36-9+deb12u14", purl="pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=arm64"),
)


def require_valid(document):
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode())
    assert errors is None, errors


def test_every_field_is_valid_and_the_same_again():
    made = sbom(Component("container", "image", source="linux/arm64"), PARTS)
    require_valid(made)
    assert made == sbom(Component("container", "image", source="linux/arm64"), PARTS)
    assert json.loads(made)["serialNumber"] != json.loads(sbom(PARTS[0], PARTS))["serialNumber"]
    refs = [one["bom-ref"] for one in json.loads(made)["components"]]
    assert len(set(refs)) == len(refs) == len(PARTS)
    depends = json.loads(made)["dependencies"][0]["dependsOn"]
    assert depends == [part.ref for part in PARTS if not part.build_only]


def test_a_statement_names_its_subjects_and_what_they_were_made_from():
    made = json.loads(statement({"model.onnx": "12" * 32}, Build("quantize", {"target": "x86-avx2"}, PARTS)))
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    assert made["subject"] == [{"name": "model.onnx", "digest": {"sha256": "12" * 32}}]
    definition = made["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"target": "x86-avx2"}
    assert {"name": "numpy", "uri": "pkg:pypi/numpy@2.4.6", "digest": {"sha256": "56" * 32}} in definition[
        "resolvedDependencies"
    ]
    assert "startedOn" not in json.dumps(made)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    place = workplace(tmp_path_factory.mktemp("place"))
    assert main(place.command()) == 0
    return place.out


def test_a_bundle_says_what_it_is_made_of(bundle, capsys):
    capsys.readouterr()
    assert main(["sbom", str(bundle)]) == 0
    printed = capsys.readouterr().out.encode()
    assert printed == (bundle / "sbom.cdx.json").read_bytes()
    require_valid(printed)
    found = {one["name"]: one for one in json.loads(printed)["components"]}
    manifest = open_bundle(bundle).manifest
    assert found["model.onnx"]["hashes"][0]["content"] == manifest.files["model.onnx"].sha256
    assert (
        found["model.onnx"]["pedigree"]["ancestors"][0]["hashes"][0]["content"] == manifest.provenance["model_sha256"]
    )
    assert found["onnxruntime"]["version"] == manifest.provenance["versions"]["onnxruntime"]
    assert found["onnx"]["scope"] == "excluded"
    assert {found[name]["type"] for name in ("calibration.jsonl", "evaluation.csv")} == {"data"}


def test_a_bundle_says_how_it_was_made(bundle, capsys):
    capsys.readouterr()
    assert main(["sbom", str(bundle), "--provenance"]) == 0
    found = json.loads(capsys.readouterr().out)
    manifest = open_bundle(bundle).manifest
    subjects = {one["name"]: one["digest"]["sha256"] for one in found["subject"]}
    assert subjects == {name: manifest.files[name].sha256 for name in subjects}
    assert {"model.onnx", "tokenizer.json", "quantization.json"} == set(subjects)
    parts = {one["name"]: one for one in found["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert parts[f"{manifest.name} (float)"]["digest"]["sha256"] == manifest.provenance["model_sha256"]


def test_an_altered_bundle_is_not_shown(bundle, capsys):
    path = bundle / "sbom.cdx.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"onnxruntime", b"onnxruntimE"))
    assert main(["sbom", str(bundle)]) == 1
    assert "not whole" in capsys.readouterr().err
    path.write_bytes(data)


def test_what_has_none_is_said(tmp_path, capsys):
    assert main(["sbom", str(Parts().write(tmp_path / "b"))]) == 1
    assert "there is no sbom.cdx.json" in capsys.readouterr().err
