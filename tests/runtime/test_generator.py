import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from threading import Thread

import numpy as np
import pytest

from tests.runtime.lm import CONTEXT, PROMPT, REST, ROUND, TOLD, VOCABULARY, lm_parts, model_bytes, story, table
from toolkit.runtime import (
    BundleError,
    Completion,
    Message,
    Sampling,
    TextError,
    UsageError,
    genai,
    generator,
    load,
    verify,
)
from toolkit.runtime.__main__ import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return lm_parts().write(tmp_path_factory.mktemp("lm") / "bundle")


@pytest.fixture(scope="module")
def loaded(bundle):
    return load(bundle, 1)


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """Goes round and round without an end, and cannot chat."""
    return lm_parts(ROUND, chat=False).write(tmp_path_factory.mktemp("lm") / "endless")


def test_a_text_goes_on_to_its_own_end(loaded):
    assert loaded.generate(PROMPT) == Completion(REST, 3, len(TOLD) - 2, "stop")


def test_pieces_are_whole_characters_and_together_the_text(loaded):
    generation = loaded.stream(PROMPT)
    pieces = list(generation)
    assert pieces == [" a", " time", " the", " cat", "é", "☕", "!", " end"]
    assert (generation.prompt_tokens, generation.completion_tokens, generation.finish_reason) == (3, 12, "stop")


def test_max_tokens_and_the_context_end_a_text(loaded, endless):
    assert loaded.generate(PROMPT, Sampling(max_tokens=2)) == Completion(" a time", 3, 2, "length")
    round_and_round = load(endless).generate("a")
    assert (round_and_round.prompt_tokens + round_and_round.completion_tokens, round_and_round.finish_reason) == (
        CONTEXT,
        "length",
    )
    assert round_and_round.text.startswith(" cat a cat a cat")


@pytest.mark.parametrize(
    ("stop", "text", "tokens"),
    [
        (("e the",), " a tim", 3),
        ((" the caté☕", "t"), " a ", 2),
        (("nowhere",), REST, 12),
        (("☕",), " a time the caté", 9),
    ],
)
def test_stop_strings_end_a_text_before_them(loaded, stop, text, tokens):
    assert loaded.generate(PROMPT, Sampling(stop=stop)) == Completion(text, 3, tokens, "stop")


def test_a_seed_gives_the_same_text_again_and_others_give_others(loaded):
    texts = [loaded.generate("cat", Sampling(20, temperature=1.5, seed=seed)).text for seed in (1, 2, 3, 1, 2, 3)]
    assert texts[:3] == texts[3:]
    assert len(set(texts)) == 3
    assert len({loaded.generate("cat", Sampling(20, temperature=1.5)).text for _ in range(40)}) > 1


def test_top_k_and_top_p_leave_only_the_likeliest_in(loaded):
    greedy = loaded.generate("cat", Sampling(8))
    for narrow in (Sampling(8, 2.0, top_k=1), Sampling(8, 2.0, top_p=0.01), Sampling(8, 2.0, top_p=0.01, top_k=50)):
        assert loaded.generate("cat", narrow) == greedy


def test_texts_that_are_made_in_turns_are_those_that_are_made_alone(loaded):
    settings = [Sampling(20, temperature=1.5, seed=seed) for seed in (1, 2)]
    alone = [loaded.generate("cat", one).text for one in settings]
    first, second = (loaded.stream("cat", one) for one in settings)
    texts = ["", ""]
    while first.finish_reason is None or second.finish_reason is None:
        for place, one in enumerate((first, second)):
            if one.finish_reason is None:
                texts[place] += one.step()
    assert texts == alone


def test_other_threads_run_while_a_token_is_computed(tmp_path):
    generation = load(lm_parts(ROUND, work=2048).write(tmp_path / "slow"), 1).stream("a")
    computing = Thread(target=generation.step)
    computing.start()
    turns = 0
    while computing.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 20  # 1 where the library holds Python's lock


