"""Real QEMU on the real root filesystem of an image, with the tiny bundle."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.isa.emulator import EMULATOR, emulated_or_skip
from tests.runtime.lm import PROMPT, REST, lm_parts
from tests.runtime.tiny import TEXTS, Parts, text_model
from toolkit.isa.cpu_models import cpu_model
from toolkit.isa.emulated import emulated
from toolkit.isa.place import bundle_outputs, run
from toolkit.isa.roots import root_path
from toolkit.isa.trace import shown_kinds, traced
from toolkit.runtime.bundle import open_bundle

FEATURES = """
import ctypes, json, os, pathlib, platform
from toolkit.runtime import cpu
print(json.dumps([platform.machine(), sorted(cpu.features()), sorted(cpu._hwcap_flags()), dict(os.environ)]))
"""


@pytest.mark.parametrize("name", ["cortex-a72", "cortex-a76", "max-i8mm"])
def test_cpuinfo_and_the_auxiliary_vector_tell_of_the_same_cpu(name):
    machine, cpuinfo, vector, _ = json.loads(run(emulated_or_skip(name), ("-c", FEATURES)).stdout)
    assert machine == "aarch64"
    told = {"asimd", "asimddp", "i8mm"}
    assert set(vector) & told == set(cpuinfo) & told


def test_haswell_has_avx2_and_no_more():
    machine, cpuinfo, _, env = json.loads(run(emulated_or_skip("Haswell"), ("-c", FEATURES)).stdout)
    assert machine == "x86_64"
    assert "avx2" in cpuinfo
    assert "avx512f" not in cpuinfo
    assert env["PYTHONHASHSEED"] == "0"
    assert "USER" not in env


def test_the_runtime_answers_on_a_cortex_a72(tmp_path):
    bundle = open_bundle(Parts().write(tmp_path / "bundle"))
    with traced(emulated_or_skip("cortex-a72")) as (place, log):
        got = bundle_outputs(place, bundle, TEXTS)
        shown = shown_kinds(log, cpu_model("cortex-a72"))
    assert np.allclose(got, text_model().raw(TEXTS), atol=1e-6)
    assert "load, store" in shown
    assert not shown & {"udot", "sdot", "ummla"}


def test_text_is_generated_on_a_cortex_a76(tmp_path):
    emulated_or_skip("cortex-a76")
    place = emulated(cpu_model("cortex-a76"), replace(EMULATOR, kind="generation"))
    bundle = lm_parts().write(tmp_path / "lm")
    done = run(place, ("-P", "-m", "toolkit.runtime", "generate", str(bundle), PROMPT, "--threads", "1"))
    assert done.stdout.decode() == f"{REST}\n"


def test_the_root_is_kept_for_the_next_run():
    emulated_or_skip("cortex-a72")
    assert root_path("arm64", EMULATOR.cache).is_dir()
