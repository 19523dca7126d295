"""Causal language models: how well the next token of a text is foretold, and how often both models say the same one.

The outputs are [texts, tokens, 3]: the log probability of the token that really follows, the token that the model
finds likeliest, and 1 where there is a token at all; shorter texts are filled up with zeros.
"""

from functools import partial
from typing import Any

import numpy as np

from toolkit import statistics
from toolkit.gate.task import Estimator, Judged, Measured, Outputs, Told
from toolkit.metrics import Float, Ints
from toolkit.runtime.tokenization import Text
from toolkit.samples import Samples
from toolkit.statistics import Doubles, Statistic

_ROWS = 64  # whose probabilities are held in float64 at one time: a vocabulary may have 250,000 words


def texts(samples: Samples) -> list[Text]:
    """Return the texts."""
    return list(samples.texts)


def places(samples: Samples) -> Ints:
    """Return each row's own place."""
    return np.arange(len(samples.texts), dtype=np.int64)[:, None]


def outcomes(logits: Float, tokens: Ints) -> Float:
    """Return a text's rows of the outputs [tokens - 1, 3] from the logits [tokens, vocabulary] at its tokens.

    Where a logit is not finite, neither is the log probability.
    """
    found = [
        _outcomes(logits[at : at + _ROWS], tokens[at + 1 : at + 1 + _ROWS]) for at in range(0, len(tokens) - 1, _ROWS)
    ]
    return np.concatenate(found)


def _outcomes(logits: Float, following: Ints) -> Float:
    scores = logits[: len(following)].astype(np.float64)
    likeliest, finite = scores.argmax(1), np.isfinite(scores).all(1)
    with np.errstate(invalid="ignore"):
        scores -= scores.max(1, keepdims=True)
        probabilities = scores[np.arange(len(scores)), following] - np.log(np.exp(scores).sum(1))
    probabilities[~finite] = np.nan
    return np.stack([probabilities, likeliest, np.ones(len(scores))], axis=1).astype(np.float32)


def measure(model: Judged, samples: Samples, outputs: Outputs) -> list[Measured]:  # noqa: ARG001 - a TaskGate's
    """Return the perplexity of both, their ratio, and the share of tokens for which both find the same likeliest.

    Texts are what is drawn for the intervals: the tokens of one depend on each other.
    """
    fp32, int8 = (_losses(y) for y in outputs)
    tokens, same = _tokens(outputs), _same(outputs)
    apart = statistics.ratio(int8 - fp32, tokens)
    of_fp32, of_int8 = (_exp(statistics.ratio(losses, tokens)) for losses in (fp32, int8))
    agreement = statistics.ratio(same, tokens)

    def draw(statistic: Statistic) -> Estimator:
        return partial(statistics.bootstrap, statistic, len(tokens))

    return [
        Measured(
            "perplexity", _now(of_fp32, tokens), _now(of_int8, tokens),
            value=draw(of_int8), change=draw(statistics.difference(of_int8, of_fp32)), unit="texts",
        ),
        Measured("perplexity_ratio", None, _now(_exp(apart), tokens), value=draw(_exp(apart)), unit="texts"),
        Measured("next_token_agreement", None, _now(agreement, tokens), value=draw(agreement), unit="texts"),
    ]  # fmt: skip


def told(model: Judged, samples: Samples, outputs: Outputs) -> Told:  # noqa: ARG001 - a TaskGate's
    """Compare each text's perplexity; the distance is that of the log probabilities of its tokens."""
    fp32, int8 = (_losses(y) for y in outputs)
    tokens = np.maximum(_tokens(outputs), 1)

    def words(row: int) -> tuple[str, str]:
        before, after = (f"perplexity {np.exp(losses[row] / tokens[row]):.2f}" for losses in (fp32, int8))
        return before, after

    return Told(np.abs(int8 - fp32) / tokens, np.zeros(len(tokens), bool), words)


def alike(outputs: Outputs) -> None:
    """Return None: a text's numbers are no vector."""


def _losses(output: Float) -> Doubles:
    return np.asarray(-(output[..., 0].astype(np.float64) * output[..., 2]).sum(1), np.float64)


def _tokens(outputs: Outputs) -> Doubles:
    return np.asarray(outputs[0][..., 2].astype(np.float64).sum(1), np.float64)


def _same(outputs: Outputs) -> Doubles:
    fp32, int8 = outputs
    return np.asarray(((fp32[..., 1] == int8[..., 1]) * fp32[..., 2]).astype(np.float64).sum(1), np.float64)


def _exp(exponent: Statistic) -> Statistic:
    return lambda weights: np.exp(exponent(weights))


def _now(statistic: Statistic, rows: np.ndarray[Any, Any]) -> float:
    return float(statistic(np.ones((1, len(rows))))[0])
