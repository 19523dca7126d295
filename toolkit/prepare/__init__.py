"""A whole stack: every model of one file gated and bundled for every target, and one image of it all."""

from toolkit.prepare.outcome import ImageOutcome, Outcome, Report
from toolkit.prepare.running import Options, prepare
from toolkit.prepare.stack import Stack, read_stack

__all__ = ["ImageOutcome", "Options", "Outcome", "Report", "Stack", "prepare", "read_stack"]
