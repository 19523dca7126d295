"""The script installs, switches, checks and goes back; what is refused changes nothing."""

import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import tarfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit import SCRIPT, Made, deploy, free_port
from tests.trust import snapshot, special, tar_of
from toolkit.trust.signing import generate


@dataclass
class Host:
    """A host's root, with a supervisor that starts the current release's server anew."""

    root: Path
    port: int
    made: Made

    @property
    def base(self):
        return self.root / "opt/edgequant"

    @property
    def current(self):
        return str((self.base / "current").readlink()) if (self.base / "current").is_symlink() else None

    def options(self):
        restart = f"sh {self.root}/restart.sh"
        return ["--root", self.root, "--no-systemd", "--restart", restart, "--port", self.port, "--timeout", "15"]

    def deploy(self, *arguments, **more):
        return deploy(*self.options(), *arguments, **more)

    def install(self, name, *arguments, **more):
        return self.deploy("--key", self.made.public, *arguments, self.made.kit(name), **more)

    def served(self):
        """Return the name of the bundle that answers, by really asking it for a vector."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/embed",
            data=json.dumps({"texts": ["the cat"]}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310
            (vector,) = json.load(answer)["embeddings"]
        assert len(vector) == 4
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/models", timeout=5) as answer:
            (model,) = json.load(answer)["data"]
        return model["id"]

    def left(self):
        return sorted(path.name for path in self.base.iterdir())


@pytest.fixture
def host(tmp_path, made):
    root, port = tmp_path / "root", free_port()
    root.mkdir()
    (root / "restart.sh").write_text(
        f"kill $(cat {root}/pid) 2>/dev/null && while kill -0 $(cat {root}/pid) 2>/dev/null; do sleep 0.02; done\n"
        f"{root}/opt/edgequant/current/run.sh > {root}/log 2>&1 &\necho $! > {root}/pid\n"
    )
    yield Host(root, port, made)
    subprocess.run(["sh", "-c", f"kill $(cat {root}/pid)"], capture_output=True, check=False)


@pytest.fixture
def bare(tmp_path, made):
    """A host on which nothing is started."""
    (tmp_path / "root").mkdir()
    return Host(tmp_path / "root", 1, made)


def install(bare, kit, *arguments, **more):
    options = ["--root", bare.root, "--no-systemd"]
    trust = [] if arguments else ["--key", bare.made.public]
    return deploy(*options, *trust, *arguments, kit, **more)


def refuse(bare, kit, words, *arguments, code=1):
    """Assert that a kit is refused in words and that no byte of the host has changed, hidden names included."""
    before = snapshot(bare.root)
    done = install(bare, kit, *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    after = {name: said for name, said in snapshot(bare.root).items() if name not in FOLDERS}
    assert after == {name: said for name, said in before.items() if name not in FOLDERS}


FOLDERS = ("opt", "opt/edgequant", "opt/edgequant/.lock")  # where the lock lies


def test_the_script_is_clean():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert all(len(line.expandtabs(4)) <= 200 for line in SCRIPT.read_text(encoding="utf-8").splitlines())


def test_what_fails_rolls_back_and_the_old_version_serves_on(host):
    done = host.install("one")
    assert done.returncode == 0, done.stderr
    assert host.served() == "one"
    first, process = host.current, (host.root / "pid").read_text()

    done = host.install("wrong")
    assert done.returncode == 1
    assert "the self-check failed" in done.stderr
    assert "golden vectors" in done.stderr
    assert host.served() == "one"
    assert (host.root / "pid").read_text() == process  # it was not even restarted
    assert host.left() == [".lock", "current", "releases"]
    assert [f"releases/{path.name}" for path in (host.base / "releases").iterdir()] == [first]

    done = host.install("unready", "--timeout", "2")
    assert done.returncode == 1
    assert "rolled back: the release before serves again" in done.stderr
    assert host.current == first
    assert host.served() == "one"


def test_switched_and_rolled_back_while_it_serves(host):
    assert host.install("one").returncode == 0
    first = host.current
    assert host.install("two").returncode == 0  # the lock has not stayed with the server
    assert host.served() == "two"
    assert str((host.base / "previous").readlink()) == first
    done = host.deploy("--rollback")
    assert done.returncode == 0, done.stderr
    assert host.served() == "one"
    assert host.current == first
    assert host.left() == [".lock", "current", "previous", "releases"]
    status = host.deploy("--status")
    assert status.returncode == 0
    assert first in status.stdout
    assert "two-test" in status.stdout


def test_the_server_too_asks_for_the_signature(host):
    assert host.install("one", "--require-signature").returncode == 0
    assert host.served() == "one"
    done = host.install("two", "--require-signature", "--timeout", "2")  # the kit is signed, the bundle in it is not
    assert done.returncode == 1
    assert host.served() == "one"


def test_a_failed_health_check_of_the_first_release_leaves_nothing(host):
    done = host.install("unready", "--timeout", "2")
    assert done.returncode == 1
    assert "no release before" in done.stderr
    assert host.current is None


def test_a_restart_that_fails_rolls_back(bare):
    assert install(bare, bare.made.kit("one")).returncode == 0
    before = bare.current
    options = ["--key", bare.made.public, "--restart", "false"]
    done = install(bare, bare.made.kit("two"), *options)
    assert done.returncode == 1
    assert "does not get ready either" in done.stderr
    assert bare.current == before


def test_dry_run_changes_nothing(bare):
    for name in ("one", "two"):
        before = snapshot(bare.root)
        done = install(bare, bare.made.kit(name), "--key", bare.made.public, "--dry-run")
        assert done.returncode == 0, done.stderr
        assert snapshot(bare.root) == before
        assert f"would unpack {name}-test" in done.stdout
        if name == "one":
            assert install(bare, bare.made.kit(name)).returncode == 0
    before = snapshot(bare.root)
    for mode in ("--uninstall", "--status"):
        assert deploy("--root", bare.root, "--no-systemd", "--dry-run", mode).returncode == 0
        assert snapshot(bare.root) == before
    refuse(bare, bare.made.kit("two"), "another key", "--dry-run", "--key", generate(bare.root.parent / "other"))


def test_whom_to_trust_must_be_said(bare):
    kit = bare.made.kit("one")
    refuse(bare, kit, "nothing says whom to trust", "--dry-run")
    refuse(bare, kit, "not the one that was named", "--digest", "0" * 64)
    refuse(bare, kit, "another key", "--key", generate(bare.root.parent / "other"))
    unsigned = rebuilt(bare, drop=("SHA256SUMS.sig",))
    refuse(bare, unsigned, "the kit is not signed")
    digest = hashlib.sha256(unsigned.read_bytes()).hexdigest()
    assert install(bare, unsigned, "--digest", f"sha256:{digest}").returncode == 0
    assert install(bare, unsigned, "--allow-unsigned").returncode == 0


def files(kit):
    with tarfile.open(kit) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers()}


def write(bare, entries, data=None):
    path = bare.root.parent / "changed.tar.gz"
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(tar_of(entries) if data is None else data)
    return path


def rebuilt(bare, drop=(), add=(), **changed):
    """Return the first kit again, with other files in it."""
    found = {name: data for name, data in files(bare.made.kit("one")).items() if name not in drop}
    return write(bare, [*(found | changed).items(), *add])


def test_a_signature_that_is_not_this_kits_is_refused(bare):
    other = files(bare.made.kit("two"))
    refuse(bare, rebuilt(bare, **{"SHA256SUMS.sig": other["SHA256SUMS.sig"]}), "for another kit")
    refuse(bare, rebuilt(bare, SHA256SUMS=other["SHA256SUMS"]), "for another kit")
    said = json.loads(files(bare.made.kit("one"))["SHA256SUMS.sig"])
    for wrong in (json.loads(other["SHA256SUMS.sig"])["signature"], "", "AAAA", "x" * 88):
        changed = json.dumps(said | {"signature": wrong}, indent=2).encode()
        refuse(bare, rebuilt(bare, **{"SHA256SUMS.sig": changed}), "the signature is wrong")
    refuse(bare, rebuilt(bare, **{"SHA256SUMS.sig": b"nonsense"}), "another key")


def test_altered_and_foreign_files_are_refused(bare):
    for name, data in files(bare.made.kit("one")).items():
        if data and not name.startswith("SHA256SUMS"):
            refuse(bare, rebuilt(bare, **{name: data[:-1] + bytes([data[-1] ^ 1])}), "is altered")
    refuse(bare, rebuilt(bare, add=[("stranger", b"x")]), "other files than its SHA256SUMS")
    refuse(bare, rebuilt(bare, drop=("kit.conf",)), "other files than its SHA256SUMS")
    refuse(bare, rebuilt(bare, drop=("SHA256SUMS",)), "no SHA256SUMS")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("../evil", "a name that may lead out"),
        ("/evil", "a name that may lead out"),
        ("a/../../evil", "a name that may lead out"),
        ("a b", "a name that may lead out"),
        ("-rf", "a name that may lead out"),
        ("kit.conf", "a name twice"),
        (special("link", tarfile.SYMTYPE, "/etc/passwd"), "no plain file"),
        (special("hard", tarfile.LNKTYPE, "kit.conf"), "no plain file"),
        (special("folder", tarfile.DIRTYPE), "no plain file"),
        (special("pipe", tarfile.FIFOTYPE), "no plain file"),
        (special("null", tarfile.CHRTYPE), "no plain file"),
    ],
)
def test_a_kit_that_would_leave_its_folder_is_refused(bare, entry, words):
    (bare.root.parent / "evil").write_text("mine")
    refuse(bare, rebuilt(bare, add=[(entry, b"")]), words, "--allow-unsigned")
    assert (bare.root.parent / "evil").read_text() == "mine"
    assert not Path("/evil").exists()


def test_a_bomb_is_refused(bare):
    """Half of the disk's free space is what a kit may unpack to; tar is not read beyond."""
    head = tarfile.TarInfo("zeros")
    head.size = shutil.disk_usage(bare.root).free * 2
    refuse(bare, write(bare, [], head.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)), "cannot be read", "--allow-unsigned")


