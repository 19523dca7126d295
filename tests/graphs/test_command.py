"""The whole command on graphs that are no text encoders: what is written, and that it runs where it is shipped."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.graphs import nets
from toolkit.cli import main
from toolkit.image.bundles import place, runtime_kind
from toolkit.image.prune import STDLIB
from toolkit.isa.pair_bound import pair_bound
from toolkit.runtime import load, verify
from toolkit.runtime.errors import UsageError
from toolkit.runtime.server.bundles import find_bundles


def quantize(model, calibration, out, *more, target="x86-avx2"):
    arguments = ["quantize", str(model), "-t", target, "--calibration", str(calibration), "-o", str(out)]
    return main([*arguments, "--no-speed", "--threads", "1", "--decision", "point", *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    paths = nets.saved(folder, nets.classifier(), image=nets.images(40))
    assert quantize(*paths, folder / "bundle") == 0
    return folder


def feed(seed):
    return {"image": nets.images(1, seed=seed)}


def test_a_bundle_runs_and_verifies(made):
    model = load(made / "bundle")
    (name,) = (tensor.name for tensor in model.info.outputs)
    assert name == "probabilities"
    found = model.run(feed(7))[name]
    assert found.shape == (1, 5)
    assert abs(found.sum() - 1) < 1e-3
    report = verify(made / "bundle")
    assert [check.name for check in report.checks if not check.ok] in ([], ["cpu"])
    assert any("feeds, worst SQNR inf" in check.detail for check in report.checks)


def test_all_convolutions_are_int8_and_no_pair_saturates(made):
    found = pair_bound(made / "bundle" / "model.onnx")
    assert (found.products, found.refuted) == (4, ())
    decisions = json.loads((made / "bundle" / "quantization.json").read_text())
    assert [layer["precision"] for layer in decisions["linear"]] == ["int8"] * 4 + ["float"]
    assert "stays float" in decisions["linear"][-1]["why"][-1]


def test_two_builds_are_equal(made, capsys):
    assert quantize(made / "net.onnx", made / "inputs.npz", made / "again", "--json") == 0
    for path in (made / "bundle").iterdir():
        assert path.read_bytes() == (made / "again" / path.name).read_bytes()
    printed = capsys.readouterr()
    metrics = {verdict["metric"]: verdict for verdict in json.loads(printed.out)["gate"]["verdicts"]}
    assert metrics["label_flips"]["outcome"] == "pass"  # it ends in a softmax
    assert metrics["sqnr_db"]["int8"] > 20
    assert "every other calibration sample is held back" in printed.err


def test_run_writes_what_the_model_gives(made, capsys):
    inputs, out = made / "one.npz", made / "outputs.npz"
    np.savez(inputs, **feed(3))
    assert main(["run", str(made / "bundle"), str(inputs), "-o", str(out)]) == 0
    expected = load(made / "bundle").run(feed(3))
    with np.load(out) as found:
        assert np.array_equal(found["probabilities"], expected["probabilities"])
    assert main(["run", str(made / "bundle")]) == 0
    assert capsys.readouterr().out == "input   image float32 [?, 3, 12, 12]\noutput  probabilities float32 [?, 5]\n"


def test_an_npy_is_the_one_input(made):
    np.save(made / "one.npy", feed(3)["image"])
    assert main(["run", str(made / "bundle"), str(made / "one.npy"), "-o", str(made / "from-npy.npz")]) == 0


def test_what_reads_any_bundle_reads_this_one(made, capsys):
    for command in (["inspect"], ["report"], ["sbom"], ["verify"]):
        assert main([*command, str(made / "bundle")]) in (0, 1), command
    assert "unexpected" not in capsys.readouterr().err
    archive = made / "packed"
    assert quantize(made / "net.onnx", made / "inputs.npz", archive, "--archive", "gz") == 0
    assert main(["unpack", f"{archive}.tar.gz", "-o", str(made / "unpacked")]) == 0
    assert verify(made / "unpacked").checks == verify(archive).checks


@pytest.mark.parametrize("command", ["embed", "classify", "serve", "parity", "gate"])
def test_what_reads_texts_refuses_it_in_words(made, command, capsys):
    assert main([command, str(made / "bundle")]) == 2
    said = capsys.readouterr().err
    assert "takes arrays, not texts" in said or "use the command run" in said


def test_an_image_holds_it_with_numpy_and_what_reads_arrays(made):
    shipped = [one for there in place([made / "bundle"], (), None).values() for one in there]
    bundles = [one.bundle for one in shipped]
    assert runtime_kind(bundles, slim=False) == "standard"
    with pytest.raises(UsageError, match="a bundle whose model takes arrays needs numpy"):
        runtime_kind(bundles, slim=True)
    assert "zipfile.py" not in STDLIB  # numpy reads .npz by it


def test_a_server_passes_over_it(made):
    with pytest.raises(UsageError, match="takes arrays, not texts"):
        find_bundles([made / "bundle"])
    with pytest.raises(UsageError, match="takes arrays, not texts"):
        find_bundles([made])


def test_the_reports_name_all(made, tmp_path):
    page = tmp_path / "report.html"
    assert quantize(made / "net.onnx", made / "inputs.npz", made / "with-page", "--html", str(page)) == 0
    assert "cosine_min" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("feed", [{}, {"image": np.zeros((1, 3, 12, 12))}, {"image": np.zeros((1, 3, 12), "f4")},
                                  {"image": [1]}, {"other": np.zeros(1, "f4")}])  # fmt: skip
def test_the_runtime_is_strict_about_its_inputs(made, feed):
    with pytest.raises(UsageError, match="input"):
        load(made / "bundle").run(feed)


def test_labels_give_accuracy(made, tmp_path, capsys):
    held = nets.images(40, seed=5)
    labels = np.array([load(made / "bundle").run({"image": one[None]})["probabilities"].argmax() for one in held])
    np.savez(tmp_path / "eval.npz", image=held, labels=labels)
    arguments = (made / "net.onnx", made / "inputs.npz", tmp_path / "b", "--eval", str(tmp_path / "eval.npz"), "--json")
    assert quantize(*arguments) == 0
    verdicts = json.loads(capsys.readouterr().out)["gate"]["verdicts"]
    assert next(one["int8"] for one in verdicts if one["metric"] == "accuracy") == 1.0


@pytest.mark.parametrize("target", ["x86-vnni", "arm64-neon", "arm64-dotprod", "arm64-i8mm"])
def test_every_target_has_a_form(made, target):
    assert quantize(made / "net.onnx", made / "inputs.npz", made / target, target=target) == 0


def test_an_old_opset_a_new_ir_and_initializers_that_are_inputs(tmp_path):
    model = nets.classifier(opset=11)
    model.ir_version = 14
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    paths = nets.saved(tmp_path, model, image=nets.images(24))
    assert quantize(*paths, tmp_path / "bundle") == 0
    assert [tensor.name for tensor in load(tmp_path / "bundle").info.inputs] == ["image"]


def test_weights_in_files_of_their_own(tmp_path):
    onnx.save(nets.classifier(), tmp_path / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    np.save(tmp_path / "images.npy", nets.images(24))
    assert quantize(tmp_path / "net.onnx", tmp_path / "images.npy", tmp_path / "bundle") == 0
    (tmp_path / "w.bin").unlink()
    assert quantize(tmp_path / "net.onnx", tmp_path / "images.npy", tmp_path / "bundle", "--force") == 1


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_stay_float(tmp_path, kind):
    random = np.random.default_rng(0)
    audio = random.normal(size=(24, 1, 4, 20)).astype(np.float32)
    state = random.normal(0, 0.3, (24, 1, 1, 8)).astype(np.float32)
    paths = nets.saved(tmp_path, nets.recurrent(kind), audio=audio, state=state)
    assert quantize(*paths, tmp_path / "bundle") == 0
    layers = json.loads((tmp_path / "bundle" / "quantization.json").read_text())["linear"]
    assert [layer["precision"] for layer in layers] == ["int8", "int8", "float"]
    longer = {"audio": random.normal(size=(1, 4, 33)).astype(np.float32), "state": state[0]}
    assert load(tmp_path / "bundle").run(longer)["sequence"].shape == (33, 1, 1, 8)


def test_a_graph_inside_a_node_reads_what_it_did(tmp_path):
    """The quantizer takes a Relu away; here an If reads its output too."""
    flags = np.arange(24) % 2 == 0
    paths = nets.saved(tmp_path, nets.branching(), image=nets.images(24), flag=flags)
    assert quantize(*paths, tmp_path / "bundle") == 0


def test_a_detector_is_judged_by_what_its_boxes_are_chosen_from(tmp_path, capsys):
    paths = nets.saved(tmp_path, nets.detector(), image=nets.images(24))
    assert quantize(*paths, tmp_path / "bundle", "--json") == 0
    metrics = {one["metric"] for one in json.loads(capsys.readouterr().out)["gate"]["verdicts"]}
    assert len({metric.partition(" of ")[2] for metric in metrics if metric.startswith("sqnr_db")}) == 2
    assert not any("kept" in metric for metric in metrics)
    model = load(tmp_path / "bundle")
    assert [tensor.name for tensor in model.info.outputs] == ["kept"]
    assert model.run(feed(1))["kept"].shape[1] == 3


def test_a_choice_inside_a_network_is_no_end(tmp_path, capsys):
    net = nets.Net()
    x = net.conv("image", 3, 64)
    best = net.add("TopK", x, net.constant(np.array([8], np.int64)), outputs=2)[0]
    net.conv(best, 64, 64)
    net.nodes[-1].output[0] = "y"
    model = net.model({"image": (nets.FLOAT, [1, 3, 12, 12])}, {"y": (nets.FLOAT, [1, 64, 12, 8])})
    assert quantize(*nets.saved(tmp_path, model, image=nets.images(24)), tmp_path / "bundle", "--json") in (0, 3)
    metrics = [one["metric"] for one in json.loads(capsys.readouterr().out)["gate"]["verdicts"]]
    assert "sqnr_db" in metrics  # of the one output


def test_a_decoder_with_a_mask_of_minus_infinity(tmp_path, capsys):
    random = np.random.default_rng(0)
    for row in range(20):
        (tmp_path / "feeds").mkdir(exist_ok=True)
        source, target = int(random.integers(2, 9)), int(random.integers(1, 6))
        feed = {
            "ids": random.integers(0, 50, (1, target)),
            "states": random.normal(size=(1, source, 160)).astype(np.float32),
            "mask": np.arange(source)[None] < max(1, source - 2),
        }
        np.savez(tmp_path / "feeds" / f"{row:02}.npz", **feed)
    path, _ = nets.saved(tmp_path, nets.decoder())
    assert quantize(path, tmp_path / "feeds", tmp_path / "bundle") == 0, capsys.readouterr().err
    layers = json.loads((tmp_path / "bundle" / "quantization.json").read_text())["linear"]
    assert [layer["precision"] for layer in layers] == ["int8"] * 4


def test_an_encoder_of_a_pair_is_fed_arrays(tmp_path, capsys):
    """Its inputs are a text encoder's; arrays to calibrate with say that it shall be taken as a graph."""
    net = nets.Net()
    x = net.add("Gather", net.weight(50, 160), "input_ids")
    net.add("MatMul", net.add("MatMul", x, net.weight(160, 160)), net.weight(160, 160))
    net.nodes[-1].output[0] = "states"
    inputs = {"input_ids": (nets.INT64, ["n", "t"]), "attention_mask": (nets.INT64, ["n", "t"])}
    model = net.model(inputs, {"states": (nets.FLOAT, ["n", "t", 160])})
    ids = np.random.default_rng(0).integers(0, 50, (24, 7))
    paths = nets.saved(tmp_path, model, input_ids=ids, attention_mask=np.ones_like(ids))
    assert quantize(*paths, tmp_path / "bundle") == 0, capsys.readouterr().err


