"""The root filesystems of both platforms: what is in them, and that this machine's own runs."""

import json
import os
import subprocess
import zipfile
from dataclasses import replace

import pytest
from elftools.elf.elffile import ELFFile

from tests.image.conftest import HERE
from tests.runtime.lm import lm_parts
from toolkit import cli
from toolkit.errors import EdgequantError
from toolkit.image import elf, prune
from toolkit.image.lock import make_lock
from toolkit.image.platforms import AMD64, ARM64, platform_of
from toolkit.image.rootfs import Sources, choose_parts, make_rootfs
from toolkit.image.store import Store


def test_each_binary_is_for_its_platform(rootfs):
    for platform, root in rootfs.items():
        binaries = [binary for path in root.rglob("*") if path.is_file() and (binary := elf.read_binary(path))]
        assert len(binaries) > 30
        assert {binary.machine for binary in binaries} == {platform.elf}


def test_no_shell_no_package_manager_no_second_engine_no_tests(rootfs):
    for platform, root in rootfs.items():
        assert {path.name for path in (root / "usr/bin").iterdir()} == {"python3", "python3.11"}
        names = {str(path.relative_to(root)) for path in root.rglob("*")}
        assert f"usr/lib/{platform.triplet}/libc.so.6" in names
        engines = [name for name in names if "onnxruntime_pybind11_state" in name or "/libonnxruntime.so" in name]
        assert len(engines) == 1
        assert not [name for name in names if "/tests/" in name or name.endswith((".pyi", ".h"))]
        assert not [name for name in names if "huggingface_hub" in name or "/pip/" in name or "readline" in name]
        assert [name for name in names if name.endswith("dpkg/status.d/libc6")]
        assert "usr/share/doc/libc6/copyright" in names
        assert "opt/edgequant/toolkit/runtime/bundle.py" in names
        assert not (root / "opt/edgequant/toolkit/quantize.py").exists()


def test_what_is_stripped_is_smaller_and_has_no_sections(rootfs, sources):
    """Its loading is tested by the root filesystem that answers."""
    for platform, root in rootfs.items():
        path = root / "opt/edgequant/tokenizers/tokenizers.abi3.so"
        wheel = next(p for p in sources.lock.of("wheel", platform.architecture) if p.name == "tokenizers")
        with zipfile.ZipFile(sources.store.get(wheel.sha256)) as archive:
            assert path.stat().st_size < archive.getinfo("tokenizers/tokenizers.abi3.so").file_size
        with path.open("rb") as handle:
            assert ELFFile(handle).num_sections() == 0


def test_no_link_leads_nowhere(rootfs):
    for root in rootfs.values():
        for path in (path for path in root.rglob("*") if path.is_symlink()):
            target = str(path.readlink())
            assert (root / target.lstrip("/") if target.startswith("/") else path.parent / target).exists(), path


