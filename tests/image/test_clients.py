"""What other tools make of an image: skopeo, umoci, buildah and a registry on loopback, where they are installed."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.conftest import Small
from toolkit import cli
from toolkit.image.layers import Settings
from toolkit.image.layout import write_archive
from toolkit.image.platforms import AMD64, ARM64


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(*command, **env):
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, timeout=120, env=os.environ | env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def layout(small: Small) -> Path:
    return small.build("image")


@needs("skopeo")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_skopeo_reads_and_copies_the_layout(small, compression):
    layout = small.build("image", settings=Settings(compression))
    for platform in (AMD64, ARM64):
        arch = platform.architecture
        found = json.loads(run("skopeo", "--override-arch", arch, "inspect", "--config", f"oci:{layout}:1"))
        assert found["architecture"] == arch
    run("skopeo", "copy", "--all", "--preserve-digests", f"oci:{layout}", f"dir:{small.folder / 'copied'}")
    run("skopeo", "copy", "--all", f"oci:{layout}", f"oci-archive:{small.folder / 'copied.tar'}")


@needs("skopeo")
def test_skopeo_reads_the_archives(small, layout):
    write_archive(layout, small.folder / "both.tar")
    run("skopeo", "inspect", "--raw", f"oci-archive:{small.folder / 'both.tar'}")
    one = small.build("one", bundles={AMD64: small.order().bundles[AMD64]})
    write_archive(one, small.folder / "one.tar")
    for transport in ("oci-archive", "docker-archive"):
        found = json.loads(run("skopeo", "inspect", f"{transport}:{small.folder / 'one.tar'}"))
        assert found["Architecture"] == "amd64"
        assert found["Labels"]["org.opencontainers.image.title"] == "tiny"


@needs("umoci")
@pytest.mark.parametrize("platform", [AMD64, ARM64], ids=str)
def test_umoci_unpacks_one_platform(small, platform):
    layout = small.build("one", bundles={platform: small.order().bundles[platform]})
    run("umoci", "unpack", "--rootless", "--image", f"{layout}:1", small.folder / "unpacked")
    root = small.folder / "unpacked/rootfs"
    assert (root / f"bundles/tiny-for-{platform.target}/manifest.json").is_file()
    assert json.loads((small.folder / "unpacked/config.json").read_text())["process"]["user"]["uid"] == 65532


@needs("buildah")
def test_buildah_takes_the_archive_as_podman_load_does(small):
    one = small.build("one", bundles={AMD64: small.order().bundles[AMD64]})
    write_archive(one, small.folder / "one.tar")
    store = ["--storage-driver", "vfs", "--root", small.folder / "store", "--runroot", small.folder / "run"]
    for transport in ("oci-archive", "docker-archive"):
        name = run("buildah", *store, "from", f"{transport}:{small.folder / 'one.tar'}").strip()
        found = json.loads(run("buildah", *store, "inspect", "--type", "container", name))
        assert found["OCIv1"]["config"]["Entrypoint"] == ["/usr/bin/python3.11", "-m", "toolkit.runtime"]
        run("buildah", *store, "rm", name)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Start Debian's registry on loopback and return its HOST:PORT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": address},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(config), encoding="utf-8")
    command = ["docker-registry", "serve", tmp_path / "registry.yml"]
    with (tmp_path / "registry.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0:
                        break
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()


@needs("skopeo", "docker-registry")
def test_a_pushed_image_comes_back_as_it_was(small, layout, registry, capsys):
    write_archive(layout, small.folder / "image.tar")
    digests = set()
    for source in (layout, small.folder / "image.tar"):
        reference = f"{registry}/models/tiny:{source.suffix.strip('.') or 'dir'}"
        assert cli.main(["image", "push", str(source), reference, "--insecure"]) == 0
        digests.add(capsys.readouterr().out.split()[0])
        back = small.folder / f"back-{source.name}"
        run("skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{reference}", f"oci:{back}:1")
        assert cli.main(["image", "verify", str(back)]) == 0
        digests.add(capsys.readouterr().out.split()[0])
    assert len(digests) == 1


@needs("skopeo")
def test_a_registry_that_is_not_there_is_told(layout, capsys):
    assert cli.main(["image", "push", str(layout), "127.0.0.1:1/x:1", "--insecure"]) == 1
    assert "the registry did not take the image" in capsys.readouterr().err


def test_without_skopeo_the_need_is_told(layout, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert cli.main(["image", "push", str(layout), "127.0.0.1:1/x:1"]) == 2
    assert "skopeo is not installed" in capsys.readouterr().err
