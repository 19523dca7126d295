"""``edgequant quantize`` as a whole: the gate, equal bytes, ``--force``, JSON, a full disk, a stop at any moment."""

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.cli import CLI, Workplace, environment, process, recipe, workplace
from toolkit import atomic
from toolkit.cli import main

# Mounts a tmpfs of SIZE on FOLDER where nobody else sees it, runs a command and lists what it left.
ON_SMALL_DISK = """
size=$1; folder=$2; listing=$3; shift 3
mount -t tmpfs -o "size=$size" tmpfs "$folder" || exit 77
"$@"; code=$?
ls -A "$folder" > "$listing"
exit $code
"""
FILES = [
    "manifest.json",
    "manifest.json.sha256",
    "model.onnx",
    "provenance.intoto.json",
    "quantization.json",
    "sbom.cdx.json",
    "tokenizer.json",
]


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return workplace(tmp_path)


def content(bundle: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(bundle.iterdir())}


@pytest.mark.parametrize("more", [(), ("--keep-rejected",), ("--json",), ("--archive", "gz")])
def test_gate_failure(place, capsys, more):
    place.write("strict.toml", recipe(cosine=1.5))
    assert main(place.command(*more, target=place.folder / "strict.toml")) == 3
    out, err = capsys.readouterr()
    assert "error: the int8 model is not accurate enough" in err
    assert "expected: cosine_mean" in err
    assert "hint: " in err
    if "--keep-rejected" in more:
        assert place.left() == ["b.rejected", *(f"b.rejected/{name}" for name in FILES)]
        assert json.loads((place.out.with_name("b.rejected") / "manifest.json").read_text())["gate"]["passed"] is False
        assert f"{place.out}.rejected" in err
    else:
        assert place.left() == []
    if "--json" in more:
        report = json.loads(out)
        assert report["out"] is None
        assert report["gate"]["passed"] is False
    else:
        assert "FAIL" in out


@pytest.mark.parametrize(("compression", "decompress"), [("gz", gzip.decompress), ("zst", None)])
def test_two_runs_give_equal_bytes(place, tmp_path, capsys, compression, decompress):
    again = workplace(tmp_path / "again")
    for one in (place, again):
        assert main(one.command("--archive", compression)) == 0
    assert sorted(content(place.out)) == FILES
    assert content(place.out) == content(again.out)
    archives = [one.out.with_name(f"b.tar.{compression}").read_bytes() for one in (place, again)]
    assert archives[0] == archives[1]
    reader = zstandard.ZstdDecompressor().stream_reader(archives[0])
    plain = decompress(archives[0]) if decompress else reader.read()
    unpacked = tmp_path / "unpacked"
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        tar.extractall(unpacked, filter="data")
    assert content(unpacked) == content(place.out)
    assert main(["verify", str(unpacked), "--threads", "1"]) == 0
    assert not [name for name in place.left() if ".partial-" in name]
    assert "next:" in capsys.readouterr().out


def test_force_replaces_a_bundle_and_its_archive(place):
    assert main(place.command("--archive", "zst")) == 0
    before = content(place.out)
    (place.out / "model.onnx").write_bytes(b"")
    archive = place.out.with_name("b.tar.zst")
    archive.write_bytes(b"")
    assert main(place.command("--archive", "zst")) == 2
    assert main(place.command("--archive", "zst", "--force")) == 0
    assert content(place.out) == before
    assert archive.stat().st_size
    assert place.left() == ["b", "b.tar.zst", *(f"b/{name}" for name in FILES)]


def test_gate_failure_leaves_what_force_would_have_replaced(place):
    assert main(place.command()) == 0
    before = content(place.out)
    place.write("strict.toml", recipe(cosine=1.5))
    assert main(place.command("--force", target=place.folder / "strict.toml")) == 3
    assert content(place.out) == before
    assert place.left() == ["b", *(f"b/{name}" for name in FILES)]


def test_replacing_that_fails_half_way_brings_back_what_was_there(place):
    place.out.mkdir(parents=True)
    (place.out / "manifest.json").write_text("old")
    with pytest.raises(FileNotFoundError):
        atomic._rename(place.folder / "none", place.out)
    assert place.left() == ["b", "b/manifest.json"]


