import shutil

import pytest

from tests import jobs
from tests.isa.emulator import EMULATOR, emulated_or_skip
from toolkit.errors import EdgequantError, UsageError
from toolkit.isa import cost as cost_module
from toolkit.isa.cost import build_plugin, cost
from toolkit.isa.counted import Counted
from toolkit.isa.cpu_models import cpu_model
from toolkit.runtime.bundle import open_bundle

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="the plugin is compiled: apt install gcc libc6-dev")


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = jobs.tiny_job(tmp_path_factory.mktemp("job"))
    assert folder.quantize() == 0
    bundle = open_bundle(folder.out)
    manifest = bundle.manifest
    path = str((bundle.folder / manifest.model.file).resolve())
    return Counted(path, manifest.model, manifest.session, ((1, 4), (1, 8)))


@needs_gcc
@pytest.mark.parametrize(("name", "kind"), [("cortex-a76", "udot"), ("Haswell", "vpmaddubsw")])
def test_int8_arithmetic_is_counted_and_grows_with_the_text(counted, name, kind):
    emulated_or_skip(name, plugins=True)
    place, (short, long) = cost(cpu_model(name), {"int8": counted}, EMULATOR)
    assert place.isa == name
    assert (short.tokens, long.tokens) == (4, 8)
    assert 0 < short.kinds[kind] < long.kinds[kind]
    assert kind in short.int8
    assert "load, store" not in short.int8
    assert sum(short.kinds.values()) == short.instructions < long.instructions
    assert short.spread <= cost_module.SAME


@needs_gcc
def test_the_plugin_is_compiled_once(tmp_path, monkeypatch):
    built = build_plugin(tmp_path)
    when = built.stat().st_mtime_ns
    assert build_plugin(tmp_path) == built
    assert built.stat().st_mtime_ns == when
    monkeypatch.setattr(cost_module.shutil, "which", lambda _: None)
    assert build_plugin(tmp_path) == built
    with pytest.raises(UsageError, match=r"(?s)needs a compiler.*apt install gcc"):
        build_plugin(tmp_path / "other")


@needs_gcc
def test_a_compiler_that_fails_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    source = tmp_path / "count.c"
    source.write_text("int main(void) { return }\n")
    monkeypatch.setattr(cost_module, "SOURCE", source)
    with pytest.raises(EdgequantError, match=r"(?s)gcc cannot compile the counting plugin.*error"):
        build_plugin(tmp_path / "cache")
    assert list((tmp_path / "cache/plugins").iterdir()) == []


@pytest.mark.parametrize("other", [{"udot": 11, "other": 89}, {"udot": 10, "other": 95}])
def test_runs_that_differ_are_no_figure(other):
    runs = ({"udot": 10, "other": 90}, other)
    with pytest.raises(EdgequantError, match=r"(?s)two runs executed different numbers.*int8 on cortex-a76 at 1x4"):
        cost_module._count(cpu_model("cortex-a76"), "int8", (1, 4), runs)