def test_the_text_is_the_same_without_numpy(loaded, bundle):
    code = (
        "import sys; sys.modules['numpy'] = None; from toolkit.runtime import load; loaded = load(sys.argv[1]); "
        "print(loaded.generate(sys.argv[2]).text, loaded.logits([1, 5]).tobytes().hex(), sep='\\n')"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(bundle), PROMPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [REST, loaded.logits([1, 5]).tobytes().hex()]


def test_a_chat_is_written_by_the_models_template(loaded):
    messages = [Message("system", "the"), Message("user", PROMPT)]
    assert loaded.encode_chat(messages) == [1, *(VOCABULARY[token] for token in story("the", "once", "upon"))]
    assert loaded.chat(messages).text == REST
    assert "".join(loaded.stream_chat(messages)) == REST


def test_a_model_without_a_chat_template_says_so(endless):
    with pytest.raises(UsageError, match=r"no chat template\n.*endless\n.*hint: give it a prompt"):
        load(endless).chat([Message("user", "a")])


def test_a_template_may_refuse_messages(tmp_path):
    parts = lm_parts()
    config = json.loads(parts.files["tokenizer_config.json"])
    config["chat_template"] = "{{ raise_exception('only one turn') }}"
    parts.files["tokenizer_config.json"] = json.dumps(config).encode()
    with pytest.raises(TextError, match=r"does not take these messages\n.*only one turn"):
        load(parts.write(tmp_path / "b")).chat([Message("user", "a")])


def test_what_the_context_has_no_room_for_is_refused(loaded):
    assert loaded.generate("cat" + " cat" * (CONTEXT - 3)).prompt_tokens == CONTEXT - 1
    with pytest.raises(TextError, match=r"prompt is too long\n.*48 tokens\n.*less than 48 in all"):
        loaded.generate("cat" + " cat" * (CONTEXT - 2))
    with pytest.raises(TextError, match=r"prompt is too long\n.*3 tokens and 46 to come"):
        loaded.generate(PROMPT, Sampling(max_tokens=CONTEXT - 2))
    with pytest.raises(TextError, match=r"no tokens\n.*a text"):
        loaded.start([])
    for wrong in (7, "\ud800"):
        with pytest.raises(TextError, match="the prompt is no text"):
            loaded.encode(wrong)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("max_tokens", 0, "at least 1"),
        ("temperature", 2.5, "from 0 to 2"),
        ("temperature", float("nan"), "from 0 to 2"),
        ("top_p", 0.0, "above 0, at most 1"),
        ("top_k", -1, "at least 0"),
        ("seed", -1, "from 0 to 2147483647"),
        ("stop", ("",), "none of them empty"),
        ("stop", ("a",) * 17, "at most 16 strings"),
    ],
)
def test_settings_that_cannot_be(name, value, expected):
    with pytest.raises(UsageError, match=rf"{name} is out of range\n.*\n.*{expected}"):
        Sampling(**{name: value})


def test_verify_compares_the_tokens(bundle, tmp_path):
    report = verify(bundle)
    assert report.ok
    assert report.checks[-1].detail == "1 texts, 12 tokens chosen greedily, all the same"
    parts = lm_parts()
    golden = parts.changes["golden"]
    parts.changes["golden"] = replace(golden, outputs=((*golden.outputs[0][:-1], 5.0),))
    last = verify(parts.write(tmp_path / "other")).checks[-1]
    assert (last.ok, last.detail) == (False, "1 texts, 12 tokens chosen greedily; other tokens: text 0")