def verified_in(root, bundle):
    loader = next((root / "usr/lib" / HERE.triplet).glob("ld-linux*"))
    libraries = f"{root}/usr/lib/{HERE.triplet}"
    command = [loader, "--library-path", libraries, root / "usr/bin/python3", "-S", "-m", "toolkit.runtime"]
    env = {"PYTHONHOME": f"{root}/usr", "PYTHONPATH": f"{root}/opt/edgequant", "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = [*command, "verify", bundle]
    return subprocess.run(arguments, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_the_root_filesystem_of_this_machine_answers(rootfs, tiny_bundle):
    done = verified_in(rootfs[HERE], tiny_bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified: fit to run here" in done.stdout


@pytest.mark.parametrize("kind", ["generation", "slim generation"])
def test_a_runtime_for_text_generation_answers_and_runs_encoders_too(sources, tiny_bundle, tmp_path, kind):
    root = tmp_path / "root"
    root.mkdir()
    make_rootfs(HERE, sources, root, kind)
    assert (root / "opt/edgequant/numpy").exists() == (kind == "generation")
    names = {path.name for path in (root / "opt/edgequant/onnxruntime").rglob("*.so*")}
    assert {name.partition(".")[0] for name in names} == {"libonnxruntime"}
    assert not (root / "opt/edgequant/onnxruntime_genai/models").exists()
    for bundle in (lm_parts().write(tmp_path / "lm"), tiny_bundle):
        done = verified_in(root, bundle)
        assert done.returncode == 0, done.stdout + done.stderr


def test_another_digest_than_the_lock_is_refused(sources):
    part = sources.lock.of("deb", "amd64")[0]
    wrong = make_lock(other if other != part else replace(part, sha256="0" * 64) for other in sources.lock.parts)
    with pytest.raises(EdgequantError, match=f"the package {part.name} for amd64 not as the lock says"):
        choose_parts(AMD64, replace(sources, lock=wrong))


def test_a_version_that_apt_no_longer_serves_is_refused(sources):
    part = sources.lock.of("deb", "arm64")[0]
    wrong = make_lock(
        other if other != part else replace(part, version="0", sha256="0" * 64) for other in sources.lock.parts
    )
    with pytest.raises(EdgequantError, match="snapshot"):
        choose_parts(ARM64, replace(sources, lock=wrong))


def test_a_lock_without_the_platform_is_refused(sources):
    half = make_lock(part for part in sources.lock.parts if part.architecture == "amd64")
    with pytest.raises(EdgequantError, match="do not hold one Python"):
        choose_parts(ARM64, replace(sources, lock=half))
    debs = make_lock(part for part in sources.lock.parts if part.kind == "deb")
    with pytest.raises(EdgequantError, match=r"no wheels for Python 3\.11"):
        choose_parts(ARM64, replace(sources, lock=debs))


def test_wheels_come_from_a_folder_and_are_checked(sources, tmp_path):
    house = tmp_path / "wheels"
    house.mkdir()
    for part in sources.lock.of("wheel", "arm64"):
        os.link(sources.store.get(part.sha256), house / part.file)
    cache = Store(tmp_path / "cache")
    for part in sources.lock.of("deb", "arm64"):
        assert cache.put(sources.store.get(part.sha256)) == part.sha256
    own = Sources(cache.folder, sources.lock, house)
    assert choose_parts(ARM64, own, "generation").wheels == sources.lock.of("wheel", "arm64")
    (house / sources.lock.of("wheel", "arm64")[0].file).unlink()
    (cache.folder / "sha256" / sources.lock.of("wheel", "arm64")[0].sha256).write_bytes(b"altered")
    with pytest.raises(EdgequantError, match="pip found no wheels for linux/arm64"):
        choose_parts(ARM64, own)


def test_a_library_that_nothing_brings_is_told(rootfs, sources, tmp_path):
    lacking = make_lock(part for part in sources.lock.parts if part.name != "libstdc++6")
    with pytest.raises(EdgequantError, match=r"the image lacks the library libstdc\+\+\.so\.6"):
        make_rootfs(AMD64, replace(sources, lock=lacking), tmp_path)
    with pytest.raises(EdgequantError, match="not for the image's platform"):
        elf.drop_unneeded(rootfs[ARM64], AMD64)


def test_platforms_are_named_as_oci_names_them():
    assert platform_of("linux/arm64/v8") == ARM64
    with pytest.raises(EdgequantError, match="linux/riscv64"):
        platform_of("linux/riscv64")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("lib/x86_64-linux-gnu/libz.so.1", "usr/lib/x86_64-linux-gnu/libz.so.1"),
        ("usr/lib/python3.11/json/decoder.py", "usr/lib/python3.11/json/decoder.py"),
        ("usr/lib/python3.11/encodings/utf_8.py", "usr/lib/python3.11/encodings/utf_8.py"),
        ("usr/lib/python3.11/encodings/cp037.py", None),
        ("usr/lib/python3.11/lib-dynload/_sqlite3.cpython-311-x86_64-linux-gnu.so", None),
        ("usr/lib/python3.11/unittest/case.py", None),
        ("bin/sh", None),
        ("etc/cron.daily/x", None),
    ],
)
def test_what_of_a_package_stays(path, place):
    assert prune.deb_path(path) == place


def test_a_lock_is_written_and_obeyed(tmp_path, sources, capsys):
    lock = tmp_path / "deep/lock.json"
    assert cli.main(["image", "lock", "--platform", "linux/arm64", "-o", str(lock), "--cache", str(sources.cache)]) == 0
    assert "parts ->" in capsys.readouterr().err
    found = json.loads(lock.read_text(encoding="utf-8"))["parts"]
    assert {part["architecture"] for part in found} == {ARM64.architecture} != {AMD64.architecture}
    assert {"numpy", "libc6", "python3.11-minimal"} <= {part["name"] for part in found}
