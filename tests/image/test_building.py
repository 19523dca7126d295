"""Small images, whole: built twice, read back, damaged everywhere, and taken as a base."""

import hashlib
import json
import shutil
import tarfile
from dataclasses import replace

import pytest

from tests.image.conftest import fake_base
from tests.runtime.lm import lm_parts
from toolkit.errors import BundleError, EdgequantError, ImageError, UsageError
from toolkit.image.building import build_image
from toolkit.image.bundles import place, read_shipped
from toolkit.image.explain import explain
from toolkit.image.layers import Settings
from toolkit.image.layout import write_archive
from toolkit.image.lock import make_lock
from toolkit.image.platforms import AMD64, ARM64
from toolkit.image.reading import open_layout
from toolkit.trust.unpack import unpack_layers

BOTH = (AMD64, ARM64)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def config(image):
    return image.config["config"]


def test_two_builds_give_the_same_bytes(small):
    first, second = small.build("first"), small.build("second")
    assert files(first) == files(second)
    for path in (first, second):
        write_archive(path, path.with_suffix(".tar"))
    assert first.with_suffix(".tar").read_bytes() == second.with_suffix(".tar").read_bytes()


def test_the_time_is_that_of_the_source(small):
    layout = small.build("dated", settings=Settings(epoch=1_700_000_000))
    with open_layout(layout) as found:
        image = found.image(AMD64)
        assert image.config["created"] == "2023-11-14T22:13:20Z"
        assert config(image)["Labels"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"
        with tarfile.open(found.blob(image.layers[-1].digest)) as tar:
            assert {entry.mtime for entry in tar} == {1_700_000_000}


def test_what_an_image_says_of_itself(small):
    layout = small.build("image", labels={"maker": "me"})
    with open_layout(layout) as found:
        assert found.name == "small:1"
        assert [image.platform for image in found.images] == ["linux/amd64", "linux/arm64"]
        said = config(found.image(ARM64))
    assert said["User"] == "65532:65532"
    assert said["Entrypoint"] == ["/usr/bin/python3.11", "-m", "toolkit.runtime"]
    assert {"HF_HUB_OFFLINE=1", "ORT_DISABLE_TELEMETRY=1", "PYTHONPATH=/opt/edgequant"} <= set(said["Env"])
    assert said["Labels"]["maker"] == "me"
    assert said["Labels"]["org.opencontainers.image.title"] == "tiny"


def test_owner_modes_and_paths_of_a_layer(small):
    with open_layout(small.build("image")) as found:
        image = found.image(AMD64)
        with tarfile.open(found.blob(image.layers[-1].digest)) as tar:
            entries = tar.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, "", "")}
    assert {entry.name: entry.mode for entry in entries}["bundles/tiny-for-x86_64/model.onnx"] == 0o644
    assert {entry.name: entry.mode for entry in entries}["bundles/tiny-for-x86_64"] == 0o755


def test_platforms_and_images_share_layers(small):
    """The tiny wheels are the same for both; a bundle's layer is the same in another image."""
    with open_layout(small.build("image")) as found:
        amd, arm = (found.image(platform).layers for platform in BOTH)
        assert [layer.digest for layer in amd[:2]] == [layer.digest for layer in arm[:2]]
        assert amd[2].digest != arm[2].digest
    order = small.order()
    with open_layout(small.build("one", bundles={AMD64: order.bundles[AMD64]})) as found:
        assert found.images[0].layers[-1].digest == amd[-1].digest


def test_zstd_on_request(small):
    with open_layout(small.build("image", settings=Settings("zstd"))) as found:
        assert {layer.media_type.rpartition("+")[2] for image in found.images for layer in image.layers} == {"zstd"}
        unpack_layers([found.blob(layer.digest) for layer in found.image(ARM64).layers], small.folder / "root")
    assert (small.folder / "root/bundles/tiny-for-arm64/manifest.json").is_file()


def test_slim_has_no_numpy(small):
    for slim in (False, True):
        with open_layout(small.build(f"slim-{slim}", slim=slim)) as found:
            names = {part.name for part in explain(found, found.image(AMD64))}
        assert ("numpy" in names) is not slim
        assert {"onnxruntime", "tokenizers", "toolkit", "bundle tiny-for-x86_64"} <= names


