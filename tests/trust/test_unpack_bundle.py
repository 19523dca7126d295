"""A bundle's archive gives the bundle, or nothing at all."""

import gzip
import io
import json
import random
import subprocess
import sys
import tarfile

import pytest

from tests.runtime.tiny import Parts
from tests.trust import snapshot, special, tar_of, write_packed
from toolkit.archive import archive_path, write_archive
from toolkit.cli import main
from toolkit.errors import BundleError, UsageError
from toolkit.runtime.__main__ import main as device
from toolkit.runtime.manifest import CHECKSUM, checksum_line
from toolkit.runtime.unpacking import unpack_from
from toolkit.runtime.verification import verify
from toolkit.trust.unpack import unpack_bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny bundle's folder."""
    folder = Parts().write(tmp_path_factory.mktemp("made") / "bundle")
    (folder / CHECKSUM).write_bytes(checksum_line((folder / "manifest.json").read_bytes()))
    return folder


def files(bundle):
    names = sorted((path.name for path in bundle.iterdir()), key=lambda name: (not name.startswith("manifest"), name))
    return [(name, (bundle / name).read_bytes()) for name in names]


def refuse(tmp_path, data, words, name="b.tar"):
    """Assert that an archive is refused in words, and that it leaves nothing."""
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    archive = write_packed(tmp_path / name, data)
    with pytest.raises(BundleError, match=words):
        unpack_bundle(archive, place / "deep" / "b")
    assert [path for path in place.rglob("*") if path.name != "deep"] == []
    assert main(["unpack", str(archive), "-o", str(place / "deep" / "b")]) == 1


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_what_was_packed_comes_back(tmp_path, made, compression):
    archive = tmp_path / f"bundle.tar.{compression}"
    write_archive(made, archive, compression)
    manifest = unpack_bundle(archive, tmp_path / "new" / "b")
    assert manifest.name == json.loads((made / "manifest.json").read_bytes())["name"]
    assert files(tmp_path / "new" / "b") == files(made)
    assert verify(tmp_path / "new" / "b").ok
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new" / "b").iterdir()} == {0o644}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b"]


def test_a_plain_tar_and_one_of_gnu_tar_are_read(tmp_path, made):
    names = [name for name, _ in files(made)]
    subprocess.run(["tar", "-C", made, "-cf", tmp_path / "gnu.tar", *names], check=True)
    unpack_bundle(tmp_path / "gnu.tar", tmp_path / "b")
    assert files(tmp_path / "b") == files(made)


def test_the_device_unpacks_with_the_standard_library(tmp_path, made, capsys):
    archive = archive_path(made, "gz")
    write_archive(made, archive, "gz")
    assert device(["unpack", str(archive), "-o", str(tmp_path / "b")]) == 0
    assert files(tmp_path / "b") == files(made)
    assert "files -> " in capsys.readouterr().err
    write_archive(made, tmp_path / "b.tar.zst", "zst")
    assert device(["unpack", str(tmp_path / "b.tar.zst"), "-o", str(tmp_path / "c")]) == 2
    assert "edgequant[quantize]" in capsys.readouterr().err
    code = "import sys, toolkit.runtime.unpack_command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "onnxruntime", "cryptography", "zstandard"} & set(loaded)


