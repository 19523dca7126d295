"""The script and images: signature and digests come first; ``real_host.py`` shows that one is installed and serves."""

import json
import shutil
import tarfile

import pytest

from tests.image.conftest import Small
from tests.kit import deploy, require_host
from tests.trust import snapshot
from toolkit.cli import main
from toolkit.image.layout import write_archive
from toolkit.trust.signing import generate


@pytest.fixture
def image(tmp_path):
    """Return a signed image's tar: its Python does not run, and is of no known loader."""
    require_host()
    small = Small(tmp_path)
    path = tmp_path / "image.tar"
    write_archive(small.build("layout"), path)
    generate(tmp_path / "key")
    assert main(["sign", str(path), "--key", str(tmp_path / "key")]) == 0
    return path


def refuse(image, words, *trust):
    root = image.with_name("root")
    root.mkdir(exist_ok=True)
    before = set(snapshot(root)) | {"opt", "opt/edgequant", "opt/edgequant/.lock"}
    done = deploy("--root", root, "--no-systemd", *(trust or ("--key", image.with_name("key.pub"))), image)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert set(snapshot(root)) <= before


def rewrite(image, change):
    """Write the tar again, each file's content as ``change`` gives it."""
    with tarfile.open(image) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers()}
    folder = image.with_name("rewritten")
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in change(files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    write_archive(folder, image)


def test_whom_an_image_is_from(image):
    refuse(image, "no bundles, or no Python of ours")  # the signature is right, and so is every digest
    refuse(image, "signed by another key", "--key", generate(image.with_name("other")))
    image.with_name("image.tar.sig").rename(image.with_name("kept"))
    refuse(image, "the image is not signed")
    said = json.loads(image.with_name("kept").read_bytes())
    wrong = said | {"signature": said["signature"][::-1].replace("=", "") + "=="}
    image.with_name("image.tar.sig").write_text(json.dumps(wrong, indent=2))
    refuse(image, "the signature is wrong")
    wrong = said | {"signed": said["signed"].replace("sha256:", "sha256:0")}
    image.with_name("image.tar.sig").write_text(json.dumps(wrong, indent=2))
    refuse(image, "for another image")
    refuse(image, "not the one that was named", "--digest", "0" * 64)


def test_an_altered_image_is_refused(image):
    def flipped(name):
        def change(files):
            data = bytearray(files[name])
            data[len(data) // 2] ^= 1
            return files | {name: bytes(data)}

        return change

    original = image.read_bytes()
    with tarfile.open(image) as tar:
        blobs = [name for name in tar.getnames() if name.startswith("blobs/")]
    for name in blobs:
        image.write_bytes(original)
        rewrite(image, flipped(name))
        refuse(image, "a blob of the image is altered")
        refuse(image, "a blob of the image is altered", "--allow-unsigned")
    image.write_bytes(original)
    rewrite(image, lambda files: files | {"index.json": files["index.json"].replace(b"sha256:", b"sha256:0", 1)})
    refuse(image, "does not hold one image")


@pytest.mark.parametrize("part", [0.02, 0.5])
def test_a_cut_image_is_refused(image, part):
    whole = image.read_bytes()
    image.write_bytes(whole[: int(part * len(whole))])
    refuse(image, "cannot be read")


@pytest.mark.parametrize("inside", [0, 100])
def test_an_image_that_ends_between_two_files_is_refused(image, inside):
    """tar takes an archive that ends at a header, or within one, for a whole one."""
    with tarfile.open(image) as tar:
        start = next(member.offset for member in tar if member.name == "index.json")
    image.write_bytes(image.read_bytes()[: start + inside])
    refuse(image, "cannot be read")