def test_stdout_is_only_data(place):
    done = process(*CLI, *place.command("--json"))
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["out"] == str(place.out)
    assert report["gate"]["passed"] is True
    assert report["speed"] == []
    assert done.stderr.splitlines() == ["observe activations", "plan int8 layers", "evaluate fp32", "evaluate int8"]


def test_text_is_for_people_and_says_what_to_type_next(place, capsys):
    assert main(place.command()) == 0
    out, _ = capsys.readouterr()
    assert f"edgequant embed {place.out}" in out
    assert f"edgequant inspect {place.out}" in out
    assert "\x1b" not in out


def test_disk_full_while_the_bundle_is_written(place):
    err, left = on_small_disk(place, "24k", *CLI, *place.command())
    assert "error: no space left on device" in err
    assert "hint: free some space, or write elsewhere" in err
    assert left == []


def test_disk_full_while_the_archive_is_written(place, tmp_path):
    other = workplace(tmp_path / "other")
    assert main(other.command()) == 0
    pages = sum(-(-path.stat().st_size // 4096) for path in other.out.iterdir())
    err, left = on_small_disk(place, f"{4 * (pages + 3)}k", *CLI, *place.command("--archive", "gz"))
    assert "error: no space left on device" in err
    assert left == ["b"]


def on_small_disk(place: Workplace, size: str, *command: str) -> tuple[str, list[str]]:
    """Run a command that fails with a disk of ``size`` at OUT's folder; return its stderr and what it left there."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("this machine has no unshare, so no disk can be filled")
    place.out.parent.mkdir()
    listing = place.folder / "listing"
    small = ("sh", "-c", ON_SMALL_DISK, "sh", size, str(place.out.parent), str(listing), *command)
    for flags in ("-m", "-rm"):
        done = process(unshare, flags, *small)
        if listing.exists():
            assert done.returncode == 1, done.stderr
            assert "Traceback" not in done.stderr
            return done.stderr, listing.read_text().split()
    pytest.skip(f"no private mount is allowed here, so no disk can be filled: {done.stderr.strip()}")


def stopped(place: Workplace, number: signal.Signals, moment: str, *more: str) -> int:
    """Start the command, send a signal when it says ``moment`` or a name like it appears; return its exit code."""
    with subprocess.Popen(
        [*CLI, *place.command(*more)], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.strip() == (moment if moment in STEPS else STEPS[-1]):
                break
        while moment not in STEPS and running.poll() is None and not seen(place, moment):
            pass
        running.send_signal(number)
        running.stderr.read()
        return running.wait(timeout=60)


def seen(place: Workplace, start: str) -> bool:
    try:
        return any(name.startswith(start) for name in os.listdir(place.out.parent))  # noqa: PTH208 - names, and fast
    except FileNotFoundError:
        return False


STEPS = ("observe activations", "plan int8 layers", "evaluate fp32", "evaluate int8")
NAMES = (".b.partial-", "b", ".b.tar.gz.partial-")


@pytest.mark.parametrize("moment", STEPS[:2])
def test_sigterm_leaves_nothing(place, moment):
    assert stopped(place, signal.SIGTERM, moment) == 143
    assert place.left() == []


@pytest.mark.parametrize("moment", NAMES)
def test_sigterm_while_writing_leaves_whole_things_only(place, moment):
    assert stopped(place, signal.SIGTERM, moment, "--archive", "gz") in (0, 143)
    assert not [name for name in place.left() if ".partial-" in name]
    if place.out.exists():
        assert main(["verify", str(place.out), "--threads", "1"]) == 0


@pytest.mark.parametrize("moment", [STEPS[0], STEPS[3], *NAMES])
def test_sigkill_never_leaves_a_broken_bundle_under_the_final_name(place, moment):
    assert stopped(place, signal.SIGKILL, moment, "--archive", "gz") in (0, -signal.SIGKILL)
    if place.out.exists():
        assert main(["verify", str(place.out), "--threads", "1"]) == 0
    archive = place.out.with_name("b.tar.gz")
    if archive.exists():
        with tarfile.open(archive) as tar:
            assert tar.getnames() == FILES


def test_sigkill_while_a_bundle_is_replaced(place):
    assert main(place.command()) == 0
    before = content(place.out)
    assert stopped(place, signal.SIGKILL, ".b.partial-", "--force") in (0, -signal.SIGKILL)
    if place.out.exists():  # a kill between two renames leaves the old one beside, and nothing under the name
        assert content(place.out) == before
