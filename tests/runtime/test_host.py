"""Which engine is chosen, and the runtime where nothing but tokenizers and the shared library is installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.tiny import TEXTS
from toolkit.runtime import EdgequantError, UsageError, host, load, verify
from toolkit.runtime.__main__ import main
from toolkit.runtime.host import Host

LIBRARY = Host(engine="capi").library_path()


def there(device: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(device), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"], **env}
    command = [sys.executable, "-S", "-W", "error", *arguments]
    return subprocess.run(command, env=environment, cwd=device, capture_output=True, text=True, check=False)


def on_device(device: Path, *arguments: str, **env: str) -> str:
    done = there(device, "-m", "toolkit.runtime", *arguments, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_engines_are_chosen_by_what_is_installed(monkeypatch, tmp_path):
    assert Host().chosen_engine() == "python"
    assert Host(engine="capi").chosen_engine() == Host(library=LIBRARY).chosen_engine() == "capi"
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi/onnxruntime_pybind11_state.so").touch()
    monkeypatch.setattr(host, "_wheel_folders", lambda: iter([tmp_path / "capi"]))
    assert Host().chosen_engine() == "python"
    (tmp_path / "capi/onnxruntime_pybind11_state.so").unlink()
    assert Host().chosen_engine() == "capi"


def test_choices_that_cannot_be(bundle, tmp_path):
    with pytest.raises(UsageError, match="no such engine\n  got: openvino\n  expected: python or capi"):
        load(bundle, engine="openvino")
    with pytest.raises(UsageError, match=r"the engine python takes no library\n.*\n  hint: leave lib.so away"):
        verify(bundle, engine="python", library="lib.so")
    with pytest.raises(UsageError, match=r"no such library\n  where: .*lib.so\n  expected: libonnxruntime.so"):
        load(bundle, library=tmp_path / "lib.so")
    with pytest.raises(UsageError, match="threads is too small"):
        Host(0)


def test_no_library_anywhere(monkeypatch, bundle, tmp_path):
    monkeypatch.setattr(host, "_wheel_folders", lambda: iter([tmp_path]))
    monkeypatch.setattr(host, "_own_folders", lambda: iter([]))
    with pytest.raises(EdgequantError, match=r"onnxruntime is not installed: no libonnxruntime.so\n.*\n  hint: pip"):
        load(bundle, engine="capi")


def test_the_library_beside_the_package(device, bundle):
    (device / "onnxruntime/capi" / LIBRARY.name).rename(device / "libonnxruntime.so")
    shutil.rmtree(device / "onnxruntime")
    assert on_device(device, "verify", str(bundle)).endswith("verified: fit to run here\n")
    (device / "libonnxruntime.so").rename(device / "toolkit/runtime/libonnxruntime.so")
    assert on_device(device, "verify", str(bundle)).endswith("verified: fit to run here\n")


def test_the_environment_names_engine_and_library(bundle, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGEQUANT_ENGINE", "other")
    assert main(["verify", str(bundle)]) == 2
    assert "there is no such engine" in capsys.readouterr().err
    monkeypatch.setenv("EDGEQUANT_ENGINE", "")
    monkeypatch.setenv("EDGEQUANT_ORT_LIBRARY", str(tmp_path / "lib.so"))
    assert main(["verify", str(bundle)]) == 2
    assert "there is no such library" in capsys.readouterr().err
    monkeypatch.setenv("EDGEQUANT_ENGINE", "capi")
    monkeypatch.setenv("EDGEQUANT_ORT_LIBRARY", str(LIBRARY))
    assert main(["verify", str(bundle)]) == 0


def test_commands_give_the_same_bytes_without_numpy(device, bundle, classifier_bundle, tmp_path, capfdbinary):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS * 3) + "\n")
    for name, command in {
        "e.jsonl": ["embed", str(bundle), str(texts)],
        "e.npy": ["embed", str(bundle), str(texts), "--threads", "2"],
        "c.jsonl": ["classify", str(classifier_bundle), str(texts), "--top-k", "3"],
    }.items():
        assert main([*command, "-o", str(tmp_path / name)]) == 0
        on_device(device, *command, "-o", str(tmp_path / f"slim-{name}"))
        assert (tmp_path / name).read_bytes() == (tmp_path / f"slim-{name}").read_bytes()
    assert np.load(tmp_path / "slim-e.npy").shape == (9, 4)
    assert main(["verify", str(bundle), "--json"]) == 0
    expected = json.loads(capfdbinary.readouterr().out)
    assert json.loads(on_device(device, "verify", str(bundle), "--json")) == expected


def test_the_device_has_neither_numpy_nor_onnxruntimes_package(device, bundle):
    code = f"""
import sys
from toolkit.runtime import load
vectors = load({str(bundle)!r}).embed(["a cat", "a dog"])
print(type(vectors).__name__, vectors.shape, len(vectors[0].tobytes()))
print(*(name for name in sys.modules if name.split(".")[0] in ("numpy", "onnxruntime", "ssl", "_hashlib")))
"""
    done = there(device, "-c", code)
    assert (done.stdout, done.stderr) == ("FloatRows (2, 4) 16\n\n", "")
    done = there(device, "-m", "toolkit.runtime", "verify", str(bundle), EDGEQUANT_ENGINE="python")
    assert done.returncode == 1
    assert "the engine python needs numpy and onnxruntime's package" in done.stderr
