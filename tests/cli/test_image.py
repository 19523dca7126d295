"""``edgequant image`` as a user types it, on small images."""

import json
import shutil
from pathlib import Path

import pytest

from tests.image.conftest import Small
from toolkit import cli
from toolkit.image.lock import write_lock


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Return the options that make a small image, and write what they name."""
    order = Small(tmp_path).order()
    write_lock(order.sources.lock, tmp_path / "lock.json")
    found = {"base": tmp_path / "base.tar", "lock": tmp_path / "lock.json", "cache": tmp_path / "cache"}
    return [part for name, path in found.items() for part in (f"--{name}", str(path))]


def run(*arguments: object) -> int:
    return cli.main(["image", *map(str, arguments)])


def test_bundles_become_an_image(tmp_path, given, capsys):
    out = tmp_path / "out/image"
    bundles = [tmp_path / "amd64", "--bundle-for", f"linux/arm64={tmp_path / 'arm64'}"]
    assert run(*bundles, "--platform", "linux/amd64,linux/arm64", "-o", out, "--explain", *given) == 0
    printed = capsys.readouterr().out
    assert "linux/arm64" in printed
    assert "bundle tiny-for-x86_64" in printed
    assert run("inspect", out, "--json", "--explain") == 0
    report = json.loads(capsys.readouterr().out)
    assert f"image     {report['digest']}" in printed
    assert {part["name"] for part in report["images"][0]["parts"]} >= {"numpy", "toolkit"}
    assert run("verify", out, "--digest", report["digest"]) == 0
    assert "every digest is right" in capsys.readouterr().out
    assert run("verify", out, "--digest", "sha256:0") == 1
    assert "this is another image" in capsys.readouterr().err


def test_a_tar_is_built_once_more_only_by_force(tmp_path, given, capsys):
    out = tmp_path / "image.tar"
    build = [tmp_path / "amd64", "-o", out, "--name", "models/tiny", *given]
    assert run("build", *build) == 0
    first = out.read_bytes()
    assert run(*build) == 2
    assert "the output exists" in capsys.readouterr().err
    assert run(*build, "--force") == 0
    assert out.read_bytes() == first
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name or path.name.startswith(".")]


def test_force_replaces_images_only(tmp_path, given, capsys):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "diary.txt").write_text("x", encoding="utf-8")
    assert run(tmp_path / "amd64", "-o", kept, "--force", *given) == 2
    assert "not an image that --force may replace" in capsys.readouterr().err
    assert (kept / "diary.txt").exists()
    out = tmp_path / "image"
    for _ in range(2):
        assert run(tmp_path / "amd64", "-o", out, "--force", *given) == 0


def test_nothing_is_unpacked_of_an_altered_image(tmp_path, given, capsys):
    image, root = tmp_path / "image", tmp_path / "root"
    assert run(tmp_path / "amd64", tmp_path / "arm64", "-o", image, *given) == 0
    assert run("unpack", image, "-o", root) == 2
    assert "name the platform" in capsys.readouterr().err
    assert run("unpack", image, "-o", root, "--platform", "linux/arm64") == 0
    assert (root / "bundles/tiny-for-arm64/manifest.json").is_file()
    shutil.rmtree(root)
    blob = max((image / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    for arguments in (["unpack", image, "-o", root, "--platform", "linux/arm64"], ["push", image, "127.0.0.1:1/x"]):
        assert run(*arguments) == 1
        assert "not what its digest says" in capsys.readouterr().err
    assert not root.exists()


def test_the_source_date_is_obeyed(tmp_path, given, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert run(tmp_path / "amd64", "-o", tmp_path / "image", "--json", *given) == 0
    labels = json.loads(capsys.readouterr().out)["images"][0]["config"]["Labels"]
    assert labels["org.opencontainers.image.created"] == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert run(tmp_path / "amd64", "-o", tmp_path / "other", *given) == 2
    assert "SOURCE_DATE_EPOCH is no number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--platform", "linux/riscv64"], "not built for this platform"),
        (["--bundle-for", "linux/arm64"], "is not OS/ARCH=BUNDLE"),
        (["--name", "Capital Letters"], "is no image name"),
        (["--label", "novalue"], "is not KEY=VALUE"),
    ],
)
def test_what_is_typed_wrong_is_told(tmp_path, arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "-o", tmp_path / "out", *arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_without_a_bundle_there_is_no_image(tmp_path, capsys):
    assert run("build", "-o", tmp_path / "out") == 2
    assert "no bundle is named" in capsys.readouterr().err
