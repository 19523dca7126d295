"""Keys, signatures, and every way in which a signature is not the one that was asked for."""

import base64
import json
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization as io
from cryptography.hazmat.primitives.asymmetric import ec

from tests.runtime.tiny import Parts
from toolkit.archive import write_archive
from toolkit.cli import main
from toolkit.errors import BundleError, UsageError
from toolkit.runtime import model as runtime_model
from toolkit.runtime.__main__ import main as device
from toolkit.runtime.signature import verify_signature
from toolkit.trust.signing import generate, load_private, sign_bundle
from toolkit.trust.unpack import unpack_bundle


@pytest.fixture
def bundle(tmp_path):
    return Parts().write(tmp_path / "bundle")


@pytest.fixture
def keys(tmp_path):
    """The files of a private and a public key."""
    generate(tmp_path / "key")
    return tmp_path / "key", tmp_path / "key.pub"


def test_a_signed_bundle_verifies_here_and_on_the_device(bundle, keys, capsys):
    assert main(["sign", str(bundle), "--key", str(keys[0])]) == 0
    verify_signature(bundle, keys[1].read_bytes())
    assert main(["verify", str(bundle), "--key", str(keys[1]), "--json"]) == 0
    checks = {check["name"]: check["ok"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["signature"]
    assert checks["other files"]  # the signature is no stranger
    assert device(["verify", str(bundle), "--key", str(keys[1])]) == 0


def test_a_signature_is_the_same_every_time(bundle, keys):
    key = load_private(keys[0])
    first = sign_bundle(bundle, key).read_bytes()
    assert sign_bundle(bundle, key).read_bytes() == first
    assert set(json.loads(first)) == {"schema", "algorithm", "key", "signed", "signature"}


def test_keys_are_what_openssl_reads_and_signatures_what_it_checks(tmp_path, bundle, keys):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    found = json.loads(sign_bundle(bundle, load_private(keys[0])).read_bytes())
    (tmp_path / "said").write_text(found["signed"])
    (tmp_path / "raw").write_bytes(base64.b64decode(found["signature"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin", "-in", tmp_path / "said"]
    assert subprocess.run([*command, "-sigfile", tmp_path / "raw"], capture_output=True, check=False).returncode == 0
    (tmp_path / "said").write_text(found["signed"] + "x")
    assert subprocess.run([*command, "-sigfile", tmp_path / "raw"], capture_output=True, check=False).returncode != 0
    made = subprocess.run(["openssl", "pkey", "-in", keys[0], "-pubout"], capture_output=True, check=True).stdout
    assert made == keys[1].read_bytes()


def test_a_key_of_openssl_signs(tmp_path, bundle):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key = tmp_path / "theirs"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    key.chmod(0o600)
    sign_bundle(bundle, load_private(key))
    public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], capture_output=True, check=True).stdout
    verify_signature(bundle, public)


def refused(bundle, public, words, monkeypatch):
    """Assert that a bundle is refused in words by every way in, and that no model is loaded."""

    def loaded(*_args, **_more):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(runtime_model.TextModel, "__init__", loaded)
    with pytest.raises(BundleError, match=words):
        verify_signature(bundle, public)
    public_file = bundle.parent / "asked.pub"
    public_file.write_bytes(public)
    assert device(["verify", str(bundle), "--key", str(public_file)]) == 1
    archive = bundle.parent / "b.tar.gz"
    write_archive(bundle, archive, "gz")
    with pytest.raises(BundleError, match=words):
        unpack_bundle(archive, bundle.parent / "unpacked", public)
    assert not (bundle.parent / "unpacked").exists()


def test_unsigned(bundle, keys, monkeypatch):
    refused(bundle, keys[1].read_bytes(), "is not signed", monkeypatch)


def test_signed_by_another(tmp_path, bundle, keys, monkeypatch):
    other = generate(tmp_path / "other")
    sign_bundle(bundle, load_private(keys[0]))
    refused(bundle, other.read_bytes(), "by another key", monkeypatch)
    found = json.loads((bundle / "manifest.json.sig").read_bytes())
    sign_bundle(bundle, load_private(tmp_path / "other"))
    name = json.loads((bundle / "manifest.json.sig").read_bytes())["key"]
    (bundle / "manifest.json.sig").write_text(json.dumps(found | {"key": name}))  # the right name, a wrong signature
    refused(bundle, other.read_bytes(), "the signature is wrong", monkeypatch)


def test_a_replaced_manifest(bundle, keys, monkeypatch):
    sign_bundle(bundle, load_private(keys[0]))
    signature = (bundle / "manifest.json.sig").read_bytes()
    shutil.rmtree(bundle)
    Parts(changes={"name": "evil"}).write(bundle)
    (bundle / "manifest.json.sig").write_bytes(signature)
    refused(bundle, keys[1].read_bytes(), "for something else", monkeypatch)


def test_a_flipped_bit_of_the_signature(bundle, keys, monkeypatch):
    path = sign_bundle(bundle, load_private(keys[0]))
    data = path.read_bytes()
    found = json.loads(data)
    raw = bytearray(base64.b64decode(found["signature"]))
    for position in (0, 31, 32, 63):
        raw[position] ^= 1
        path.write_text(json.dumps(found | {"signature": base64.b64encode(raw).decode()}))
        refused(bundle, keys[1].read_bytes(), "the signature is wrong", monkeypatch)
        raw[position] ^= 1
    public = keys[1].read_bytes()
    for position in range(0, len(data), 3):
        altered = bytearray(data)
        altered[position] ^= 4
        path.write_bytes(altered)
        if json_or_none(altered) != found:  # a blank for another blank
            with pytest.raises(BundleError):
                verify_signature(bundle, public)


def json_or_none(data):
    try:
        return json.loads(data)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "of another schema"),
        ({"algorithm": "none"}, "wrong value for key 'algorithm'"),
        ({"signature": ""}, "the signature is wrong"),
        ({"signature": "not base64!"}, "the signature is wrong"),
        ({"more": 1}, "unknown key 'more'"),
        ({"signed": "edgequant kit v1 sha256:00"}, "for something else"),
    ],
)
def test_a_signature_of_another_form(bundle, keys, monkeypatch, change, words):
    path = sign_bundle(bundle, load_private(keys[0]))
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    refused(bundle, keys[1].read_bytes(), words, monkeypatch)