def test_an_output_that_is_always_the_same_passes(tmp_path):
    net = nets.Net()
    x = net.conv(net.conv("image", 3, 64), 64, 32)
    net.nodes[-1].output[0] = "y"
    net.add("Mul", x, net.constant(np.float32(0)))
    net.nodes[-1].output[0] = "zero"
    net.nodes[-1].input[0] = "y"
    shape = (nets.FLOAT, [1, 32, 12, 12])
    model = net.model({"image": (nets.FLOAT, [1, 3, 12, 12])}, {"y": shape, "zero": shape})
    assert quantize(*nets.saved(tmp_path, model, image=nets.images(24)), tmp_path / "bundle") == 0


def test_a_folder_of_feeds(made, tmp_path):
    for row, image in enumerate(nets.images(12)):
        (tmp_path / "feeds").mkdir(exist_ok=True)
        np.savez(tmp_path / "feeds" / f"{row}.npz", image=image[None])
    assert quantize(made / "net.onnx", tmp_path / "feeds", tmp_path / "bundle") == 0


def test_layers_that_lose_too_much_stay_float(tmp_path, capsys):
    """One channel of the first layer is 3000 times the others, and the next layer undoes it."""
    model = nets.classifier()
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    for node, axis, factor in ((convs[2], 0, 3000.0), (convs[3], 1, 1 / 3000)):
        for name in node.input[1:3] if axis == 0 else node.input[1:2]:
            value = numpy_helper.to_array(constants[name]).copy()
            value.swapaxes(0, axis)[:2] *= factor
            constants[name].CopyFrom(numpy_helper.from_array(value, name))
    paths = nets.saved(tmp_path, model, image=nets.images(40))
    assert quantize(*paths, tmp_path / "bundle") in (0, 3)
    code = quantize(*paths, tmp_path / "kept", "--keep-rejected")
    folder = tmp_path / ("kept" if code == 0 else "kept.rejected")
    layers = json.loads((folder / "quantization.json").read_text())["linear"]
    given_up = [layer for layer in layers if "Alone in int8" in layer["why"][-1]]
    assert given_up
    assert all(layer["precision"] == "float" for layer in given_up)
    assert "unexpected" not in capsys.readouterr().err