def test_a_flipped_bit_anywhere_is_refused(bare):
    data = bare.made.kit("one").read_bytes()
    seeded = random.Random(3)  # noqa: S311
    path = bare.root.parent / "flipped.tar.gz"
    for position in [0, 4, 8, 9, 10, len(data) - 1, len(data) - 8, *seeded.sample(range(len(data)), 20)]:
        altered = bytearray(data)
        altered[position] ^= 1 << seeded.randrange(8)
        path.write_bytes(altered)
        done = install(bare, path, "--allow-unsigned")  # no signature needed to see it
        assert done.returncode == 1, position
        assert bare.current is None
    for size in (0, 5, 1000, len(data) - 1):
        path.write_bytes(data[:size])
        assert install(bare, path, "--allow-unsigned").returncode == 1
    path.write_bytes(data + b"more")
    assert install(bare, path, "--allow-unsigned").returncode == 1
    assert sorted(snapshot(bare.root)) == sorted(FOLDERS)


def test_a_kit_for_another_machine_is_refused(bare):
    found = files(bare.made.kit("one"))
    for pattern, put, words in (
        ("architecture=", "architecture=riscv64\n#", "the kit is for riscv64"),
        ("format=1", "format=2", "of another format"),
        ("host_python=3.", "host_python=2.", "python3 to be 2."),
    ):
        conf = found["kit.conf"].decode().replace(pattern, put, 1).encode()
        old, new = (hashlib.sha256(data).hexdigest().encode() for data in (found["kit.conf"], conf))
        sums = found["SHA256SUMS"].replace(old, new)
        refuse(bare, rebuilt(bare, **{"kit.conf": conf, "SHA256SUMS": sums}), words, "--allow-unsigned")


