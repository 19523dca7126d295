"""Float models of ``tests.models``, run as the runtime runs a bundle."""

from pathlib import Path

import onnx_ir as ir

from toolkit.runtime.manifest import ModelInfo, SessionInfo, TokenizerInfo
from toolkit.runtime.model import TextModel
from toolkit.sources import open_source


def loaded(folder: Path) -> TextModel:
    source = open_source(str(folder))
    inputs = tuple(str(value.name) for value in source.model.graph.inputs)
    info = ModelInfo("model.onnx", inputs, source.output, int(source.model.graph.outputs[0].shape[-1]))
    tokenizer = TokenizerInfo("tokenizer.json", source.max_length, source.pad_id)
    data = ir.to_proto(source.model).SerializeToString()
    return TextModel(data, source.tokenizer_json, info, tokenizer, SessionInfo(), 1)
