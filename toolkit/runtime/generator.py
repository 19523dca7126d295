"""Text generation: tokens by ``tokenizers``, the decode loop by onnxruntime-genai."""

from collections.abc import Generator as Tokens
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.runtime.arrays import FloatArray
from toolkit.runtime.errors import BundleError, ContextError, EngineError, TextError, UsageError
from toolkit.runtime.genai import ChatTemplate, DecodeLoop, GenaiModel
from toolkit.runtime.generation import Bounds, Completion, Generation
from toolkit.runtime.host import Host, as_host
from toolkit.runtime.manifest import GENAI_CONFIG, ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.sampling import Sampling
from toolkit.runtime.session import in_words, shortened
from toolkit.runtime.strict import parse
from toolkit.runtime.tokenization import read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GREEDY = Sampling()
_TEMPLATES = ("chat_template.jinja", "tokenizer_config.json")
_LEVELS = {"disabled": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}


@dataclass(frozen=True)
class Message:
    """One turn of a chat; ``role`` is system, user or assistant, or another that the model's template knows."""

    role: str
    content: str


class Generator:
    """A causal language model: texts that go on from a prompt, or answer in a chat.

    ``folder`` holds what onnxruntime-genai reads, ``tokenizer_json`` is the tokenizer's text. BundleError if they
    cannot be loaded, UsageError without the package onnxruntime-genai.
    """

    def __init__(
        self,
        folder: Path,
        tokenizer_json: str,
        model_info: ModelInfo,
        tokenizer_info: TokenizerInfo,
        session_info: SessionInfo,
        host: Host | int | None = None,
    ) -> None:
        self.context = tokenizer_info.max_length
        """Tokens of a prompt and what follows it, together."""
        self.folder = folder
        self._vocabulary = model_info.dimension
        self._tokenizer: Tokenizer = read_tokenizer(tokenizer_json, tokenizer_info)
        self._ends = _end_tokens(folder / GENAI_CONFIG)
        with in_words("onnxruntime-genai cannot load the model", folder):
            self._model = GenaiModel(folder, _session_options(session_info, as_host(host).thread_count()))

    def generate(self, prompt: str, sampling: Sampling = GREEDY) -> Completion:
        """Return what follows a prompt; TextError for one that the context has no room for."""
        return self.stream(prompt, sampling).complete()

    def stream(self, prompt: str, sampling: Sampling = GREEDY) -> Generation:
        """Return what follows a prompt, piece by piece."""
        return self.start(self.encode(prompt), sampling)

    def chat(self, messages: Sequence[Message], sampling: Sampling = GREEDY) -> Completion:
        """Return the answer to the last message; UsageError for a model without a chat template."""
        return self.stream_chat(messages, sampling).complete()

    def stream_chat(self, messages: Sequence[Message], sampling: Sampling = GREEDY) -> Generation:
        """Return the answer to the last message, piece by piece."""
        return self.start(self.encode_chat(messages), sampling)

    def encode(self, prompt: str) -> list[int]:
        """Return a prompt's tokens, with the special ones that the tokenizer puts before a text."""
        return self._encode(prompt, special=True)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of a chat as the model's template writes it, up to where the answer begins."""
        if not self.chats:
            hint = "give it a prompt to go on from, or take a model that was trained to chat"
            raise UsageError("the model has no chat template", where=self.folder, hint=hint)
        try:
            text = self._template.text([asdict(message) for message in messages])
        except EngineError as error:
            raise TextError("the model's chat template does not take these messages", got=shortened(error)) from None
        return self._encode(text, special=False)

    @cached_property
    def chats(self) -> bool:
        """Whether the model has a chat template."""
        jinja, config = (self.folder / name for name in _TEMPLATES)
        return jinja.is_file() or (config.is_file() and b'"chat_template"' in config.read_bytes())

    def start(self, prompt: Sequence[int], sampling: Sampling = GREEDY) -> Generation:
        """Return what follows the tokens of a prompt, piece by piece; nothing is computed yet."""
        room = self.context - len(prompt)
        wanted = sampling.max_tokens
        if not prompt:
            raise TextError("the prompt has no tokens", expected="a text")
        if room < (wanted or 1):
            got = f"{len(prompt)} tokens" + (f" and {wanted} to come" if wanted else "")
            raise ContextError(
                "the prompt is too long", got=got, expected=f"less than {self.context} in all, the context"
            )
        bounds = Bounds(wanted or room, self._ends, sampling.stop)
        tokens = self._tokens(prompt, bounds.tokens, sampling)
        return Generation(prompt, tokens, self._decode, bounds)

    def greedy_ids(self, prompt: str, count: int) -> list[int]:
        """Return the likeliest tokens after a prompt, at most ``count`` and none after the text's own end."""
        ids = self.encode(prompt)
        found: list[int] = []
        for token in islice(self._tokens(ids, count, GREEDY), count):
            found.append(token)
            if token in self._ends:
                break
        return found

    def logits(self, tokens: Sequence[int]) -> FloatArray:
        """Return what the model thinks of the token after each of ``tokens``: float32 ``[len(tokens), vocabulary]``."""
        with in_words("the model failed", self.folder), self._loop(tokens, 1, GREEDY) as loop:
            found: FloatArray = loop.logits()[0]
        return found

    @cached_property
    def _template(self) -> ChatTemplate:
        with in_words("onnxruntime-genai cannot read the chat template", self.folder):
            return self._model.chat_template()

    def _encode(self, text: str, *, special: bool) -> list[int]:
        try:
            return list(self._tokenizer.encode(text, add_special_tokens=special).ids)
        except (TypeError, UnicodeEncodeError) as error:
            raise TextError("the prompt is no text", got=error) from None

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _tokens(self, prompt: Sequence[int], count: int, sampling: Sampling) -> Tokens[int]:
        """Yield the next tokens, ``count`` of them; BundleError if the model fails."""
        with in_words("the model failed", self.folder), self._loop(prompt, count, sampling) as loop:
            for _ in range(count):
                yield loop.next_token()

    def _loop(self, prompt: Sequence[int], count: int, sampling: Sampling) -> AbstractContextManager[DecodeLoop]:
        """Return the decode loop after a prompt, with room for so many more tokens."""
        room = len(prompt) + count
        return self._model.loop(prompt, {"max_length": room, **sampling.options(self._vocabulary)})


def _session_options(session: SessionInfo, threads: int) -> dict[str, object]:
    """Return the manifest's settings in the words of ``genai_config.json``."""
    options: dict[str, object] = {
        "intra_op_num_threads": threads,
        "graph_optimization_level": f"ORT_{_LEVELS[session.graph_optimization]}",
        "enable_cpu_mem_arena": session.memory_arena,
        "session.intra_op.allow_spinning": str(int(session.allow_spinning)),
        "optimization.disable_specified_optimizers": ";".join(session.disabled_optimizers),
    }
    return {"model": {"decoder": {"session_options": {name: value for name, value in options.items() if value != ""}}}}


def _end_tokens(config: Path) -> frozenset[int]:
    """Return the tokens at which a text ends, as ``genai_config.json`` says; there may be none."""
    value = parse(config.read_bytes(), config)
    model = value.get("model") if isinstance(value, dict) else None
    found = model.get("eos_token_id") if isinstance(model, dict) else None
    every = found if isinstance(found, list) else [] if found is None else [found]
    if not isinstance(model, dict) or not all(type(one) is int for one in every):
        expected = "an object model with eos_token_id, a number or several"
        raise BundleError("the settings of onnxruntime-genai cannot be read", where=config, expected=expected)
    return frozenset(every)
