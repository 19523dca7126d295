"""Rules that hold for the whole package: data flows one way, and the runtime stands alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "toolkit"
# A module imports only from its own stage and from those before it.
STAGES = (
    "runtime",
    "errors",
    "ending",
    "paths",
    "progress",
    "strict",
    "atomic",
    "hub",
    "forms",
    "limits",
    "targets",
    "archive",
    "trust",
    "image",
    "kit",
    "numerics",
    "isa",
    "engines",
    "samples",
    "sources",
    "lower",
    "feeds",
    "observe",
    "arrange",
    "plan",
    "apply",
    "tuning",
    "decisions",
    "metrics",
    "statistics",
    "gate",
    "speed",
    "fallback",
    "report",
    "golden",
    "bundle",
    "subjects",
    "graphs",
    "quantize",
    "causal",
    "sets",
    "compare",
    "prepare",
    "cli",
)
FORBIDDEN_ON_A_DEVICE = ("onnx", "onnx_ir", "torch", "transformers", "datasets", "click", "pydantic", "rich", "pandas")


def modules():
    return [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def stage(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """Return the stages that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" if node.module == "toolkit" else node.module for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("toolkit."))


def test_every_module_has_its_stage():
    assert {stage(path) for path in modules()} == set(STAGES)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_data_flows_one_way(path):
    allowed = STAGES[: STAGES.index(stage(path)) + 1] if stage(path) != "runtime" else ("runtime",)
    assert {name for name in imported(path) if name not in allowed} <= {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_runtime_loads_nothing_but_its_own_libraries():
    names = "r.load; r.verify; r.Embedder; r.Classifier; import toolkit.runtime.engine_python"
    code = f"import sys, toolkit.runtime as r; {names}; print(*sorted(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[0] for name in printed.split()}
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint(FORBIDDEN_ON_A_DEVICE)
    assert {name for name in printed.split() if name.startswith("toolkit.")} == {
        name for name in printed.split() if name.startswith("toolkit.runtime")
    }


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if stage(path) not in ("runtime", "cli")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_only_commands_talk(path):
    """A stage that prints, or reads argv or the environment, does what is the command line's to do."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    read = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert called.isdisjoint({"print", "input"})
    assert read.isdisjoint({"os.environ", "os.getenv", "sys.argv", "sys.stdout", "sys.stderr", "sys.stdin"})