def test_a_damaged_bundle_is_not_signed(bundle, keys, capsys):
    (bundle / "model.onnx").write_bytes(b"other")
    assert main(["sign", str(bundle), "--key", str(keys[0])]) == 1
    assert "the bundle is not whole" in capsys.readouterr().err
    assert not (bundle / "manifest.json.sig").exists()


def test_the_private_key_is_for_its_owner_alone(tmp_path, bundle, keys):
    assert keys[0].stat().st_mode & 0o777 == 0o600
    assert main(["keygen", "-o", str(tmp_path / "second")]) == 0
    with pytest.raises(UsageError, match="the key exists"):
        generate(keys[0])
    keys[0].unlink()
    with pytest.raises(UsageError, match="the key exists"):  # its public half
        generate(keys[0])
    with pytest.raises(UsageError, match="no such key"):
        load_private(keys[0])
    (tmp_path / "second").chmod(0o640)
    with pytest.raises(UsageError, match="read by others"):
        load_private(tmp_path / "second")
    assert not (bundle / "manifest.json.sig").exists()


def test_keys_of_another_kind(tmp_path, bundle, keys):
    sign_bundle(bundle, load_private(keys[0]))
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "ec"
    path.write_bytes(key.private_bytes(io.Encoding.PEM, io.PrivateFormat.PKCS8, io.NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(UsageError, match="of another kind"):
        load_private(path)
    public = key.public_key().public_bytes(io.Encoding.PEM, io.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UsageError, match="of another kind"):
        verify_signature(bundle, public)
    with pytest.raises(UsageError, match="not PEM"):
        verify_signature(bundle, keys[0].read_bytes())
    path.write_bytes(b"nonsense")
    with pytest.raises(UsageError, match="cannot be read"):
        load_private(path)
    secret = load_private(keys[0])
    path.write_bytes(
        secret.private_bytes(io.Encoding.PEM, io.PrivateFormat.PKCS8, io.BestAvailableEncryption(b"password"))
    )
    with pytest.raises(UsageError, match="cannot be read"):
        load_private(path)


def test_a_device_without_cryptography_checks_as_well(bundle, keys, tmp_path, monkeypatch):
    sign_bundle(bundle, load_private(keys[0]))
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    verify_signature(bundle, keys[1].read_bytes())
    other = generate(tmp_path / "other")
    with pytest.raises(BundleError, match="by another key"):
        verify_signature(bundle, other.read_bytes())
    path = bundle / "manifest.json.sig"
    found = json.loads(path.read_bytes())
    raw = base64.b64decode(found["signature"])
    path.write_text(json.dumps(found | {"signature": base64.b64encode(raw[:63] + bytes([raw[63] ^ 1])).decode()}))
    with pytest.raises(BundleError, match="the signature is wrong"):
        verify_signature(bundle, keys[1].read_bytes())