def test_releases_are_pruned_and_current_and_previous_never(bare):
    for name in ("one", "two", "unready"):
        options = ["--allow-unsigned", "--keep", "1"]
        assert install(bare, bare.made.kit(name), *options).returncode == 0
        kept = {f"releases/{path.name}" for path in (bare.base / "releases").iterdir()}
        previous = str((bare.base / "previous").readlink()) if (bare.base / "previous").is_symlink() else bare.current
        assert kept == {bare.current, previous}


def test_uninstall_leaves_nothing_of_its_own(bare):
    assert deploy("--root", bare.root, "--key", bare.made.public, bare.made.kit("one")).returncode == 0
    unit = bare.root / "etc/systemd/system/edgequant.service"
    assert unit.exists()
    (bare.base / "mine").write_text("")
    done = deploy("--root", bare.root, "--uninstall")
    assert done.returncode == 0, done.stderr
    assert bare.left() == ["mine"]
    assert not unit.exists()
    assert deploy("--root", bare.root, "--uninstall").returncode == 1
    assert deploy("--root", bare.root, "--rollback").returncode == 1
    assert deploy("--root", bare.root, "--status").returncode == 1


def test_without_systemd_it_is_said(bare, tmp_path):
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs here")
    base = tmp_path / "base"
    done = deploy("--base", base, "--allow-unsigned", bare.made.kit("one"))
    assert done.returncode == 1
    assert "systemd does not run here" in done.stderr
    done = deploy("--base", base, "--status")
    assert (done.returncode, done.stdout.split()) == (1, ["current:", "none", "previous:", "none"])
    assert not base.exists()


