"""What is served: every byte checked first, and the best target of each name."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.server import environment
from tests.runtime.tiny import Parts
from toolkit.runtime import cpu
from toolkit.runtime.errors import BundleError, UsageError
from toolkit.runtime.manifest import TargetInfo
from toolkit.runtime.server.bundles import choose, find_bundles
from toolkit.runtime.signature import verify_signature
from toolkit.trust import signing

HERE = cpu.architecture()


def write(folder: Path, target: str, *requires: str, architecture: str = HERE, name: str = "tiny") -> Path:
    folder.parent.mkdir(exist_ok=True)
    return Parts(changes={"name": name, "target": TargetInfo(target, architecture, requires)}).write(folder)


def chosen(*paths: Path) -> dict[str, str]:
    return {bundle.manifest.name: bundle.manifest.target.name for bundle in choose(find_bundles(paths))}


def test_the_best_that_this_cpu_can_run_is_chosen(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cpu, "features", lambda: frozenset({"avx2", "fma", "vnni"}))
    for target, requires in {
        "old": (),
        "avx2": ("avx2",),
        "vnni": ("avx2", "vnni"),
        "amx": ("avx2", "vnni", "amx"),
    }.items():
        write(tmp_path / "all" / target, target, *requires)
    write(tmp_path / "all" / "foreign", "foreign", *"abcd", architecture="riscv64")
    write(tmp_path / "all" / "other", "old", name="other")
    assert chosen(tmp_path / "all") == {"tiny": "vnni", "other": "old"}
    assert '"model": "tiny", "target": "vnni", "others": "amx, avx2, foreign, old"' in capsys.readouterr().err
    assert chosen(tmp_path / "all/avx2", tmp_path / "all/old", tmp_path / "all/old") == {"tiny": "avx2"}


def test_what_cannot_be_served_is_told(tmp_path):
    write(tmp_path / "amx", "amx", "amx-of-tomorrow")
    write(tmp_path / "foreign", "foreign", architecture="riscv64")
    with pytest.raises(
        BundleError,
        match=r"can run none of.*\n.*tiny\n.*tiny for amx: this CPU lacks amx-of-tomorrow; .*it is for riscv64",
    ):
        chosen(tmp_path)
    write(tmp_path / "two" / "a", "same")
    write(tmp_path / "two" / "b", "same")
    with pytest.raises(UsageError, match=r"the same name and target"):
        chosen(tmp_path / "two")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there is no bundle in the folder"):
        find_bundles([tmp_path / "empty"])
    with pytest.raises(UsageError, match="there is no such bundle"):
        find_bundles([tmp_path / "none"])


def refused(*arguments: object) -> str:
    """Return what a server says that does not start."""
    command = [sys.executable, "-W", "error", "-m", "toolkit.runtime", "serve", "--port", "0", *map(str, arguments)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_flipped_byte_of_any_file_is_refused_before_anything_is_loaded(tmp_path):
    parts = Parts()
    parts.files["notes.txt"] = b"not loaded, but listed"
    for name in parts.files:
        folder = parts.write(tmp_path / name)
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
        said = refused(folder)
        assert "the bundle is not whole, so it is not served" in said
        assert name in said
        assert "altered or damaged" in said


def test_a_signature_is_required(tmp_path, serve):
    public = signing.generate(tmp_path / "key")
    other = signing.generate(tmp_path / "other")
    folder = Parts().write(tmp_path / "bundle")
    assert "the bundle is not signed" in refused(folder, "--require-signature", public)
    signing.sign_bundle(folder, signing.load_private(tmp_path / "key"))
    verify_signature(folder, public.read_bytes())
    assert "the signature is by another key" in refused(folder, "--require-signature", other)
    server = serve(folder, "--require-signature", public)
    assert server.post("/embed", {"texts": "a"}).status == 200
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert "the signature is for something else" in refused(folder, "--require-signature", public)


def test_models_share_a_server_and_must_be_named(serve, tmp_path):
    for name in ("one", "two"):
        write(tmp_path / "all" / name, "t", name=name)
    server = serve(tmp_path / "all")
    reply = server.post("/embed", {"texts": "a"})
    assert (reply.status, reply.error) == (400, "name the model: one, two")
    assert server.post("/embed", {"texts": "a", "model": "two"}).json["model"] == "two"
    reply = server.post("/classify", {"texts": "a"})
    assert (reply.status, reply.error) == (404, "no model is served for classification")
    assert server.stop() == 0


def test_a_port_that_is_taken_is_told(serve, tiny):
    server = serve(tiny)
    assert "address already in use" in refused(tiny, "--port", server.address[1])
