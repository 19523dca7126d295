"""Layers of images: links stay inside, whiteouts remove what lower layers left, and nothing else happens."""

import io
import tarfile

import pytest

from tests.trust import snapshot, special, tar_of, write_packed
from toolkit.errors import BundleError, UsageError
from toolkit.runtime.tarstream import Limits
from toolkit.trust.unpack import unpack_layer, unpack_layers

SYM, LINK, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def layer(tmp_path, *entries, name="layer.tar", form=tarfile.PAX_FORMAT):
    return write_packed(tmp_path / name, tar_of(entries, form))


def refuse(tmp_path, words, *entries, form=tarfile.PAX_FORMAT):
    """Assert that a layer is refused in words, and that nothing outside the folder changed."""
    outside = tmp_path / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_text("mine")
    before = snapshot(outside)
    path = layer(tmp_path, *entries, form=form)
    with pytest.raises(BundleError, match=words):
        unpack_layers([path], tmp_path / "root")
    assert snapshot(outside) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["layer.tar", "outside"]


@pytest.mark.parametrize("name", ["l.tar", "l.tar.gz", "l.tar.zst"])
def test_a_root_filesystem_comes_out_as_it_is(tmp_path, name):
    program = tarfile.TarInfo("usr/bin/run")
    program.mode, program.size = 0o4755, 2
    path = layer(
        tmp_path,
        (special("usr", FOLDER, mode=0o755), b""),
        (special("usr/bin", FOLDER, mode=0o555), b""),
        (program, b"#!"),
        (special("bin", SYM, "usr/bin"), b""),
        (special("usr/bin/again", LINK, "usr/bin/run"), b""),
        (special("usr/bin/other", SYM, "../bin/run"), b""),
        (special("etc/absolute", SYM, "/usr/bin/run"), b""),
        ("bin/through", b"here"),
        ("a" * 150 + "/" + "é" * 100, b"long"),
        name=name,
    )
    root = tmp_path / "root"
    unpack_layers([path], root)
    assert (root / "usr/bin/through").read_bytes() == b"here"
    assert (root / "usr/bin/run").stat().st_mode & 0o7777 == 0o755  # no set-user-id
    assert (root / "usr/bin/again").stat().st_ino == (root / "usr/bin/run").stat().st_ino
    assert (root / "usr/bin").stat().st_mode & 0o777 == 0o755  # always ours to remove
    assert str((root / "etc/absolute").readlink()) == "/usr/bin/run"
    assert (root / ("a" * 150) / ("é" * 100)).read_bytes() == b"long"


def test_gnu_names_of_any_length_are_read(tmp_path):
    long = "/".join(["folder"] * 60)
    path = layer(tmp_path, (f"{long}/f", b"x"), (special("s", SYM, long), b""), form=tarfile.GNU_FORMAT)
    unpack_layers([path], tmp_path / "root")
    assert (tmp_path / "root" / "s" / "f").read_bytes() == b"x"


def test_absolute_links_are_followed_inside_the_root(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    path = layer(
        tmp_path,
        (special("way", SYM, str(outside)), b""),
        ("way/file", b"x"),
        (special("up", SYM, "/../../.."), b""),
        ("up/inside", b"y"),
    )
    unpack_layers([path], tmp_path / "root")
    assert list(outside.iterdir()) == []
    assert (tmp_path / "root" / str(outside)[1:] / "file").read_bytes() == b"x"
    assert (tmp_path / "root/inside").read_bytes() == b"y"


def test_what_leads_out_is_refused(tmp_path):
    for name in ("../outside/file", "/outside/file", "a/../../outside/file"):
        refuse(tmp_path, "leads out of its folder", (name, b"evil"))
    refuse(tmp_path, "symbolic link of the layer leads out", (special("s", SYM, "../outside/file"), b""))
    refuse(
        tmp_path, "symbolic link of the layer leads out", (special("a/s", SYM, "../../outside"), b""), ("a/s/f", b"x")
    )
    for target in ("../outside/file", "/../outside/file", "none", "", "a/../../outside/file"):
        refuse(tmp_path, "leads to no file|is empty", (special("h", LINK, target), b""))
    path = str(tmp_path / "outside/file")
    refuse(tmp_path, "leads to no file", (special("s", SYM, path), b""), (special("h", LINK, "s"), b""))
    refuse(tmp_path, "leads to no file", (special("h", LINK, path), b""))
    chain = [(special("a", SYM, "b"), b""), (special("b", SYM, "a"), b""), ("a/x", b"")]
    refuse(tmp_path, "too many links", *chain)


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    """The classic: a link out, then a file of the same name."""
    outside = tmp_path / "file"
    outside.write_text("mine")
    link = (special("s", SYM, str(outside)), b"")
    with pytest.raises(BundleError, match="a path twice"):
        unpack_layers([layer(tmp_path, link, ("s", b"evil"))], tmp_path / "root")
    lower, upper = layer(tmp_path, link, name="1.tar"), layer(tmp_path, ("s", b"new"), name="2.tar")
    unpack_layers([lower, upper], tmp_path / "root")
    assert outside.read_text() == "mine"
    assert (tmp_path / "root/s").read_bytes() == b"new"
    assert not (tmp_path / "root/s").is_symlink()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"Z"])
