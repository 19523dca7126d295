"""Bytecode by the Python of the image: the same each time, without docstrings, and telling the image's own paths."""

import pytest

from tests.image.conftest import HERE
from tests.image.running import check_golden, serving
from toolkit.errors import EdgequantError
from toolkit.image.bytecode import Compiler

SOURCE = '"""A docstring."""\n\n\ndef f(x):\n    """Another."""\n    assert x\n    return {x: "text"}\n'


def written(folder, **files):
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_the_same_bytes_whatever_is_compiled_beside(rootfs, tmp_path):
    compiler = Compiler(rootfs[HERE], HERE)
    one = written(tmp_path / "one", module=SOURCE)
    two = written(tmp_path / "two", before="x = {'text': 1}\n", module=SOURCE)
    for folder in (one, two):
        compiler.compile(folder)
        assert not list(folder.glob("*.py"))
    data = (one / "module.pyc").read_bytes()
    assert data == (two / "module.pyc").read_bytes()
    assert int.from_bytes(data[4:8], "little") == 1  # by hash, and never compared with a source: PEP 552
    assert b"/module.py" in data
    assert b"docstring" not in data
    assert str(tmp_path).encode() not in data


def test_a_module_that_does_not_compile_is_told(rootfs, tmp_path):
    with pytest.raises(EdgequantError, match=r"cannot compile a module"):
        Compiler(rootfs[HERE], HERE).compile(written(tmp_path / "bad", module="def f(:\n"))


def test_a_root_without_a_loader_is_told(tmp_path):
    with pytest.raises(EdgequantError, match="no program loader"):
        Compiler(tmp_path, HERE).compile(written(tmp_path / "some", module=SOURCE))


def test_the_server_answers_from_the_root_filesystem(rootfs, tiny_bundle):
    root = rootfs[HERE]
    loader = ["--library-path", f"{root}/usr/lib/{HERE.triplet}", f"{root}/usr/bin/python3"]
    python = [str(next((root / "usr/lib" / HERE.triplet).glob("ld-linux*"))), *loader]
    with serving(python, root, tiny_bundle) as port:
        check_golden(port, tiny_bundle)