def test_text_generation_alone_brings_its_own_package(small):
    order = small.order()
    lm = replace(read_shipped(lm_parts().write(small.folder / "lm")), name="stories")
    with open_layout(small.build("mixed", bundles={**order.bundles, AMD64: (*order.bundles[AMD64], lm)})) as found:
        names = {platform: {part.name for part in explain(found, found.image(platform))} for platform in BOTH}
    assert {"onnxruntime-genai", "numpy", "bundle stories"} <= names[AMD64]
    assert "onnxruntime-genai" not in names[ARM64]
    with open_layout(small.build("slim", bundles={AMD64: (lm,)}, slim=True)) as found:
        slim = {part.name for part in explain(found, found.image(AMD64))}
    assert {"onnxruntime-genai", "onnxruntime", "bundle stories"} <= slim
    assert "numpy" not in slim


def test_parts_add_up(small):
    with open_layout(small.build("image")) as found:
        image = found.image(ARM64)
        parts = explain(found, image)
        assert sum(part.compressed for part in parts) == sum(layer.size for layer in image.layers)
        unpack_layers([found.blob(layer.digest) for layer in image.layers], small.folder / "root")
    root = small.folder / "root"
    assert sum(part.unpacked for part in parts) == sum(len(data) for data in files(root).values())
    assert sum(part.files for part in parts) == len(files(root))
    assert not (root / "opt/edgequant/numpy/tests").exists()


