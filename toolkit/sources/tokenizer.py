"""The tokenizer of a model: read, stripped of truncation and padding, and checked against the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import BertNormalizer, Lowercase, Sequence
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing

from toolkit.errors import ModelError, TokenizerError, UsageError
from toolkit.sources.files import Fields, Files
from toolkit.sources.options import SourceOptions

# Position 0 of these families stands after the padding's (modeling_roberta.py,
# create_position_ids_from_input_ids).
_SHIFTED = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")
_NO_LIMIT = 1_000_000  # tokenizer_config.json says 1e30 where nobody set a limit


@dataclass(frozen=True)
class Tokenization:
    """How texts become ids."""

    json: str
    pad_id: int
    max_length: int


def read_tokenization(files: Files, config: Fields | None, options: SourceOptions, rows: int | None) -> Tokenization:
    """Read tokenizer.json and the lengths; ModelError where they do not fit ``rows`` embeddings."""
    if options.tokenizer is not None and not options.tokenizer.is_file():
        raise UsageError(
            "there is no such tokenizer", where=options.tokenizer, hint="give the path of a tokenizer.json"
        )
    path, tokenizer = _tokenizer(files, config, options)
    _require_fit(tokenizer, rows, path)
    pad_id = _pad_id(tokenizer, files, config, path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    sentence = files.fields("sentence_bert_config.json")
    if sentence and sentence.flag("do_lower_case", default=False):
        _lowercase(tokenizer)
    least = tokenizer.num_special_tokens_to_add(is_pair=False) + 1
    return Tokenization(tokenizer.to_str(), pad_id, _max_length(files, config, sentence, options, least))


def plain_tokenizer(path: Path, rows: int) -> Tokenizer:
    """Return a tokenizer.json without truncation and padding; TokenizerError where it does not fit the embeddings.

    Added tokens may lie beyond ``rows``: a text model is shipped with its sibling's tokenizer, which knows images.
    """
    tokenizer = _load(path)
    _require_fit(tokenizer, rows, path, added=False)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _require_fit(tokenizer: Tokenizer, rows: int | None, path: Path, *, added: bool = True) -> None:
    largest = max(tokenizer.get_vocab(with_added_tokens=added).values(), default=-1)
    if largest < 0 or (rows is not None and largest >= rows):
        got = f"token ids up to {largest}"
        hint = "take the tokenizer.json that was saved with this model"
        raise TokenizerError(
            "the tokenizer does not fit the model", where=path, got=got, expected=f"below {rows}", hint=hint
        )


def _tokenizer(files: Files, config: Fields | None, options: SourceOptions) -> tuple[Path, Tokenizer]:
    """Return the tokenizer and the file that it is from; RoBERTa's may be the two files of its first releases."""
    path = options.tokenizer or files.find("tokenizer.json")
    if path is not None:
        return path, _load(files.take(path, "tokenizer.json"))
    vocabulary, merges = files.find("vocab.json"), files.find("merges.txt")
    if vocabulary and merges and config and config.text("model_type", "") == "roberta":
        return vocabulary, byte_level_bpe(files.take(vocabulary), files.take(merges))
    where = ", ".join(str(root) for root in files.roots)
    hint = "AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER) writes one; or see --tokenizer"
    raise ModelError("there is no tokenizer.json", where=where, hint=hint)


def byte_level_bpe(vocabulary: Path, merges: Path) -> Tokenizer:
    """Return RoBERTa's tokenizer from vocab.json and merges.txt, as RobertaConverter of transformers makes it."""
    try:
        tokenizer = Tokenizer(BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # the library raises bare Exception for whatever it dislikes
        hint = "one of the two files is damaged; fetch the model again"
        raise ModelError(f"cannot read the tokenizer: {error}", where=f"{vocabulary}, {merges}", hint=hint) from error
    start, end = tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")
    if start is None or end is None:
        raise ModelError("the tokenizer lacks RoBERTa's <s> or </s>", where=vocabulary)
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.post_processor = RobertaProcessing(
        ("</s>", end), ("<s>", start), trim_offsets=True, add_prefix_space=False
    )
    special = [AddedToken(token, normalized=True) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer.add_special_tokens([*special, AddedToken("<mask>", lstrip=True, normalized=True)])
    return tokenizer


def _load(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for whatever it dislikes
        hint = "the file is damaged, or of a newer version of tokenizers than the one installed"
        raise ModelError(f"cannot read the tokenizer: {error}", where=path, hint=hint) from error


def _pad_id(tokenizer: Tokenizer, files: Files, config: Fields | None, path: Path) -> int:
    found = _padding_of(tokenizer, files)
    stated = config.values.get("pad_token_id") if config else None
    if found is None:
        hint = "name its pad_token in tokenizer_config.json"
        raise ModelError("the tokenizer has no padding token", where=path, hint=hint)
    if config and stated is not None and config.integer("pad_token_id") != found:
        hint = "take the tokenizer.json that was saved with this model"
        expected = f"{stated} ({config.path})"
        raise ModelError(
            "the tokenizer does not fit the model: padding token",
            where=path,
            got=found,
            expected=expected,
            hint=hint,
        )
    return found


def _padding_of(tokenizer: Tokenizer, files: Files) -> int | None:
    """Return the padding token's id by the first file that tells, or by the usual names."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        fields = files.fields(name)
        token = fields.values.get("pad_token") if fields else None
        if isinstance(token, Mapping):
            token = token.get("content")
        if isinstance(token, str) and tokenizer.token_to_id(token) is not None:
            return tokenizer.token_to_id(token)
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    ids = (tokenizer.token_to_id(token) for token in ("[PAD]", "<pad>"))
    return next((i for i in ids if i is not None), None)


def _lowercase(tokenizer: Tokenizer) -> None:
    """Lower the case before all else, as sentence-transformers does for do_lower_case."""
    now = tokenizer.normalizer
    if isinstance(now, BertNormalizer) and now.lowercase:
        return
    tokenizer.normalizer = Lowercase() if now is None else Sequence([Lowercase(), now])


def _max_length(
    files: Files, config: Fields | None, sentence: Fields | None, options: SourceOptions, least: int
) -> int:
    limit = _positions(config)
    stated = sentence.integer("max_seq_length", 0) if sentence else 0
    if not stated:
        settings = files.fields("tokenizer_config.json")
        most = settings.number("model_max_length", 0) if settings else 0
        stated = int(most) if most < _NO_LIMIT else 0
    usual = min((n for n in (stated, limit) if n), default=0)
    length = usual if options.max_length is None else options.max_length
    if not usual and options.max_length is None:
        hint = "say how many tokens the model can take (--max-length)"
        raise ModelError("nothing says how long a text may be", where=files.roots[0], hint=hint)
    if length < least or (limit and length > limit):
        raise UsageError(
            "impossible maximal length", got=length, expected=f"{least} to {limit or 'what the model takes'}"
        )
    return length


def _positions(config: Fields | None) -> int:
    """Return how many tokens the position embeddings reach, 0 where unknown."""
    if config is None or "max_position_embeddings" not in config.values:
        return 0
    shift = config.integer("pad_token_id", 1) + 1 if config.text("model_type", "") in _SHIFTED else 0
    return config.integer("max_position_embeddings", minimum=shift + 1) - shift
