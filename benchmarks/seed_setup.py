"""What seed.py compares: the two environments, the slim one's folder, the models, the images, and what each weighs."""

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

from seed_table import OLD
from start import lay_out

from toolkit.cli.doctor import diagnose

ROOT = Path(__file__).resolve().parent.parent
SHARED_MODELS = ROOT.parent / "shared/models"
CLASSIFIER = "roberta-sst2"
LIBRARIES = ("transformers<5", "sentence-transformers")
BASE_PARTS = ("Python", "Python's standard library", "system libraries")


@dataclass(frozen=True)
class Variant:
    """An interpreter with its arguments and its folder, the packages it runs with, and those that pip installs."""

    command: tuple[str, ...]
    folder: Path
    installed: Path
    resolved: Path


def variants(cache: Path, torch: str) -> dict[str, Variant]:
    """Return the variants by name, after installing what is not there; edgequant is installed anew each time."""
    old, resolved, bare, slim = (cache / name for name in ("env-torch", "env-edgequant", "env-bare", "slim"))
    if not (old / "installed").exists():
        _new_environment(old)
        _pip(old, *shlex.split(torch))
        _pip(old, *LIBRARIES)
        (old / "installed").touch()
    _new_environment(resolved)
    _pip(resolved, str(ROOT))
    _new_environment(bare)
    _pip(bare, "--no-deps", str(ROOT), *(one for one in requires("edgequant") or () if "extra ==" not in one))
    shutil.rmtree(slim, ignore_errors=True)
    lay_out(slim, "capi")
    return {
        OLD: Variant((str(old / "bin/python"),), cache, _site(old), _site(old)),
        "normal": Variant((str(bare / "bin/python"),), cache, _site(bare), _site(resolved)),
        "slim": Variant((sys.executable, "-S"), slim, slim, slim),
    }


def bytes_of(folder: Path) -> int:
    """Return the bytes of all files below, links followed, without Python's caches."""
    total = 0
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        total += sum((Path(place) / name).stat().st_size for name in files)
    return total


def images(cache: Path, bundle: Path, old: int) -> dict[str, int]:
    """Return bytes unpacked: of edgequant's images of the bundle, and what ``old`` would be on the base of ours."""
    found = {}
    base = 0
    for name, options in (("normal", ()), ("slim", ("--slim",))):
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            build = ("image", "build", bundle, "-o", f"{folder}/image", "--explain", "--json", *options)
            image = json.loads(_edgequant(*build))["images"][0]
        found[name] = image["unpacked_bytes"]
        base = max(base, sum(one["unpacked_bytes"] for one in image["parts"] if one["name"] in BASE_PARTS))
    return {OLD: old + base, **found}


def classifier_model(cache: Path) -> Path | str:
    """Return the folder of a classifier with fine-tuned weights, or why there is none."""
    out = cache / CLASSIFIER
    if not (out / "config.json").exists():
        if not (SHARED_MODELS / CLASSIFIER / "trained.safetensors").is_file():
            return f"{CLASSIFIER} is not in ../shared/models, and none was named (--classifier)"
        command = [sys.executable, str(SHARED_MODELS / "assemble.py"), CLASSIFIER, str(out)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return out


def bundle_of(cache: Path, model: Path, name: str) -> Path:
    """Return a bundle of the model for this CPU, made if it is not in the cache."""
    out = cache / "bundles" / name
    if not out.exists():
        target = diagnose().target
        if target is None:
            raise SystemExit("no target suits this CPU: edgequant doctor tells why")
        _edgequant("quantize", model, "-t", target, "-o", out, "--name", name, "--no-speed")
    return out


def version_of(variant: Variant, *packages: str) -> str:
    """Return the packages' versions in an environment."""
    code = (
        "import sys, importlib.metadata as m; print(*(f'{name} {m.version(name)}' for name in sys.argv[1:]), sep=', ')"
    )
    command = [*variant.command, "-c", code, *packages]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _new_environment(folder: Path) -> None:
    venv.create(folder, clear=True, with_pip=False)


def _pip(environment: Path, *arguments: str) -> None:
    if importlib.util.find_spec("pip") is None:
        raise SystemExit("this environment has no pip")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python")]
    quiet = ["install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*pip, *quiet, *arguments], check=True, stdout=sys.stderr)


def _site(environment: Path) -> Path:
    return next(environment.glob("lib/python3*/site-packages"))


def _edgequant(*arguments: object) -> str:
    command = [sys.executable, "-m", "toolkit.cli", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
