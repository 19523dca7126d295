"""onnxruntime-genai's builder as a program: ``python -m toolkit.sources.genai_main ARGUMENT…``.

transformers 5 keeps Gemma 3's two rotary bases, of its full and of its sliding layers, in one nested setting; builder
0.17 looks for them where transformers 4 had them.
"""

import runpy
from typing import Any

import transformers


def main() -> None:
    """Run the builder on this program's arguments."""
    transformers.AutoConfig.from_pretrained = staticmethod(_Flat(transformers.AutoConfig.from_pretrained))
    runpy.run_module("onnxruntime_genai.models.builder", run_name="__main__", alter_sys=True)


class _Flat:
    """Reads a configuration, its nested rotary settings laid out flat."""

    def __init__(self, read: Any) -> None:  # noqa: ANN401 - transformers' own
        self._read = read

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - transformers' own
        config = self._read(*arguments, **named)
        nested = getattr(config, "rope_parameters", None) or {}
        if {"full_attention", "sliding_attention"} <= nested.keys():
            config.rope_local_base_freq = nested["sliding_attention"]["rope_theta"]
            config.rope_parameters = dict(nested["full_attention"])
        return config


if __name__ == "__main__":
    main()
