"""Model sources: everything that turns what the user has into a ``Source``."""

from toolkit.sources.causal import is_causal
from toolkit.sources.demo import DEMO_NAME, demo_model
from toolkit.sources.opening import open_source
from toolkit.sources.options import SourceOptions
from toolkit.sources.source import Pooling, Source

__all__ = ["DEMO_NAME", "Pooling", "Source", "SourceOptions", "demo_model", "is_causal", "open_source"]