def test_what_is_neither_file_nor_folder_nor_link_is_refused(tmp_path, kind):
    refuse(tmp_path, "neither file, folder nor link", (special("x", kind), b""))


def test_twins_are_refused(tmp_path):
    refuse(tmp_path, "a path twice", ("a", b"1"), ("a", b"2"))
    refuse(tmp_path, "a path twice", ("a/b", b"1"), ("./a//b", b"2"))
    refuse(tmp_path, "a path twice", ("a/b", b"1"), ("a", b"2"))
    refuse(tmp_path, "both a file and a folder", ("a", b"1"), ("a/b", b"2"))
    refuse(tmp_path, "both a file and a folder", (special("a", SYM, "b"), b""), (special("a", FOLDER), b""))


def test_whiteouts(tmp_path):
    lower = layer(tmp_path, ("a/one", b"1"), ("a/two", b"2"), ("b/three", b"3"), ("b/sub/four", b"4"), name="1.tar")
    upper = layer(
        tmp_path, ("a/.wh.one", b""), ("a/.wh.none", b""), ("b/new", b"n"), ("b/.wh..wh..opq", b""), name="2.tar"
    )
    unpack_layers([lower, upper], tmp_path / "root")
    found = sorted(str(p.relative_to(tmp_path / "root")) for p in (tmp_path / "root").rglob("*"))
    assert found == ["a", "a/two", "b", "b/new"]
    for name in (".wh.", ".wh..", ".wh..."):
        (tmp_path / "third").mkdir(exist_ok=True)
        with pytest.raises(BundleError, match="names nothing"):
            unpack_layer(layer(tmp_path, (f"a/{name}", b""), name="3.tar"), tmp_path / "root")
    assert (tmp_path / "root/a/two").exists()


def pax(records, size=0):
    """Return a pax header block with raw records, and the file after it."""
    head = tarfile.TarInfo("pax")
    head.type, head.size = tarfile.XHDTYPE, len(records)
    after = tarfile.TarInfo("plain")
    after.size = size
    return head.tobuf() + records + bytes(-len(records) % 512) + after.tobuf() + bytes(1024)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (b"12 size=-12\n", "no size that can be"),
        (b"30 size=99999999999999999999\n", "malformed"),
        (b"29 size=99999999999999999999\n", "no size that can be"),
        (b"21 path=../../../evl\n", "leads out"),
        (b"15 path=/etc/x\n", "leads out"),
        (b"22 GNU.sparse.major=1\n", "sparse"),
        (b"22 GNU.sparse.name=ab\n", "sparse"),
        (b"9 path=ab\n", "malformed"),
        (b"99999999 path=a\n", "malformed"),
        (b"path=a\n", "malformed"),
        (b"0 path=a\n", "malformed"),
        (b"8 path=\n", "empty"),
        (b"10 path=\0\n", "zero byte"),
    ],
)
def test_tricks_of_pax_are_refused(tmp_path, records, words):
    (tmp_path / "l.tar").write_bytes(pax(records))
    with pytest.raises(BundleError, match=words):
        unpack_layers([tmp_path / "l.tar"], tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_limits(tmp_path):
    many = layer(tmp_path, *((str(i), b"") for i in range(11)))
    with pytest.raises(BundleError, match="more entries than it may have"):
        unpack_layers([many], tmp_path / "root", Limits(1 << 20, 10, extended=True))
    unpack_layers([many], tmp_path / "root", Limits(1 << 20, 11, extended=True))
    large = layer(tmp_path, ("zeros", bytes(1 << 20)), name="l.tar.zst")
    with pytest.raises(BundleError, match="unpacks to more than it may"):
        unpack_layers([large], tmp_path / "two", Limits(1 << 20, 10))
    assert not (tmp_path / "two").exists()


def test_a_zstd_window_of_gigabytes_is_refused(tmp_path):
    """The frame's header asks for 2 GiB of memory: RFC 8878, 3.1.1.1.2."""
    exponent = 31 - 10
    (tmp_path / "l.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00" + bytes([exponent << 3]) + bytes(20))
    with pytest.raises(BundleError, match="cannot be decompressed"):
        unpack_layers([tmp_path / "l.tar.zst"], tmp_path / "root")


def test_the_output_must_be_new(tmp_path):
    (tmp_path / "root").mkdir()
    with pytest.raises(UsageError, match="the output exists"):
        unpack_layers([layer(tmp_path, ("a", b""))], tmp_path / "root")


def test_garbage_is_refused(tmp_path):
    for data in (b"", b"x" * 10, b"x" * 5000, io.BytesIO(tar_of([("a", bytes(2000))])).read(1000)):
        (tmp_path / "l.tar").write_bytes(data)
        with pytest.raises(BundleError):
            unpack_layers([tmp_path / "l.tar"], tmp_path / "root")
