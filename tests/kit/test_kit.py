"""What is in a kit, and that it is the same every time."""

import hashlib
import json
import tarfile
from dataclasses import replace

import pytest

from tests.kit import VERSION, small_tree
from tests.runtime.tiny import Parts
from toolkit.cli import main
from toolkit.errors import BundleError, UsageError
from toolkit.kit import Runtime, write_kit
from toolkit.runtime import cpu
from toolkit.runtime.manifest import TargetInfo
from toolkit.runtime.signature import check
from toolkit.runtime.unpacking import unpack
from toolkit.trust.signing import load_private


@pytest.fixture
def runtime(tmp_path):
    return Runtime(small_tree(tmp_path / "tree"), cpu.architecture(), VERSION)


def content(kit):
    """Return the kit's files, in order."""
    with tarfile.open(kit) as tar:
        assert all(entry.isreg() and entry.uid == entry.mtime == 0 for entry in tar.getmembers())
        return {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers()}


def test_a_kit_is_complete_and_every_file_is_in_the_sums(made, tmp_path):
    found = content(made.kit("one"))
    assert list(found)[:2] == ["SHA256SUMS", "SHA256SUMS.sig"]
    assert set(found) == {
        "SHA256SUMS", "SHA256SUMS.sig", "bundles/one-test.tar", "docs/deploy.md", "docs/trust.md",
        "edgequant-deploy.sh", "edgequant.service", "kit.conf", "runtime.tar",
    }  # fmt: skip
    sums = {line.split()[1]: line.split()[0] for line in found.pop("SHA256SUMS").decode().splitlines()}
    found.pop("SHA256SUMS.sig")
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    (tmp_path / "b.tar").write_bytes(found["bundles/one-test.tar"])
    assert unpack(tmp_path / "b.tar", tmp_path / "b").name == "one"


def test_two_builds_give_the_same_bytes(made, tmp_path, runtime):
    again = tmp_path / "again.tar.gz"
    digest = write_kit(again, [made.folder / "one"], runtime, load_private(made.key))
    assert again.read_bytes() == made.kit("one").read_bytes()
    assert digest == hashlib.sha256(content(again)["SHA256SUMS"]).hexdigest()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_signature_is_for_kits_alone(made):
    found = content(made.kit("one"))
    signature, sums = found["SHA256SUMS.sig"], hashlib.sha256(found["SHA256SUMS"]).hexdigest()
    check(signature, f"edgequant kit v1 sha256:{sums}", made.public.read_bytes(), "")
    with pytest.raises(BundleError, match="for something else"):
        check(signature, f"edgequant bundle v1 sha256:{sums}", made.public.read_bytes(), "")


def test_bundles_that_do_not_go_together_are_refused(made, tmp_path, runtime):
    out = tmp_path / "k.tar.gz"
    with pytest.raises(UsageError, match="have one name"):
        write_kit(out, [made.folder / "one", made.folder / "one"], runtime)
    with pytest.raises(UsageError, match="for one architecture"):
        write_kit(out, [made.folder / "one"], replace(runtime, architecture="riscv64"))
    bundle = Parts().write(tmp_path / "damaged")
    (bundle / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="wrong size"):
        write_kit(out, [bundle], runtime)
    with pytest.raises(UsageError, match="not one program loader"):
        write_kit(out, [made.folder / "one"], replace(runtime, host_python=""))
    assert not out.exists()


def test_strange_names_become_plain(tmp_path, runtime):
    target = TargetInfo("täst target/2", cpu.architecture(), ())
    bundle = Parts(changes={"name": "../ö model", "target": target}).write(tmp_path / "b")
    write_kit(tmp_path / "k.tar.gz", [bundle], runtime)
    assert "bundles/model-t-st-target-2.tar" in content(tmp_path / "k.tar.gz")


def test_what_the_command_refuses(made, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert main(["kit", str(made.folder / "one"), "-o", str(tmp_path / "taken")]) == 2
    assert "the output exists" in capsys.readouterr().err
    assert main(["kit", str(made.folder / "one"), "-o", str(tmp_path / "k"), "--slim", "--wheels-only"]) == 2
    assert main(["kit", str(made.folder / "none"), "-o", str(tmp_path / "k")]) == 2


def test_the_header_is_the_one_that_the_script_asks_for(made):
    data = made.kit("one").read_bytes()
    assert data[:10].hex() == "1f8b08000000000002ff"
    assert json.loads(content(made.kit("one"))["SHA256SUMS.sig"])["algorithm"] == "ed25519"
