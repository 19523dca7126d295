"""Signed images: the layout's folder and the tar, each way of being wrong, and what is inside about itself."""

import base64
import json
import shutil
import subprocess

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from toolkit.cli import main
from toolkit.errors import BundleError
from toolkit.image.layout import write_archive
from toolkit.image.platforms import AMD64
from toolkit.image.reading import open_layout
from toolkit.image.signing import check_image, payload
from toolkit.trust.signing import generate


@pytest.fixture
def keys(tmp_path):
    return tmp_path / "key", generate(tmp_path / "key")


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_signed_image_verifies_and_any_other_is_refused(small, keys, kind, capsys):
    image = small.build("image")
    if kind == "tar":
        write_archive(image, small.folder / "image.tar")
        image = small.folder / "image.tar"
    verify = ["image", "verify", str(image), "--key", str(keys[1])]
    assert main(verify) == 1
    assert "the image is not signed" in capsys.readouterr().err
    assert main(["sign", str(image), "--key", str(keys[0])]) == 0
    assert main(verify) == 0
    unpack = ["image", "unpack", str(image), "--platform", "linux/amd64", "-o", str(small.folder / "root")]
    other = generate(small.folder / "other")
    assert main([*unpack, "--key", str(other)]) == 1
    assert "by another key" in capsys.readouterr().err
    assert not (small.folder / "root").exists()
    assert main([*unpack, "--key", str(keys[1])]) == 0


def test_a_signature_is_for_one_image(small, keys):
    one, two = small.build("one"), small.build("two", labels={"a": "b"})
    assert main(["sign", str(one), "--key", str(keys[0])]) == 0
    shutil.copyfile(one.with_name("one.sig"), two.with_name("two.sig"))
    with open_layout(two) as layout, pytest.raises(BundleError, match="for something else"):
        check_image(two, layout.digest, keys[1].read_bytes())


def test_the_payload_is_simple_signings_and_openssl_checks_it(small, keys):
    image = small.build("image")
    assert main(["sign", str(image), "--key", str(keys[0])]) == 0
    found = json.loads(image.with_name("image.sig").read_bytes())
    with open_layout(image) as layout:
        assert found["signed"] == payload(layout.digest)
    said = json.loads(found["signed"])
    assert said["critical"]["type"] == "cosign container image signature"
    assert said["critical"]["image"] == {"docker-manifest-digest": layout.digest}
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    (small.folder / "said").write_text(found["signed"])
    (small.folder / "raw").write_bytes(base64.b64decode(found["signature"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin", "-in", small.folder / "said"]
    subprocess.run([*command, "-sigfile", small.folder / "raw"], check=True, capture_output=True)


def test_an_image_says_what_it_is_made_of(small, capsys):
    image = small.build("image")
    assert main(["sbom", str(image), "--platform", "linux/amd64"]) == 0
    printed = capsys.readouterr().out
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(printed) is None
    names = {one["name"] for one in json.loads(printed)["components"]}
    assert names == {"h11", "numpy", "onnxruntime", "tokenizers", "tiny-for-x86_64"}
    assert main(["sbom", str(image), "--platform", "linux/amd64", "--provenance"]) == 0
    statement = json.loads(capsys.readouterr().out)
    said = {one["digest"]["sha256"] for one in statement["subject"]}
    with open_layout(image) as layout:
        layers = {layer.diff_id.removeprefix("sha256:"): layer for layer in layout.image(AMD64).layers}
    assert {layers.pop(digest).digest for digest in said}
    assert [layer.created_by or "SBOM and provenance" for layer in layers.values()] == ["SBOM and provenance"]


def test_a_slim_image_does_not_claim_numpy(small, capsys):
    image = small.build("slim", slim=True)
    assert main(["sbom", str(image), "--platform", "linux/arm64"]) == 0
    assert "numpy" not in {one["name"] for one in json.loads(capsys.readouterr().out)["components"]}