def test_two_runs_at_once_are_refused(bare):
    bare.base.mkdir(parents=True)
    if not shutil.which("flock"):
        pytest.skip("flock is not installed")
    with subprocess.Popen(["flock", bare.base / ".lock", "-c", "echo locked; exec cat"], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        done = install(bare, bare.made.kit("one"))
        other.stdin.close()
    assert done.returncode == 1
    assert "another run" in done.stderr


def test_a_killed_run_leaves_nothing_half_done(bare):
    command = ["sh", str(SCRIPT), "--root", str(bare.root), "--no-systemd", "--allow-unsigned"]
    for delay in (0.05, 0.2):
        with subprocess.Popen([*command, str(bare.made.kit("one"))], stderr=subprocess.DEVNULL) as run:
            time.sleep(delay)
            run.terminate()
        assert not list(bare.base.glob(".partial*")) + list(bare.base.glob(".work*"))
        assert bare.current is None or (bare.base / bare.current / "kit.conf").exists()
    assert install(bare, bare.made.kit("one")).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage"),
        (["--port", "x", "kit"], "no whole number"),
        (["--port"], "needs a value"),
        (["--base", "relative", "kit"], "absolute"),
        (["--base", "/a b", "kit"], "cannot hold"),
        (["--digest", "12", "kit"], "64 lower-case"),
        (["--wrong"], "no option --wrong"),
        (["a", "b"], "one kit at a time"),
        (["none.tar.gz"], "no such kit"),
        (["--status", "kit"], "takes no kit"),
        (["--restart", "true", str(SCRIPT)], "goes with --no-systemd"),
        (["--host", "-oProxyCommand=x", "--allow-unsigned", str(SCRIPT)], "begins with a dash"),
    ],
)
def test_usage(arguments, words):
    done = deploy(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_help():
    assert "--rollback" in deploy("--help").stdout


def test_busybox_is_enough(bare, tmp_path):
    busybox, openssl = shutil.which("busybox"), shutil.which("openssl")
    if not busybox or not openssl:
        pytest.skip("busybox is not installed")
    tools = tmp_path / "tools"
    tools.mkdir()
    subprocess.run([busybox, "--install", "-s", tools], check=True)
    (tools / "openssl").unlink(missing_ok=True)
    (tools / "openssl").symlink_to(openssl)
    (tools / "python3").symlink_to("/usr/bin/python3")  # the small kit's runtime
    shell = (str(tools / "sh"),)
    for name in ("one", "two"):
        done = install(bare, bare.made.kit(name), shell=shell, PATH=str(tools))
        assert done.returncode == 0, done.stderr
    assert install(bare, rebuilt(bare, add=[("../evil", b"")]), shell=shell, PATH=str(tools)).returncode == 1
    assert deploy("--root", bare.root, "--no-systemd", "--rollback", shell=shell, PATH=str(tools)).returncode == 0
    assert deploy("--root", bare.root, "--no-systemd", "--uninstall", shell=shell, PATH=str(tools)).returncode == 0
    assert not bare.base.exists()
    bare.base.mkdir()
    (bare.base / ".lock.pid").write_text(f"{os.getpid()}\n")
    done = install(bare, bare.made.kit("one"), shell=shell, PATH=str(tools))
    assert "another run" in done.stderr


def check_by_systemd(unit):
    """Let systemd read the unit, and rate it: 0 is closed, 100 is open; a unit without any of it has 96."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not installed")
    verify = ["systemd-analyze", "verify", "--man=no", unit]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    rate = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", unit]
    done = subprocess.run(rate, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_systemd_reads_the_unit_and_rates_it(tmp_path):
    text = (SCRIPT.parent / "edgequant.service").read_text(encoding="utf-8")
    for mark, put in (("BASE", "/opt/edgequant"), ("LISTEN", "127.0.0.1"), ("PORT", "8080"), ("MEMORY", "512M")):
        text = text.replace(f"@{mark}@", put)
    (tmp_path / "edgequant.service").write_text(text)
    check_by_systemd(tmp_path / "edgequant.service")


def test_the_unit_says_what_was_asked_for(bare):
    options = [
        "--root",
        bare.root,
        "--key",
        bare.made.public,
        "--listen",
        "192.0.2.1",
        "--port",
        "9000",
        "--memory",
        "300M",
    ]
    assert deploy(*options, bare.made.kit("one")).returncode == 0
    unit = (bare.root / "etc/systemd/system/edgequant.service").read_text(encoding="utf-8")
    assert "--host 192.0.2.1 --port 9000" in unit
    assert "MemoryMax=300M" in unit
    assert "IPAddressDeny" not in unit
    assert "@" not in unit.replace("@system-service", "").replace("~@privileged @resources", "")
    env = (bare.base / "current/edgequant.env").read_text(encoding="utf-8")
    assert env == "EDGEQUANT_ARGUMENTS=/opt/edgequant/current/rootfs/bundles/one-test\n"