def test_what_is_in_the_way_or_missing_is_said(tmp_path, made):
    write_archive(made, tmp_path / "b.tar.gz", "gz")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match="the output exists"):
        unpack_bundle(tmp_path / "b.tar.gz", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
    with pytest.raises(UsageError, match="no such archive"):
        unpack_bundle(tmp_path / "none.tar.gz", tmp_path / "b")


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_flipped_byte_anywhere_is_refused(tmp_path, made, compression):
    archive = tmp_path / f"b.tar.{compression}"
    write_archive(made, archive, compression)
    data = archive.read_bytes()
    seeded = random.Random(5)  # noqa: S311
    same = 0
    for position in sorted(seeded.sample(range(len(data)), 120)):
        altered = bytearray(data)
        altered[position] ^= 1 << seeded.randrange(8)
        archive.write_bytes(altered)
        out = tmp_path / f"out-{position}"
        try:
            unpack_bundle(archive, out)
        except (BundleError, UsageError):
            assert not out.exists()
        else:  # a bit that means nothing: gzip's time, flags of padding, an owner in a header of tar
            same += 1
            assert files(out) == files(made)
    assert same < 20
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.4, 0.99])
@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_cut_archive_is_refused(tmp_path, made, compression, keep):
    archive = tmp_path / f"b.tar.{compression}"
    write_archive(made, archive, compression)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises((BundleError, UsageError)):
        unpack_bundle(archive, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "..", "sub/../../../evil", "./../evil", "model.onnx/../../evil"]
)
def test_a_path_that_leads_out_is_refused(tmp_path, made, name):
    refuse(tmp_path, tar_of([*files(made), (name, b"x")]), "leads out of its folder|does not list")
    refuse(tmp_path, tar_of([(name, b"x"), *files(made)]), "leads out of its folder")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "files only|does not list"),
        (tarfile.LNKTYPE, "files only|does not list"),
        (tarfile.DIRTYPE, "files only|does not list"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a fifo"),
        (tarfile.CONTTYPE, "a contiguous file"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (b"Z", "of type b'Z'"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, made, kind, words):
    for name in ("stranger", "model.onnx"):
        content = [pair for pair in files(made) if pair[0] != name]
        refuse(tmp_path, tar_of([*content, (special(name, kind, "manifest.json"), b"")]), words)


def test_the_manifest_comes_first(tmp_path, made):
    refuse(tmp_path, tar_of(files(made)[::-1]), "no bundle's")
    refuse(tmp_path, tar_of([]), "no bundle's")
    refuse(tmp_path, b"", "ends too early")
    refuse(tmp_path, b"not a tar" * 100, "no tar that can be read")


def test_what_the_manifest_does_not_list_is_refused(tmp_path, made):
    every = files(made)
    refuse(tmp_path, tar_of([*every, ("stranger", b"x")]), "more entries|does not list")
    refuse(tmp_path, tar_of([every[0], ("stranger", b"x"), *every[1:]]), "does not list")
    refuse(tmp_path, tar_of([every[0], ("sub/model.onnx", b"x"), *every[1:]]), "does not list")
    refuse(tmp_path, tar_of([*every[:3], every[2], *every[3:]]), "again")
    refuse(tmp_path, tar_of([every[0], every[0], *every[1:]]), "again")
    refuse(tmp_path, tar_of(every[:-1]), "not in the archive")
    refuse(tmp_path, tar_of([*every[:-1], (every[-1][0], every[-1][1] + b"x")]), "wrong size")
    refuse(tmp_path, tar_of([*every[:-1], (every[-1][0], every[-1][1][:-1] + b"~")]), "not what the manifest says")


def test_what_follows_the_end_is_refused(tmp_path, made):
    data = tar_of(files(made))
    refuse(tmp_path, data + data, "follows the end")
    refuse(tmp_path, data + bytes(4 << 20), "follows the end")
    (tmp_path / "two.tar.gz").write_bytes(gzip.compress(data, mtime=0) + gzip.compress(b"more", mtime=0))
    with pytest.raises(BundleError, match="follows the end"):
        unpack_bundle(tmp_path / "two.tar.gz", tmp_path / "b")
    (tmp_path / "junk.tar.gz").write_bytes(gzip.compress(data, mtime=0) + b"junk")
    with pytest.raises(BundleError, match="cannot be decompressed"):
        unpack_bundle(tmp_path / "junk.tar.gz", tmp_path / "b")


def test_names_that_one_disk_would_confuse_are_refused(tmp_path, made):
    manifest = json.loads((made / "manifest.json").read_bytes())
    manifest["files"]["MODEL.onnx"] = manifest["files"]["model.onnx"]
    data = json.dumps(manifest).encode()
    refuse(tmp_path, tar_of([("manifest.json", data), *files(made)[2:]]), "upper and lower case")


class _Zeros(io.RawIOBase):
    """Endless zeros after a head; counts what was asked for."""

    def __init__(self, head):
        self.head, self.given = io.BytesIO(head), 0

    def read(self, size=-1, /):
        data = self.head.read(size) or bytes(size)
        self.given += len(data)
        return data


def header(name, size, kind=tarfile.REGTYPE):
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)  # sizes of any length


def test_bombs_are_stopped_before_they_are_read(tmp_path, made):
    manifest = files(made)[0]
    heads = {
        "a first entry that goes on": header("manifest.json", 1 << 50),
        "a manifest of a gigabyte": header("manifest.json", 1 << 30),
        "a file that is larger than said": tar_of([manifest])[: 512 + -(-len(manifest[1]) // 512) * 512]
        + header("model.onnx", 1 << 40),
        "a negative size": header("manifest.json", -512),
        "a long name of a gigabyte": header("././@LongLink", 1 << 30, tarfile.GNUTYPE_LONGNAME),
        "a pax header of a gigabyte": header("x", 1 << 30, tarfile.XHDTYPE),
        "a global pax header": header("x", 1 << 30, tarfile.XGLTYPE),
    }
    for what, head in heads.items():
        source = _Zeros(head)
        with pytest.raises(BundleError):
            unpack_from(source, what, tmp_path / "b")
        assert source.given < 1 << 20, what
        assert list(tmp_path.iterdir()) == [], what


def test_a_manifest_that_promises_more_than_the_disk_holds_is_refused(tmp_path, made):
    manifest = json.loads((made / "manifest.json").read_bytes())
    manifest["files"]["model.onnx"]["bytes"] = 1 << 60
    refuse(tmp_path, tar_of([("manifest.json", json.dumps(manifest).encode())]), "does not fit on this disk")


def test_a_compressed_bomb_is_refused_in_little_memory(tmp_path, made):
    manifest = files(made)[0]
    start = tar_of([manifest])[: 512 + -(-len(manifest[1]) // 512) * 512]
    refuse(tmp_path, start + bytes(300 << 20), "follows the end", "bomb.tar.gz")
    refuse(tmp_path, start + header("model.onnx", 300 << 20) + bytes(300 << 20), "than it may|wrong size", "b.tar.zst")


def test_nothing_but_the_folder_changes(tmp_path, made):
    (tmp_path / "beside").write_text("mine")
    before = snapshot(tmp_path)
    write_packed(tmp_path / "b.tar", tar_of([*files(made), ("../beside", b"evil")]))
    with pytest.raises(BundleError):
        unpack_bundle(tmp_path / "b.tar", tmp_path / "b")
    (tmp_path / "b.tar").unlink()
    assert snapshot(tmp_path) == before
