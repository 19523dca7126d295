"""Engines side by side: one model quantized by each of them, judged on the same texts and timed in the same run."""

from toolkit.compare.comparing import Request, compare
from toolkit.compare.report import Comparison, Row, Status

__all__ = ["Comparison", "Request", "Row", "Status", "compare"]
