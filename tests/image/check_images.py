"""The whole acceptance of images: ``make image-check``. Minutes, so no part of the suite.

``IMAGE_BUNDLES`` names bundles of one embedding model, separated by colons: for amd64 first, for arm64 last, and one
that a Cortex-A72 can run.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.conftest import HERE
from tests.image.running import check_golden, emulated, native, serving
from toolkit import cli
from toolkit.image import debs
from toolkit.image.layers import Settings, write_layer
from toolkit.image.layout import Image, blob_folder, write_archive, write_layout
from toolkit.image.platforms import AMD64, ARM64
from toolkit.image.rootfs import Parts, make_system
from toolkit.isa.cpu_models import cpu_model

ROOT = Path(__file__).parents[2]
LIMITS = {"normal": (65, 190), "slim": (42, 85)}  # MB compressed and unpacked, for each platform with one bundle
BUNDLES = [Path(path).absolute() for path in os.environ.get("IMAGE_BUNDLES", "").split(":") if path]
MODELS = ("cortex-a72", "cortex-a76")


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=540)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module", params=sorted(LIMITS))
def kind(request):
    if len(BUNDLES) < 2:
        pytest.fail("set IMAGE_BUNDLES=AMD64:ARM64, or run make image-check")
    return request.param


@pytest.fixture(scope="module")
def built(kind, tmp_path_factory):
    """Return the layout of both platforms and its report, and the folder that may be filled."""
    folder = tmp_path_factory.mktemp(kind)
    return build(folder / "image", kind), folder


def build(out, kind, python=sys.executable):
    options = ["--slim"] if kind == "slim" else []
    command = [python, "-m", "toolkit.cli", "image", *BUNDLES, "--platform", "linux/amd64,linux/arm64", "-o", out]
    return out, json.loads(run(*command, "--explain", "--json", *options))


@pytest.fixture(scope="module")
def roots(built):
    (layout, _), folder = built
    for platform in (AMD64, ARM64):
        out = folder / platform.architecture
        assert cli.main(["image", "unpack", str(layout), "-o", str(out), "--platform", platform.name]) == 0
    return {platform: folder / platform.architecture for platform in (AMD64, ARM64)}


def bundle_of(root):
    return min((root / "bundles").iterdir())


def test_sizes(built, kind):
    (_, report), _ = built
    for image in report["images"]:
        more = sorted(p["compressed_bytes"] for p in image["parts"] if p["name"].startswith("bundle "))[:-1]
        bare = sorted(p["unpacked_bytes"] for p in image["parts"] if p["name"].startswith("bundle "))[:-1]
        size = (image["compressed_bytes"] - sum(more)) / 1e6, (image["unpacked_bytes"] - sum(bare)) / 1e6
        sys.stderr.write(f"{kind} {image['platform']}: {size[0]:.1f} MB compressed, {size[1]:.1f} MB unpacked\n")
        assert size[0] <= LIMITS[kind][0], size
        assert size[1] <= LIMITS[kind][1], size


def test_built_twice(built, kind):
    (layout, report), folder = built
    again, other = build(folder / "again", kind)
    assert other["digest"] == report["digest"]
    assert {path.name for path in (again / "blobs/sha256").iterdir()} == {
        path.name for path in (layout / "blobs/sha256").iterdir()
    }


def test_other_tools(built):
    (layout, _), folder = built
    run("skopeo", "copy", "--all", "--preserve-digests", f"oci:{layout}", f"oci-archive:{folder / 'copied.tar'}")
    for platform in (AMD64, ARM64):
        one = folder / f"one-{platform.architecture}"
        run("skopeo", "--override-arch", platform.architecture, "copy", f"oci:{layout}", f"oci:{one}:latest")
        run("umoci", "unpack", "--rootless", "--image", f"{one}:latest", folder / f"umoci-{platform.architecture}")


def test_it_answers_here(roots):
    root = roots[HERE]
    with serving(native(root, HERE), root, root / "bundles") as port:
        check_golden(port, bundle_of(root))


@pytest.mark.parametrize("model", MODELS)
def test_it_answers_on_arm64(roots, model, tmp_path):
    root = roots[ARM64]
    with serving(emulated(root, cpu_model(model), tmp_path), root, root / "bundles") as port:
        check_golden(port, bundle_of(root))


def buildah(store, *arguments):
    options = ["--storage-driver", "vfs", "--root", store / "images", "--runroot", store / "run"]
    return run("buildah", *options, *arguments)


def test_buildah_builds_the_dockerfile_for_arm64(sources, tmp_path):
    """A base of Debian's packages for arm64 without a shell, one with a shell and pip for this machine, no emulator."""
    context, store = tmp_path / "context", tmp_path / "store"
    (context / "toolkit").mkdir(parents=True)
    for name in ("Dockerfile.arm64", "toolkit/__init__.py", "toolkit/runtime", "toolkit/image"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, context / name)
    shutil.copytree(BUNDLES[-1], context / "bundle")
    (context / "wheels").mkdir()
    for part in sources.lock.of("wheel", "arm64"):
        shutil.copyfile(sources.store.get(part.sha256), context / "wheels" / part.file)
    for name, platform in (("base", ARM64), ("build", HERE)):
        layout = tmp_path / name
        system(sources, platform, tmp_path / f"root-{name}", shell=name == "build")
        image = Image(platform, (layer(tmp_path / f"root-{name}", layout),), {"Env": ["PATH=/usr/bin:/bin"]})
        write_layout(layout, [image], f"localhost/{name}:1", 0)
        write_archive(layout, tmp_path / f"{name}.tar")
        pull = ["pull", "--quiet", "--arch", platform.architecture, f"oci:{layout}:1"]
        buildah(store, "tag", buildah(store, *pull).strip(), f"localhost/{name}:1")
    given = {"BASE": "localhost/base:1", "BUILD_BASE": "localhost/build:1", "PYTHON": "3.11", "BUNDLE": "bundle"}
    given |= {"PIP_ARGS": "--no-index", "BUILDPLATFORM": HERE.name}
    arguments = [part for key, value in given.items() for part in ("--build-arg", f"{key}={value}")]
    platform = ["--platform", "linux/arm64", "--isolation", "chroot", "--pull-never"]
    buildah(
        store, "bud", *platform, *arguments, "-f", context / "Dockerfile.arm64", "-t", "localhost/served:1", context
    )
    buildah(store, "push", "--quiet", "localhost/served:1", f"oci:{tmp_path / 'served'}:1")
    assert cli.main(["image", "unpack", str(tmp_path / "served"), "-o", str(tmp_path / "served-root")]) == 0
    root = tmp_path / "served-root"
    with serving(emulated(root, cpu_model("cortex-a76"), tmp_path / "cache"), root, root / "bundles") as port:
        check_golden(port, root / "bundles/model")


def layer(root, layout):
    return write_layer(root, root.rglob("*"), blob_folder(layout), Settings(level=1), "base")


def system(sources, platform, root, *, shell):
    """Fill a folder with a Debian that has Python, and a shell and pip where asked for."""
    root.mkdir()
    if not shell:
        parts = sources.lock.of("deb", platform.architecture)
        make_system(Parts(platform, "3.11", parts, ()), sources.store, root)
        return
    apt = debs.Apt(root.parent / "apt", platform)
    apt.run("apt-get", "update")
    wanted = ("python3-pip", "python3", "python3-distutils", "dash", "coreutils")
    plan = apt.run("apt-get", "--simulate", "--no-install-recommends", "install", *wanted)
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    packages = root.parent / "packages"
    packages.mkdir()
    apt.run("apt-get", "download", *names, cwd=packages)
    for package in packages.glob("*.deb"):
        run("dpkg-deb", "-x", package, root)
