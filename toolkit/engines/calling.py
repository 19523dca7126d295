"""Calling an engine: a process of its own, by this Python or by another one that has its packages."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import toolkit
from toolkit.engines.catalog import Engine
from toolkit.engines.order import Order
from toolkit.errors import EdgequantError, MissingExtraError
from toolkit.isa.native import python_here
from toolkit.isa.place import Done, Place, run

TIMEOUT = 7200.0
# No engine asks anything of a network, or tells it anything.
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "NNCF_CI": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


@dataclass(frozen=True)
class Built:
    """What came of an order: the model's file (an OpenVINO model has its weights beside it), and what it took."""

    model: Path
    by: str
    seconds: float
    peak_bytes: int

    @property
    def bytes(self) -> int:
        """Of all its files."""
        files = self.model.parent.glob(f"{self.model.stem}.*")
        return sum(path.stat().st_size for path in files if path.suffix in (".onnx", ".data", ".xml", ".bin"))


def interpreter(python: Path | None, folder: Path) -> Place:
    """Return this Python, or another one that finds ``toolkit`` through a link in ``folder`` and all else by itself."""
    if python is None:
        command, env = python_here()
        return Place("", "native", command, {**env, **_QUIET})
    link = folder / "toolkit"
    if not link.is_symlink():
        link.symlink_to(Path(toolkit.__file__).resolve().parent)
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    return Place("", "native", (str(python),), {**env, **_QUIET})


def lacking(engine: Engine, place: Place) -> tuple[str, ...]:
    """Return which of the modules that an engine needs its Python does not find."""
    code = (
        "import importlib.util as u, json\n"
        "def there(name):\n"
        "    parent = name.rpartition('.')[0]\n"
        "    return (not parent or there(parent)) and u.find_spec(name) is not None\n"
        f"print('lacking', json.dumps([name for name in {engine.needs!r} if not there(name)]))"
    )
    said = run(place, ("-P", "-c", code)).stdout.decode().splitlines()
    return tuple(json.loads(said[-1].removeprefix("lacking")))


def require(engine: Engine, place: Place) -> None:
    """Raise MissingExtraError where the engine's Python lacks a package."""
    missing = lacking(engine, place)
    if missing:
        what = f"the engine {engine.name} is not installed"
        raise MissingExtraError(what, where=place.python[-1], got=f"no {', '.join(missing)}", hint=engine.install)


def build(engine: Engine, order: Order, place: Place) -> Built:
    """Return the model that an engine builds; EdgequantError with its last words where it fails."""
    out = Path(order.out)
    order_file, answer_file = (out.with_name(f"{out.stem}.{kind}.json") for kind in ("order", "answer"))
    order_file.write_text(json.dumps(asdict(order)), encoding="utf-8")
    arguments = f"{engine.module!r}, {str(order_file)!r}, {str(answer_file)!r}"
    code = f"from toolkit.engines.building import build; build({arguments})"
    done = run(place, ("-P", "-c", code), timeout=TIMEOUT, codes=range(-64, 256))
    if done.code or not answer_file.is_file():
        raise EdgequantError(f"the engine {engine.name} built no model", got=_last_words(done))
    answer = json.loads(answer_file.read_text(encoding="utf-8"))
    return Built(out, answer["by"], answer["seconds"], answer["peak_bytes"])


def _last_words(done: Done) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:500] if lines else f"exit code {done.code} and no word"
