"""From what ``apply`` writes to the chosen forms."""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from toolkit.apply import tidy
from toolkit.forms import Forms
from toolkit.tuning.rules.attention import to_multi_head_attention, to_onnx_attention
from toolkit.tuning.rules.gelu import to_bias_gelu, to_fast_gelu
from toolkit.tuning.rules.normalization import to_skip_normalization
from toolkit.tuning.rules.projection import to_separate_projections
from toolkit.tuning.rules.smoothing import fold_smoothing

# By computation, and by the form that is not the one that apply writes; in this order.
_REWRITES: Mapping[str, Mapping[str, Callable[[ir.Model], None]]] = {
    "projection": {"separate": to_separate_projections},
    "attention": {"multi-head": to_multi_head_attention, "onnx": to_onnx_attention},
    "normalization": {"fused": to_skip_normalization},
    "gelu": {"biased": to_bias_gelu, "tanh": to_fast_gelu},
}


def with_forms(model: ir.Model, forms: Forms) -> ir.Model:
    """Return a copy of an int8 graph in the chosen forms; smoothing that costs nothing is folded away in any case.

    Where a form's rule finds nothing the graph is left as it is.
    """
    copy = model.clone()
    fold_smoothing(copy)
    for axis, rewrites in _REWRITES.items():
        if (rewrite := rewrites.get(getattr(forms, axis))) is not None:
            rewrite(copy)
    tidy(copy)
    return copy