def test_a_flipped_byte_anywhere_is_refused(small):
    layout = small.build("image")
    with open_layout(layout) as found:
        digest, refused = found.digest, 0
    for path in sorted(path for path in layout.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for position in range(0, len(data), max(1, len(data) // 40)):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            try:
                with open_layout(layout) as found:  # no digest guards the image's name
                    assert (path.name, found.digest) == ("index.json", digest), position
            except ImageError:
                refused += 1
        path.write_bytes(data)
    assert refused > 200
    with open_layout(layout) as found:
        assert len(found.images) == 2


@pytest.mark.parametrize("end", [0, 1, 100])
def test_a_shortened_blob_is_refused(small, end):
    layout = small.build("image")
    path = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ImageError, match="wrong size"), open_layout(layout):
        pass


def test_a_missing_blob_a_strange_one_and_no_layout_are_refused(small):
    layout = small.build("image")
    extra = layout / "blobs/sha256" / ("0" * 64)
    extra.write_bytes(b"x")
    with pytest.raises(ImageError, match="no image names"), open_layout(layout):
        pass
    extra.unlink()
    min((layout / "blobs/sha256").iterdir()).unlink()
    with pytest.raises(ImageError, match="missing"), open_layout(layout):
        pass
    with pytest.raises(ImageError, match="marker of an OCI layout is missing"), open_layout(small.folder / "cache"):
        pass
    with pytest.raises(UsageError, match="no such image"), open_layout(small.folder / "nothing"):
        pass


def rewritten(layout, change):
    """Change the one manifest of a one-platform layout and name it by its new digest."""
    index = json.loads((layout / "index.json").read_bytes())
    top = index["manifests"][0]
    old = layout / "blobs/sha256" / top["digest"].removeprefix("sha256:")
    manifest = json.loads(old.read_bytes())
    old.unlink()
    change(manifest, layout)
    data = json.dumps(manifest).encode()
    top["digest"], top["size"] = "sha256:" + hashlib.sha256(data).hexdigest(), len(data)
    (old.parent / top["digest"].removeprefix("sha256:")).write_bytes(data)
    (layout / "index.json").write_bytes(json.dumps(index).encode())
    return layout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest, _: manifest["layers"].pop(), "other layers than the manifest"),
        (lambda manifest, _: manifest["layers"].reverse(), "something else than the config says"),
        (lambda manifest, _: manifest["layers"][0].update(digest="sha256:../../x"), "not one of SHA-256"),
        (lambda manifest, _: manifest["layers"][0].update(size=1), "wrong size|two sizes"),
        (lambda manifest, _: manifest["layers"][0].update(mediaType="application/x"), "type that is not read"),
        (lambda manifest, _: manifest["config"].update(mediaType="application/x"), "another type"),
        (lambda manifest, _: manifest.update(layers="none"), "no list of objects"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(small, change, words):
    layout = small.build("image", bundles={AMD64: small.order().bundles[AMD64]})
    with pytest.raises(ImageError, match=words), open_layout(rewritten(layout, change)):
        pass


def test_an_archive_is_read_as_its_folder_is(small):
    layout = small.build("image")
    write_archive(layout, small.folder / "image.tar")
    with open_layout(layout) as folder, open_layout(small.folder / "image.tar") as archive:
        assert folder.digest == archive.digest
    with tarfile.open(small.folder / "image.tar") as tar:
        assert "manifest.json" not in tar.getnames()


def test_the_archive_of_one_platform_has_dockers_list(small):
    layout = small.build("one", bundles={AMD64: small.order().bundles[AMD64]})
    write_archive(layout, small.folder / "one.tar")
    with tarfile.open(small.folder / "one.tar") as tar:
        (listed,) = json.load(tar.extractfile("manifest.json"))
        assert listed["RepoTags"] == ["small:1"]
        assert {listed["Config"], *listed["Layers"]} <= set(tar.getnames())


def test_an_image_is_the_base_of_another(small):
    first = small.build("first")
    second = small.build("second", base=first)
    with open_layout(first) as one, open_layout(second) as two:
        below, above = one.image(ARM64).layers, two.image(ARM64).layers
        assert [layer.digest for layer in above[: len(below)]] == [layer.digest for layer in below]
        assert len(above) == len(below) + 3  # runtime, about, bundle
    write_archive(first, small.folder / "first.tar")
    assert files(small.build("third", base=small.folder / "first.tar")) == files(second)


def test_a_base_that_cannot_be_one_is_told(small, tmp_path):
    empty = tmp_path / "empty.tar"
    with tarfile.open(empty, "w") as tar:
        tar.addfile(tarfile.TarInfo("usr/bin/perl"))
    text = tmp_path / "text.tar"
    text.write_text("x" * 2000, encoding="utf-8")
    for base, words in ((empty, "no Python"), (text, "no tar"), (tmp_path / "none", "no such base")):
        with pytest.raises(UsageError, match=words):
            build_image(small.order(base=base), fresh(tmp_path))
    one = small.build("one", bundles={AMD64: small.order().bundles[AMD64]})
    with pytest.raises(UsageError, match="name the platform"):
        build_image(small.order(base=one), fresh(tmp_path))


def test_a_base_without_a_library_is_told(small, sources, tmp_path):
    base = fake_base(tmp_path / "bare.tar")
    with pytest.raises(EdgequantError, match=r"the base lacks the library lib"):
        build_image(small.order(base=base, sources=sources), fresh(tmp_path))


def fresh(folder):
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    return folder / "out"


def test_a_wheel_that_is_not_in_the_lock_is_told(small, tmp_path):
    order = small.order()
    lock = replace(make_lock(order.sources.lock.parts[1:]), where="half a lock")
    with pytest.raises(EdgequantError, match="the lock has no wheels"):
        build_image(replace(order, sources=replace(order.sources, lock=lock)), fresh(tmp_path))


def test_an_altered_bundle_is_refused(small):
    folder = small.order().bundles[AMD64][0].bundle.folder
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(BundleError, match=r"notes\.txt"):
        read_shipped(folder)
    (folder / "notes.txt").unlink()
    model = folder / "model.onnx"
    model.write_bytes(b"\0" + model.read_bytes()[1:])
    with pytest.raises(BundleError, match="not what the manifest says"):
        read_shipped(folder)
    model.write_bytes(b"")
    with pytest.raises(BundleError, match="wrong size"):
        read_shipped(folder)


def test_each_bundle_goes_where_it_runs(small):
    amd, arm = (small.order().bundles[platform][0].bundle.folder for platform in BOTH)
    assert place([arm, amd], [], None).keys() == {AMD64, ARM64}
    assert place([arm], [], None).keys() == {ARM64}
    assert place([amd], [(ARM64, arm)], BOTH).keys() == {AMD64, ARM64}
    for given, words in (
        (([arm], [], [AMD64]), "runs on no platform"),
        (([arm], [], BOTH), "no bundle for linux/amd64"),
        (([], [(AMD64, arm)], None), "does not run on linux/amd64"),
        (([amd], [(ARM64, arm)], [AMD64]), "--bundle-for names a platform"),
        (([amd, amd], [], None), "same name and target"),
    ):
        with pytest.raises(UsageError, match=words):
            place(*given)
