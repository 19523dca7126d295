"""stories260k, a real causal model, from float weights to a gated bundle."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolkit.causal import CausalJob, needs_calibration, quantize_causal, write_causal
from toolkit.causal import golden as golden_module
from toolkit.causal.golden import golden_continuations
from toolkit.causal.subject import bundle_subject, compare_causal, source_subject
from toolkit.errors import DataError, EmptySetError, GateError, NumericsError, RecipeError, UsageError
from toolkit.gate import Rules, Trial
from toolkit.runtime import load, verify
from toolkit.runtime.bundle import open_bundle
from toolkit.samples import Samples, load_samples
from toolkit.sources import SourceOptions
from toolkit.sources.causal import open_causal
from toolkit.targets import load_recipe

STORIES = Path(__file__).parents[1] / "golden" / "stories260k"


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Fifty-two stories to judge on, sixteen to observe."""
    work = tmp_path_factory.mktemp("work")
    source = open_causal(str(STORIES), SourceOptions(), work)
    calibration, evaluation = (
        load_samples("tinystories", role, limit=limit) for role, limit in (("calibration", 16), ("evaluation", 52))
    )
    return CausalJob(source, load_recipe("x86-avx2"), calibration, evaluation, work, threads=2)


def made(job, tmp_path_factory, **changes):
    return quantize_causal(replace(job, work=tmp_path_factory.mktemp("made"), **changes))


@pytest.fixture(scope="module")
def int4(job, tmp_path_factory):
    return made(job, tmp_path_factory)


@pytest.fixture(scope="module")
def int8(job, tmp_path_factory):
    return made(job, tmp_path_factory, bits=8, calibration=None)


def metrics(quantized):
    return {verdict.metric: verdict.int8 for verdict in quantized.report.verdicts}


def test_eight_bits_are_within_one_percent_of_perplexity(int8):
    assert int8.report.passed
    assert abs(metrics(int8)["perplexity_ratio"] - 1) < 0.005
    assert metrics(int8)["next_token_agreement"] > 0.97
    assert {layer.blocks.bits for layer in int8.plan.layers} == {8}
    assert [table.layer for table in int8.plan.tables] == ["/lm_head/MatMul"]
    assert int8.facts.calibration is None


def test_four_bits_are_within_five_percent_of_perplexity(int4, job):
    assert int4.report.passed
    assert metrics(int4)["perplexity_ratio"] < 1.045
    assert metrics(int4)["size_ratio"] < 0.26
    eight = [layer.linear.name for layer in int4.plan.layers if layer.blocks.bits == 8]
    assert eight == [*(f"/model/layers.{number}/attn/qkv_proj/MatMul" for number in range(5)), "/lm_head/MatMul"]
    assert int4.facts.calibration == job.calibration


def test_gptq_beats_plain_rounding(int4, job, tmp_path_factory):
    plain = made(job, tmp_path_factory, calibration=None)
    assert metrics(plain)["perplexity_ratio"] - 1 > 1.3 * (metrics(int4)["perplexity_ratio"] - 1)


def test_a_bundle_is_whole_generates_and_is_the_same_again(int4, job, tmp_path_factory, tmp_path):
    out = write_causal(int4, tmp_path / "bundle")
    report = verify(out)
    assert report.ok, report
    manifest = open_bundle(out).manifest
    assert (manifest.task, manifest.model.dimension, manifest.tokenizer.max_length) == ("text-generation", 512, 512)
    assert (manifest.provenance["graph_from"], manifest.provenance["model_sha256"]) == (
        "onnxruntime-genai",
        job.source.digest,
    )
    assert "onnxruntime-genai" in manifest.provenance["versions"]
    text = load(out).generate("Once upon a time").text
    assert text.startswith(", there was a little girl named")
    decisions = json.loads((out / "quantization.json").read_text())
    assert {item["rounding"] for item in decisions["linear"] if item["precision"] == "int4"} == {"GPTQ"}
    again = write_causal(made(job, tmp_path_factory), tmp_path / "again")
    for path in out.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_a_bundle_is_judged_again_as_it_was(int4, job, tmp_path):
    bundle = open_bundle(write_causal(int4, tmp_path / "bundle"))
    subject = bundle_subject(bundle)
    assert subject.bits == 4
    trial = Trial(job.evaluation, job.recipe.gate.limits("text-generation", 4), Rules(), 2)
    report = compare_causal(source_subject(job.source), subject, trial)
    assert report.verdicts == int4.report.verdicts
    assert report.model == int4.report.model


