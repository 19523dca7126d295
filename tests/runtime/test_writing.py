import io
import json

import numpy as np
import pytest

from toolkit.runtime import writing


def chunks(vectors: np.ndarray, size: int = 3):
    for start in range(0, len(vectors), size):
        part = vectors[start : start + size]
        yield [f"tëxt {start + i}\n" for i in range(len(part))], part


def vectors(rows: int) -> np.ndarray:
    found = np.random.default_rng(1).normal(size=(rows, 5)).astype(np.float32)
    if rows:
        found[0] = [1e-45, 3.4028235e38, -0.0, 1 / 3, 16777217]
    return found


@pytest.mark.parametrize("rows", [0, 1, 8])
def test_jsonl_gives_back_the_same_float32(rows):
    handle = io.BytesIO()
    assert writing.write_embeddings_jsonl(chunks(vectors(rows)), handle) == rows
    lines = [json.loads(line) for line in handle.getvalue().decode().splitlines()]
    assert [line["text"] for line in lines] == [f"tëxt {i}\n" for i in range(rows)]
    got = np.array([line["embedding"] for line in lines], dtype=np.float32).reshape(rows, 5)
    np.testing.assert_array_equal(got, vectors(rows))


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize("rows", [0, 1, 8])
@pytest.mark.parametrize("kind", [io.BytesIO, Pipe])
def test_npy_is_what_numpy_reads_and_writes(rows, kind):
    handle = kind()
    assert writing.write_embeddings_npy(chunks(vectors(rows)), handle, 5) == rows
    reference = io.BytesIO()
    np.save(reference, vectors(rows))
    assert handle.getvalue() == reference.getvalue()


def test_npy_header_has_room_for_any_number_of_rows():
    assert len(writing._npy_header(0, 1)) == len(writing._npy_header(10**18, 10**6)) == 128


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(TypeError), writing.output(str(path)) as handle:
        handle.writelines([b"half", None])
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
    assert path.read_text() == "old"
    with writing.output(str(path)) as handle:
        handle.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "real").write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    with writing.output(str(link)) as handle:
        handle.write(b"x")
    assert link.is_symlink()
    assert (tmp_path / "real").read_text() == "x"
    with writing.output("/dev/null") as handle:
        handle.write(b"x")
