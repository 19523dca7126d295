"""The real thing, by ``make deploycheck``: a host of busybox alone, without Python and without a network, gets a kit.

Not collected by pytest on its own: it downloads packages and wheels. EDGEQUANT_BUNDLE names a bundle for this machine;
without it a tiny one is used.
"""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit import SCRIPT
from tests.runtime.tiny import Parts
from toolkit.cli import main
from toolkit.trust.signing import generate

START = """
kill $(cat /run/pid 2>/dev/null) 2>/dev/null || true
sleep 1
/opt/edgequant/current/run.sh > /run/log 2>&1 &
echo $! > /run/pid
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a root filesystem with a static busybox, and nothing else."""
    busybox = shutil.which("busybox")
    if os.geteuid() or not busybox or not shutil.which("unshare"):
        pytest.skip("needs root, unshare and a static busybox (Debian: busybox-static)")
    if "statically" not in subprocess.run(["file", busybox], capture_output=True, text=True, check=True).stdout:
        pytest.skip("busybox is not static (Debian: busybox-static)")
    root = tmp_path_factory.mktemp("host")
    for name in ("bin", "usr/bin", "tmp", "proc", "dev", "run", "root"):
        (root / name).mkdir(parents=True)
    shutil.copyfile(busybox, root / "bin/busybox")
    (root / "bin/busybox").chmod(0o755)
    subprocess.run(["chroot", root, "/bin/busybox", "--install", "-s", "/bin"], check=True)
    (root / "usr/bin/env").symlink_to("/bin/busybox")
    subprocess.run(["mknod", "-m", "666", root / "dev/null", "c", "1", "3"], check=True)
    shutil.copyfile(SCRIPT, root / "root/deploy.sh")
    (root / "root/start.sh").write_text(START)
    return root


@pytest.fixture(scope="module", params=["", "--slim"])
def kit(request, root):
    """Return a signed kit in the host's /root, and its digest."""
    given = os.environ.get("EDGEQUANT_BUNDLE")
    place = root.parent / f"bundle{request.param}"
    bundle = Path(given) if given else Parts().write(place)
    key = root.parent / f"key{request.param}"
    public = generate(key)
    assert main(["sign", str(bundle), "--key", str(key)]) == 0
    shutil.copyfile(public, root / "root/key.pub")
    out = root / f"root/kit{request.param}.tar.gz"
    again = root.parent / f"again{request.param}.tar.gz"
    for path in (out, again):
        assert main(["kit", str(bundle), "-o", str(path), "--key", str(key), *filter(None, [request.param])]) == 0
    assert again.read_bytes() == out.read_bytes()
    print(f"\n{out.name}: {out.stat().st_size / 1e6:.1f} MB, built twice with the same bytes")
    return out


def inside(root, script):
    """Run a script on the host: another root, no network but its own loopback, its own processes."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", shutil.which("chroot"), root, "/bin/sh", "-ec"]
    lines = f"mount -t proc proc /proc; ip link set lo up; {script}"
    done = subprocess.run(
        [*command, lines], env={"PATH": "/bin:/usr/bin:/usr/sbin"}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_a_host_of_busybox_alone_serves(root, kit):
    digest = hashlib.sha256(kit.read_bytes()).hexdigest()
    deploy = f"sh /root/deploy.sh --no-systemd --restart 'sh /root/start.sh' --digest {digest} /root/{kit.name}"
    url, body = "http://127.0.0.1:8080", '{"texts": ["a cat sat"]}'
    lines = ("POST /embed HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json")
    head = "".join(f"{line}\\r\\n" for line in (*lines, f"Content-Length: {len(body)}"))
    script = f"""
        {deploy}
        wget -qO- {url}/v1/models
        printf '{head}\\r\\n{body}' | nc 127.0.0.1 8080
        echo
        ! wget -qO- -T 2 http://192.0.2.1/ 2>/dev/null
    """
    code, out, err = inside(root, script)
    log = (root / "run/log").read_text() if (root / "run/log").exists() else ""
    assert code == 0, f"{out}\n{err}\n{log}"
    assert "self-check" in err
    answer = next(line for line in out.splitlines() if '"embeddings"' in line)
    assert json.loads(answer[answer.index("{") :])["embeddings"]
    print(err)


def test_an_image_serves_there_too(root, kit):
    name = kit.name.replace("kit", "image").replace(".tar.gz", ".tar")
    bundle = os.environ.get("EDGEQUANT_BUNDLE") or str(root.parent / f"bundle{'--slim' if 'slim' in name else ''}")
    build = ["image", "build", bundle, "-o", str(root / "root" / name)]
    assert main([*build, *(["--slim"] if "slim" in name else [])]) == 0
    digest = hashlib.sha256((root / "root" / name).read_bytes()).hexdigest()
    deploy = f"sh /root/deploy.sh --no-systemd --restart 'sh /root/start.sh' --digest {digest} /root/{name}"
    code, out, err = inside(root, f"{deploy}; wget -qO- http://127.0.0.1:8080/v1/models; sh /root/deploy.sh --status")
    assert code == 0, f"{out}\n{err}"
    assert "self-check" in err
    print(out)


def test_an_altered_kit_is_refused_there_too(root, kit):
    data = bytearray(kit.read_bytes())
    data[len(data) // 2] ^= 1
    (root / "root/altered.tar.gz").write_bytes(data)
    code, _, err = inside(root, "sh /root/deploy.sh --no-systemd --allow-unsigned /root/altered.tar.gz")
    assert code == 1
    assert "damaged" in err
