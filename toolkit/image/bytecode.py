"""``.py`` becomes ``.pyc``, compiled by the very Python of the image, so that the bytes do not depend on this host.

Bytecode is the same for every architecture, so this machine's root filesystem compiles for all of them. Each file is
compiled in a process of its own: what is marked as shared in a ``.pyc`` depends on what its process has seen before.
Docstrings and assertions stay out, as with ``python -OO``.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import EdgequantError
from toolkit.image.platforms import Platform

# Runs in the image's Python: as little as possible is imported, and nothing of what is compiled.
_PROGRAM = """
import json, os, py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for path, name in json.load(sys.stdin):
    pid = os.fork()
    if not pid:
        try:
            py_compile.compile(path, path + "c", name, doraise=True, optimize=2, invalidation_mode=mode)
        except BaseException as error:
            sys.stderr.write(f"{name}: {error}")
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(1)
    os.remove(path)
"""


@dataclass(frozen=True)
class Compiler:
    """A root filesystem of this machine's own platform, whose Python compiles."""

    root: Path
    platform: Platform

    def compile(self, root: Path) -> None:
        """Replace each module under ``root`` by its bytecode; the names in it are those of the image."""
        modules = [(str(path), f"/{path.relative_to(root)}") for path in sorted(root.rglob("*.py"))]
        system = self.root / "usr/lib" / self.platform.triplet
        loader = next(system.glob("ld-linux*.so*"), None)
        if loader is None:
            raise EdgequantError("the root filesystem has no program loader", where=system)
        command: list[str | Path] = [
            loader,
            "--library-path",
            system,
            self.root / "usr/bin/python3",
            "-I",
            "-c",
            _PROGRAM,
        ]
        done = subprocess.run(command, input=json.dumps(modules), env={}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EdgequantError("the image's Python cannot compile a module", got=done.stderr.strip()[-500:])