def test_altered_files_are_found_before_anything_is_loaded(tmp_path):
    folder = lm_parts().write(tmp_path / "b")
    path = folder / "genai_config.json"
    path.write_bytes(path.read_bytes().replace(b"48", b"49"))
    report = verify(folder)
    assert {check.name for check in report.checks if not check.ok} == {"genai_config.json", "golden vectors"}
    assert report.checks[-1].detail == "not run: the files are not the bundle's"
    path.unlink()
    with pytest.raises(BundleError, match="a file of the bundle is missing"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("model.onnx", b"none", "onnxruntime-genai cannot load the model"),
        ("tokenizer.json", b"{}", "the tokenizer cannot be read"),
        ("tokenizer.json", b"\xff", "the tokenizer is not UTF-8"),
        ("genai_config.json", b"[]", "settings of onnxruntime-genai cannot be read"),
        ("genai_config.json", b'{"model": {"eos_token_id": "2"}}', r"expected: .*eos_token_id, a number or several"),
        ("genai_config.json", b'{"model": {}}', "cannot load the model"),
    ],
)
def test_files_that_cannot_be_loaded(tmp_path, name, data, message):
    parts = lm_parts()
    parts.files[name] = data
    with pytest.raises(BundleError, match=message):
        load(parts.write(tmp_path / "b"))


def test_a_chat_template_that_cannot_be_read(tmp_path):
    parts = lm_parts()
    parts.files["tokenizer_config.json"] = b'{"tokenizer_class": "none", "chat_template": "x"}'
    with pytest.raises(BundleError, match="onnxruntime-genai cannot read the chat template"):
        load(parts.write(tmp_path / "b")).chat([Message("user", "a")])


def test_a_model_that_fails_is_told(tmp_path):
    parts = lm_parts()
    parts.files["model.onnx"] = model_bytes(table()[:9])
    with pytest.raises(BundleError, match="the model failed"):
        load(parts.write(tmp_path / "b")).generate("a")


def test_the_package_is_an_extra(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime_genai", None)
    monkeypatch.setattr(genai, "_load", genai._load.__wrapped__)
    with pytest.raises(
        UsageError, match=r"needs the package onnxruntime-genai[\s\S]*hint: pip install 'edgequant\[llm\]'"
    ):
        load(bundle)


@pytest.mark.parametrize("end", [2, [2, 5], None])
def test_end_tokens_are_one_several_or_none(tmp_path, end):
    path = tmp_path / "genai_config.json"
    path.write_text(json.dumps({"model": {"eos_token_id": end}}))
    assert generator._end_tokens(path) == frozenset([2] if end == 2 else end or [])


def test_generate_streams_to_stdout(bundle, capsys):
    assert main(["generate", str(bundle), PROMPT]) == 0
    assert capsys.readouterr() == (f"{REST}\n", "")
    assert main(["generate", str(bundle), PROMPT, "--stop", "the", "--max-tokens", "9", "--json"]) == 0
    told = {"text": " a time ", "prompt_tokens": 3, "completion_tokens": 3, "finish_reason": "stop"}
    assert json.loads(capsys.readouterr().out) == told
    assert main(["generate", str(bundle), "upon", "--chat", "--system", "once", "--max-tokens", "1"]) == 0
    assert capsys.readouterr().out == " a\n"
    seeded = ["generate", str(bundle), "cat", "--temperature", "1.5", "--seed", "3", "--top-k", "40", "--top-p", "0.9"]
    texts = [(main([*seeded, "--max-tokens", "9"]), capsys.readouterr().out) for _ in range(2)]
    assert all(one == other for one, other in pairwise(texts))


def test_generate_reads_stdin(bundle, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{PROMPT}\n".encode())))
    assert main(["generate", str(bundle)]) == 0
    assert capsys.readouterr().out == f"{REST}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert main(["generate", str(bundle), "-"]) == 1
    assert "the prompt is not UTF-8\n  where: stdin" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["generate", str(bundle)]) == 2
    assert "standard input is closed" in capsys.readouterr().err


def test_generate_refuses_in_words(bundle, capsys):
    assert main(["generate", str(bundle), "a", "--system", "x"]) == 2
    assert "--system is of a chat" in capsys.readouterr().err
    assert main(["embed", str(bundle)]) == 2
    assert "hint: use the command generate" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["generate", str(bundle), "a", "--temperature", "hot"])
    assert "'hot' is not a number" in capsys.readouterr().err


def test_logits_are_those_after_each_token(loaded):
    ids = loaded.encode(PROMPT)
    found = loaded.logits(ids)
    assert found.shape == (len(ids), len(VOCABULARY))
    assert np.array_equal(found, table()[ids])
