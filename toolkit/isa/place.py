"""A place: Python with the runtime's libraries, on one instruction set. What is run there is the shipped runtime.

Whoever adds a way to reach an instruction set writes a function that returns a ``Place``; everything else (golden
vectors, gate, probes) works on any of them.
"""

import io
import json
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toolkit.errors import EdgequantError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.raw import RawJob, bundle_job
from toolkit.runtime.session import FloatArray
from toolkit.runtime.tokenization import Text

How = Literal["native", "masked", "emulated"]
SHELL_SIGNAL = 128  # a shell, and QEMU that passes a signal on, exit with 128 + its number
TIMEOUT = 600.0


@dataclass(frozen=True)
class Place:
    """How a Python interpreter is started so that onnxruntime takes the kernels of ``isa``.

    ``isa`` is a kernel family (avx2, vnni, neon, dotprod, i8mm) or, emulated, a CPU model (cortex-a72, Haswell).
    ``python`` is the command up to and with the interpreter (3.11 or newer), for example ``("qemu-aarch64-static",
    "-cpu", "cortex-a72", "-L", ROOT, ROOT + "/usr/bin/python3.11")``. ``env`` is its whole environment: nothing is
    inherited, so that one place gives one answer; its PYTHONPATH leads to ``toolkit`` and to the pinned libraries.
    The interpreter must see this machine's files by the same absolute paths. ``detail`` is for people;
    ``family`` is the kernel family where ``isa`` names a CPU model, and may be left empty where ``isa`` is a family.
    """

    isa: str
    how: How
    python: tuple[str, ...]
    env: Mapping[str, str]
    detail: str = ""
    family: str = ""

    def __str__(self) -> str:
        return f"{self.isa} ({self.how})"


@dataclass(frozen=True)
class Done:
    """What a program left behind."""

    code: int
    stdout: bytes
    stderr: str


def run(
    place: Place,
    arguments: Sequence[str],
    stdin: bytes = b"",
    *,
    timeout: float = TIMEOUT,
    codes: Collection[int] = (0,),
) -> Done:
    """Run ``python ARGUMENTS`` there, in ``/``, and return what came of it.

    Raises EdgequantError if it cannot start, takes longer than ``timeout`` seconds, dies of a signal, or ends with a
    code that is not one of ``codes``.
    """
    command = [*place.python, *arguments]
    what = f"python {' '.join(arguments[:3])} on {place}"
    try:
        ended = subprocess.run(
            command, input=stdin, env=dict(place.env), cwd="/", capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        hint = "give it more time, or fewer texts"
        raise EdgequantError(f"{what} took too long", expected=f"at most {timeout:g} s", hint=hint) from None
    except OSError as error:
        raise EdgequantError(f"{what} cannot start", where=command[0], got=error.strerror) from None
    done = Done(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"))
    if done.code not in codes:
        raise _failure(what, done)
    return done


def run_module(
    place: Place,
    module: str,
    arguments: Sequence[str] = (),
    stdin: bytes = b"",
    *,
    timeout: float = TIMEOUT,
    codes: Collection[int] = (0,),
) -> Done:
    """Run ``python -m MODULE ARGUMENTS`` there, as ``run`` does; the current folder is not on its path."""
    return run(place, ("-P", "-m", module, *arguments), stdin, timeout=timeout, codes=codes)


def verify_there(place: Place, bundle: Path, *, threads: int = 1, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Return the JSON report of the device's own ``verify``, run in the place; ``ok`` tells whether all is well."""
    arguments = ("verify", str(bundle.resolve()), "--json", "--threads", str(threads))
    done = run_module(place, "toolkit.runtime", arguments, timeout=timeout, codes=(0, 1))
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise _failure(f"the bundle's verify on {place}", done) from None
    if not isinstance(report, dict):
        raise _failure(f"the bundle's verify on {place}", done)
    return report


def outputs(place: Place, job: RawJob, *, timeout: float = TIMEOUT) -> FloatArray:
    """Return a model's raw outputs there, float32 ``[texts, tokens in all, or rows; dimension]``, finite or not."""
    done = run_module(place, "toolkit.runtime.raw", (), job.to_json(), timeout=timeout)
    try:
        found = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    except (ValueError, EOFError):
        raise _failure(f"python -m toolkit.runtime.raw on {place}", done) from None
    expected = (len(found) if job.by_token else len(job.texts or job.rows), job.info.dimension)
    if found.shape != expected:
        raise EdgequantError(f"the outputs of {place} have another shape", got=found.shape, expected=expected)
    return np.asarray(found, np.float32)


def bundle_outputs(
    place: Place, bundle: Bundle, texts: Sequence[Text], *, threads: int = 1, timeout: float = TIMEOUT
) -> FloatArray:
    """Return what the bundle's model gives for texts there, finite or not: float32 ``[len(texts), dimension]``.

    For token classification the rows are those of all tokens, text after text.
    """
    parts = tuple((text,) if isinstance(text, str) else text for text in texts)
    return outputs(place, bundle_job(bundle, parts, threads), timeout=timeout)


def _failure(what: str, done: Done) -> EdgequantError:
    number = -done.code if done.code < 0 else done.code - SHELL_SIGNAL
    said = "\n".join(done.stderr.strip().splitlines()[-8:])
    names = {member.value: member.name for member in signal.Signals}
    if number in names:
        hint = ""
        if names[number] == "SIGILL":
            hint = "a kernel used an instruction that this CPU does not have"
        return EdgequantError(f"{what} died of {names[number]}", got=said, hint=hint)
    return EdgequantError(f"{what} failed", got=said or f"exit code {done.code} and no word", expected="an answer")
