"""Mixed precision: int8 given up where that takes the most noise off the output for its time, and budgets."""

from toolkit.fallback.bench import Bench, Model, make_bench
from toolkit.fallback.budget import AccuracyBudget, Budget, LatencyBudget, parse_budget
from toolkit.fallback.latency import within_latency
from toolkit.fallback.report import Fallback, sentences
from toolkit.fallback.rescue import Court, Tried, rescue, within_accuracy
from toolkit.fallback.rungs import BUDGET, FALLBACK

__all__ = [
    "BUDGET",
    "FALLBACK",
    "AccuracyBudget",
    "Bench",
    "Budget",
    "Court",
    "Fallback",
    "LatencyBudget",
    "Model",
    "Tried",
    "make_bench",
    "parse_budget",
    "rescue",
    "sentences",
    "within_accuracy",
    "within_latency",
]
