import json

import pytest

from tests import jobs
from toolkit.cli import cost as command
from toolkit.cli import main
from toolkit.isa.cost import Count
from toolkit.isa.place import Place


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = jobs.tiny_job(tmp_path_factory.mktemp("job"))
    assert made.quantize() == 0
    return made


@pytest.fixture
def asked(monkeypatch):
    """What was to be counted: model files by name, with shapes; each has as many instructions as its file bytes."""
    seen = []

    def cost(cpu, models, _emulator):
        seen.append((cpu.name, models))
        counts = [
            Count(
                cpu.name, name, *shape, 4_000_000 if name == "fp32" else 1_000_000, {"udot": 500_000, "other": 1}, 0.0
            )
            for name, each in models.items()
            for shape in each.shapes
        ]
        return Place(cpu.name, "emulated", (), {}, f"qemu-aarch64 7.2 -cpu {cpu.name}"), tuple(counts)

    monkeypatch.setattr(command, "cost", cost)
    return seen


def test_fp32_and_int8_are_counted_at_each_length(folder, asked, capsys):
    words = ["cost", str(folder.out), str(folder.model), "--isa", "cortex-a76,cortex-a72", "--tokens", "4"]
    assert main(words) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("cortex-a76"))
    assert row.split() == ["cortex-a76", "4", "4.0", "1.0", "4.00", "udot", "0.5"]
    assert "They are not time" in out
    assert " ms" not in out
    assert [(name, list(models)) for name, models in asked] == [
        ("cortex-a76", ["fp32", "int8"]),
        ("cortex-a72", ["fp32", "int8"]),
    ]


@pytest.mark.usefixtures("asked")
def test_without_the_float_model_int8_alone_is_counted(folder, capsys):
    assert main(["cost", str(folder.out), "--isa", "cortex-a76", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {each["model"] for each in report["counts"]} == {"int8"}
    assert report["qemu"] == "qemu-aarch64 7.2"
    assert main(["cost", str(folder.out), "--isa", "cortex-a76"]) == 0
    assert "fp32 was not counted: name the float model" in capsys.readouterr().out


def test_another_float_model_is_refused(folder, asked, capsys, tmp_path):
    other = jobs.tiny_job(tmp_path, head=2)
    assert main(["cost", str(folder.out), str(other.model), "--isa", "cortex-a76"]) == 2
    assert "this is not the float model that the bundle was made of" in capsys.readouterr().err
    assert asked == []


@pytest.mark.usefixtures("asked")
def test_an_unknown_cpu_is_told(folder, capsys):
    assert main(["cost", str(folder.out), "--isa", "cortex-a77"]) == 2
    assert "unknown CPU model 'cortex-a77'" in capsys.readouterr().err