def test_a_failed_gate_writes_nothing_unless_asked(int4, tmp_path):
    verdicts = [
        replace(verdict, outcome="fail", note="is above 1.01") if verdict.metric == "perplexity_ratio" else verdict
        for verdict in int4.report.verdicts
    ]
    failed = replace(int4, report=replace(int4.report, verdicts=tuple(verdicts)))
    with pytest.raises(GateError, match="perplexity_ratio") as caught:
        write_causal(failed, tmp_path / "bundle")
    assert "--bits 8" in str(caught.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(GateError, match=r"the rejected bundle is .*bundle\.rejected"):
        write_causal(failed, tmp_path / "bundle", keep_rejected=True)
    assert open_bundle(tmp_path / "bundle.rejected").manifest.gate["passed"] is False


def test_what_cannot_be_quantized(job, tmp_path_factory):
    with pytest.raises(DataError, match="overlap"):
        made(job, tmp_path_factory, calibration=job.evaluation)
    nothing = job.recipe.quantization.model_copy(update={"text_generation": None})
    with pytest.raises(RecipeError, match="says nothing of text generation"):
        made(job, tmp_path_factory, recipe=job.recipe.model_copy(update={"quantization": nothing}))
    with pytest.raises(EmptySetError, match="the calibration set is empty"):
        made(job, tmp_path_factory, calibration=Samples("none", "", "", "", ()))
    assert needs_calibration(job.recipe, None)
    assert not needs_calibration(job.recipe, 8)


def test_models_that_read_other_tokens_are_not_compared(job):
    subject = source_subject(job.source)
    tokenizer = json.loads(subject.tokenizer_json)
    tokenizer["normalizer"] = None
    other = replace(subject, tokenizer_json=json.dumps(tokenizer))
    trial = Trial(job.evaluation.taking([0, 1]), {}, Rules(), 1)
    with pytest.raises(UsageError, match="do not read the same tokens") as caught:
        compare_causal(subject, other, trial)
    assert "2 of 2 texts" in str(caught.value)


class Even:
    """A model that likes each of four tokens alike, or one of them by a hair; it knows the words that it is given."""

    context = 64

    def __init__(self, lead, words=()):
        self.lead, self.words = lead, words

    def encode(self, text):
        return [1 if not self.words or word in self.words else 0 for word in text.split()]

    def greedy_ids(self, _prompt, count):
        return [2] * count

    def logits(self, tokens):
        found = np.zeros((len(tokens), 4), np.float32)
        found[:, 2] = self.lead
        return found


def test_golden_tokens_lead_clearly_or_as_clearly_as_they_can(job):
    clear = golden_continuations(Even(1.0), job.source)
    assert clear.texts == golden_module.PROMPTS
    assert {len(ids) for ids in clear.outputs} == {golden_module.TOKENS}
    assert golden_continuations(Even(0.01), job.source).texts == golden_module.PROMPTS
    with pytest.raises(NumericsError, match="prefers no token"):
        golden_continuations(Even(0.0), job.source)


def test_golden_prompts_are_words_that_the_model_knows(job):
    """Padding is masked: of words that are unknown, and so become padding, nothing may follow."""
    assert golden_continuations(Even(1.0, ("big", "up")), job.source).texts == ("up", "big")
