import os
import subprocess
import sys
from pathlib import Path

import toolkit
from tests.runtime.lm import lm_parts
from toolkit.runtime import load

ROOT = Path(toolkit.__file__).parent.parent
NOT_ON_THE_DEVICE = {"onnx", "onnx_ir", "onnxscript", "torch", "transformers", "datasets"} | {
    "click",
    "huggingface_hub",
    "pydantic",
    "rich",
}
RUNTIME = ROOT / "toolkit/runtime"
MODULES = [
    ".".join(path.relative_to(RUNTIME).with_suffix("").parts)
    for path in sorted(RUNTIME.rglob("*.py"))
    if path.stem != "__init__"
]


def python(code: str, **env: str) -> str:
    names = ("ORT_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env={**clean, "PYTHONPATH": str(ROOT), **env}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_runtime_stands_alone():
    imports = "\n".join(f"import toolkit.runtime.{name}" for name in MODULES)
    loaded = set(python(f"from toolkit.runtime import *\n{imports}\nimport sys; print(*sys.modules)").split())
    assert not loaded & NOT_ON_THE_DEVICE
    assert not {n for n in loaded if n.startswith("toolkit.") and not n.startswith("toolkit.runtime")}
    assert {"onnxruntime", "tokenizers", "numpy"} <= loaded


def test_loading_a_bundle_on_the_c_api_imports_neither_numpy_nor_onnxruntime(bundle):
    run = "print(load(path).embed(['a cat']).tolist(), 'onnxruntime' in sys.modules)"
    code = f"import sys; sys.modules['numpy'] = None; from toolkit.runtime import load; path = {str(bundle)!r}; {run}"
    assert python(code) == f"{load(bundle).embed(['a cat']).tolist()} False"


def test_help_and_errors_load_no_onnxruntime():
    code = "import sys, toolkit.runtime.__main__, toolkit.runtime.manifest; print(*sys.modules)"
    assert not set(python(code).split()) & {"onnxruntime", "numpy", "tokenizers"}


def test_telemetry_is_off_before_the_import_unless_the_user_says_so():
    show = "os.environ['ORT_DISABLE_TELEMETRY'], os.environ['TOKENIZERS_PARALLELISM']"
    code = f"import os, toolkit.runtime.session; print({show})"
    assert python(code) == "1 false"
    assert python(code, ORT_DISABLE_TELEMETRY="0", TOKENIZERS_PARALLELISM="true") == "0 true"


TOY = """import toolkit
from onnx import helper as h
import onnxruntime as ort
value = lambda name: h.make_tensor_value_info(name, 1, [1])
graph = h.make_graph([h.make_node("Relu", ["x"], ["y"])], "g", [value("x")], [value("y")])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9)
ort.InferenceSession(model.SerializeToString())
"""


def test_telemetry_leaves_nothing_in_the_home_folder(tmp_path):
    python(TOY, HOME=str(tmp_path))  # where it is on, onnxruntime makes .cache/Microsoft there
    assert not list(tmp_path.rglob("*"))


def test_every_exported_name_is_there():
    code = "import toolkit.runtime as r; print(all(callable(getattr(r, name)) for name in r.__all__))"
    assert python(code) == "True"


def test_text_generation_alone_loads_onnxruntime_genai(bundle, tmp_path):
    code = "import sys; from toolkit.runtime import load, verify; load({!r}); verify({!r}); print(*sys.modules)"
    assert "onnxruntime_genai" not in python(code.format(str(bundle), str(bundle)))
    folder = str(lm_parts().write(tmp_path / "lm"))
    loaded = {name.split(".")[0] for name in python(code.format(folder, folder)).split()}
    assert {"onnxruntime_genai", "tokenizers"} <= loaded
    assert not loaded & {*NOT_ON_THE_DEVICE, "onnxruntime", "numpy"}
