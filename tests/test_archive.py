"""An archive's bytes depend on the bundle's and on nothing else."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from toolkit.archive import archive_path, write_archive

FILES = {
    "manifest.json": b"{}",
    "manifest.json.sha256": b"",
    "manifest.json.sig": b"{}",
    "empty": b"",
    "model.onnx": bytes(range(256)) * 700,
}


def bundle(folder: Path, *, order: int, mode: int, time: int) -> Path:
    folder.mkdir(parents=True)
    for name, data in list(FILES.items())[::order]:
        (folder / name).write_bytes(data)
        (folder / name).chmod(mode)
        os.utime(folder / name, (time, time))
    return folder


def plain(archive: Path) -> bytes:
    data = archive.read_bytes()
    if archive.suffix == ".gz":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().stream_reader(data).read()


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_equal_bundles_give_equal_bytes(tmp_path, compression):
    one = bundle(tmp_path / "1" / "b", order=1, mode=0o644, time=0)
    two = bundle(tmp_path / "2" / "another", order=-1, mode=0o600, time=1_700_000_000)
    archives = [archive_path(folder, compression) for folder in (one, two)]
    for folder, out in zip((one, two), archives, strict=True):
        write_archive(folder, out, compression)
    assert archives[0] == tmp_path / "1" / f"b.tar.{compression}"
    assert archives[0].read_bytes() == archives[1].read_bytes()
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["b", archives[0].name]


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_entries_carry_no_trace_of_the_builder(tmp_path, compression):
    folder = bundle(tmp_path / "b", order=1, mode=0o600, time=1_700_000_000)
    out = archive_path(folder, compression)
    write_archive(folder, out, compression)
    with tarfile.open(fileobj=io.BytesIO(plain(out))) as tar:
        entries = tar.getmembers()
        assert [entry.name for entry in entries] == list(FILES)  # manifest and signature before the rest
        for entry in entries:
            said = (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode, entry.isreg())
            assert said == (0, 0, 0, "", "", 0o644, True)
            assert tar.extractfile(entry).read() == FILES[entry.name]


def test_the_header_of_gzip_has_neither_name_nor_time(tmp_path):
    folder = bundle(tmp_path / "b", order=1, mode=0o644, time=0)
    write_archive(folder, archive_path(folder, "gz"), "gz")
    head = archive_path(folder, "gz").read_bytes()[:10]
    assert head[3] == 0  # FLG, RFC 1952 2.3.1: no FNAME
    assert head[4:8] == bytes(4)  # MTIME


def test_a_bundle_that_cannot_be_read_leaves_no_archive(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_archive(tmp_path / "none", tmp_path / "none.tar.gz", "gz")
    assert list(tmp_path.iterdir()) == []
