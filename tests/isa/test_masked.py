import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import EdgequantError
from toolkit.isa import masked as module
from toolkit.isa.masked import CPUID, TRAP, installed_onnxruntime, masked, why_not_masked
from toolkit.isa.place import run
from toolkit.isa.probe import prove

UD2 = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\x0f\\x0b")
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""
PROBE = """
import numpy as np, onnxruntime as ort
from onnx import TensorProto, helper
def probe():
    a, b = (helper.make_tensor_value_info(n, t, s) for n, t, s in
        (("a", TensorProto.UINT8, [1, 64]), ("b", TensorProto.INT8, [64, 1])))
    y = helper.make_tensor_value_info("y", TensorProto.INT32, [1, 1])
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["y"])], "g", [a, b], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return int(session.run(None, {"a": np.full((1, 64), 255, np.uint8), "b": np.full((64, 1), 127, np.int8)})[0][0, 0])
"""


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.so*")}


def says(place, code, *flags):
    return run(place, (*flags, "-c", code)).stdout.decode().split()


def test_the_mask_takes(avx2):
    assert prove(avx2).saturates
    assert "hidden from onnxruntime" in avx2.detail or avx2.detail == "this CPU"


def test_the_library_of_the_c_interface_is_masked_too(avx2):
    """The runtime without numpy loads libonnxruntime.so, which the wheel has beside the Python module."""
    capi = replace(avx2, env={**avx2.env, "EDGEQUANT_ENGINE": "capi"})
    assert prove(capi).saturates


def test_threads_forks_and_children_are_masked_too(avx2):
    code = f"""{PROBE}
import os, subprocess, sys, threading
found = []
threads = [threading.Thread(target=lambda: found.append(probe())) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(*found, flush=True)
if os.fork() == 0:
    print(probe(), flush=True)
    os._exit(0)
os.wait()
subprocess.run([sys.executable, "-c", {PROBE!r} + "print(probe(), flush=True)"], check=True)
"""
    assert says(avx2, code) == ["1048544"] * 6


def test_the_installed_files_are_only_read(avx2, cache):
    capi = installed_onnxruntime() / "capi"
    before = digests(capi), capi.stat().st_mtime_ns
    assert masked(cache) == avx2
    assert (digests(capi), capi.stat().st_mtime_ns) == before
    copies = Path(avx2.env["LD_PRELOAD"]).parent / "overlay" / "onnxruntime" / "capi"
    changed = [path for path in copies.glob("*.so*") if not path.is_symlink()]
    assert any("pybind11" in path.name for path in changed)
    for path in changed:
        old, new = (np.frombuffer((folder / path.name).read_bytes(), np.uint8) for folder in (capi, copies))
        places = np.flatnonzero(old != new)
        pairs = places.reshape(-1, 2)
        assert len(pairs) >= 10
        assert (pairs[:, 1] == pairs[:, 0] + 1).all()
        assert {bytes(old[pair]) for pair in pairs} == {CPUID}
        assert {bytes(new[pair]) for pair in pairs} == {TRAP}


def test_it_is_built_once(avx2, cache):
    (folder,) = cache.iterdir()
    stamp = folder.stat().st_mtime_ns
    assert masked(cache) == avx2
    assert [path.name for path in cache.iterdir()] == [folder.name]
    assert folder.stat().st_mtime_ns == stamp


@pytest.mark.usefixtures("avx2")
def test_builds_at_the_same_time_are_one(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "mask_library", lambda _path, out: out.write_bytes(b"x"))
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(masked, [tmp_path / "cache"] * 8))
    assert len({place.env["LD_PRELOAD"] for place in places}) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.usefixtures("avx2")
def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "C_FILE", tmp_path / "wrong.c")
    (tmp_path / "wrong.c").write_text("int main( {")
    with pytest.raises(
        EdgequantError, match=r"gcc cannot compile the mask\n  where: .*wrong.c\n  got: (.*\n)*.*error:"
    ):
        masked(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_illegal_instruction_that_is_no_trap_still_ends_the_program(avx2):
    with pytest.raises(EdgequantError, match=r"avx2 \(masked\) died of SIGILL"):
        run(avx2, ("-c", UD2))


def test_pythons_own_fault_handler_still_speaks(avx2):
    done = run(avx2, ("-X", "faulthandler", "-c", f"{PROBE}\nprint(probe(), flush=True)\n{UD2}"), codes=(-4,))
    assert done.stdout.decode().split() == ["1048544"]
    assert "Fatal Python error: Illegal instruction" in done.stderr


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("os.kill(os.getpid(), 4); print('lives')", -4),
        ("signal.signal(4, signal.SIG_IGN); os.kill(os.getpid(), 4)", 0),
        ("signal.signal(4, lambda *_: os._exit(5)); os.kill(os.getpid(), 4)\nwhile True: pass", 5),
        ("signal.signal(4, signal.SIG_IGN); assert signal.signal(4, signal.SIG_DFL) == signal.SIG_IGN", 0),
    ],
)
def test_signals_that_are_sent_mean_what_they_always_do(avx2, code, ended):
    assert run(avx2, ("-c", f"import os, signal\n{code}"), timeout=60, codes=(ended,)).stdout == b""


@pytest.mark.usefixtures("avx2")
def test_a_cache_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        masked(tmp_path / "file")


@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize("name", ["my cache", "a:b"])
def test_a_path_that_cannot_be_preloaded(tmp_path, name):
    with pytest.raises(EdgequantError, match=r"has a space or a colon\n  where: .*\n  hint: set XDG_CACHE_HOME"):
        masked(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shutil.which": lambda _: None}, "gcc and objdump must be installed: apt install gcc libc6-dev binutils"),
        ({"shutil.which": lambda name: name if name == "gcc" else None}, "objdump must be installed"),
        ({"platform.system": lambda: "Darwin"}, "masking works on Linux on x86-64, this is Darwin"),
        ({"cpu.architecture": lambda: "arm64"}, "masking works on Linux on x86-64, this is Linux on arm64"),
        ({"cpu.features": lambda: frozenset({"sse4_1"})}, "has no AVX2"),
    ],
)
def test_where_it_cannot_be_done_it_says_why(monkeypatch, tmp_path, changed, said):
    values = {"platform.system": lambda: "Linux", "cpu.architecture": lambda: "x86_64"}
    values |= {"cpu.features": lambda: frozenset({"avx2"})} | changed
    for name, value in values.items():
        monkeypatch.setattr(module.__dict__[name.split(".")[0]], name.split(".")[1], value)
    assert said in why_not_masked()
    with pytest.raises(EdgequantError, match="cannot be reached by masking here"):
        masked(tmp_path)


def test_without_onnxruntime():
    code = (
        "import importlib.util as u; u.find_spec = lambda _: None\n"
        "from toolkit.isa.masked import installed_onnxruntime\n"
        "try: installed_onnxruntime()\nexcept Exception as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("onnxruntime is not installed")
