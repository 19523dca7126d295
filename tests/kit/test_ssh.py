"""The script over a real ssh, to a server on loopback."""

import getpass
import shutil
import subprocess
import time

import pytest

from tests.kit import deploy, free_port

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


@pytest.fixture
def ssh(tmp_path):
    """Return the command that reaches a server of this test's own."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if not sshd or not shutil.which("ssh"):
        pytest.skip("openssh-server and openssh-client are not installed")
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (tmp_path / "sshd_config").write_text(CONFIG.format(port=port, folder=tmp_path))
    command = (
        f"ssh -F none -p {port} -i {tmp_path}/user -o IdentitiesOnly=yes -o BatchMode=yes "
        f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={tmp_path}/known -o LogLevel=ERROR "
        f"-o ControlMaster=auto -o ControlPath={tmp_path}/control -o ControlPersist=60"
    )
    with subprocess.Popen([sshd, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.PIPE) as server:
        for _ in range(100):
            probe = [*command.split(), f"{getpass.getuser()}@127.0.0.1", "true"]
            done = subprocess.run(probe, capture_output=True, text=True, check=False)
            if done.returncode == 0 or server.poll() is not None:
                break
            time.sleep(0.05)
        if done.returncode:
            server.terminate()
            pytest.skip(f"no ssh to a server of our own: {done.stderr} {server.stderr.read().decode()}")
        yield command
        server.terminate()


def test_a_kit_is_installed_over_ssh(tmp_path, made, ssh):
    root = tmp_path / "root"
    touched = tmp_path / "it's touched"
    there = ["--host", f"{getpass.getuser()}@127.0.0.1", "--ssh", ssh, "--root", root, "--no-systemd"]
    done = deploy(*there, "--key", made.public, "--dry-run", made.kit("one"))
    assert done.returncode == 0, done.stderr
    assert not root.exists()
    restart = f"touch '{tmp_path}/it'\\''s touched'; false"
    done = deploy(*there, "--key", made.public, "--restart", restart, made.kit("one"))
    assert done.returncode == 1
    assert touched.exists()  # what is quoted here arrives there as it is
    assert not (root / "opt/edgequant/current").exists()
    done = deploy(*there, "--key", made.public, made.kit("one"))
    assert done.returncode == 0, done.stderr
    assert (root / "opt/edgequant/current/rootfs/bundles/one-test/manifest.json").is_file()
    assert "signed by sha256:" in done.stderr
    done = deploy(*there, "--key", made.folder / "two" / "manifest.json", made.kit("two"))
    assert done.returncode == 1  # the host's own no comes back
    status = deploy(*there, "--status")
    assert status.returncode == 0
    assert "one-test" in status.stdout
    assert "two-test" not in status.stdout


def test_a_host_that_is_not_there_is_said(tmp_path, made):
    if not shutil.which("ssh"):
        pytest.skip("openssh-client is not installed")
    away = f"ssh -F none -p {free_port()} -o BatchMode=yes -o ConnectTimeout=5"
    options = ["--host", "127.0.0.1", "--ssh", away, "--root", tmp_path / "root", "--no-systemd", "--allow-unsigned"]
    done = deploy(*options, made.kit("one"))
    assert done.returncode == 1
    assert "cannot reach 127.0.0.1" in done.stderr
    assert not (tmp_path / "root").exists()
