"""An OpenVINO model behind the interface of the runtime's engines."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov

from toolkit.runtime.arrays import FloatArray, IntArray

_ALIKE = {"INFERENCE_PRECISION_HINT": "f32"}


class OpenVinoSession:
    """One request at a time on the CPU; ``float32`` between int8 layers, or what OpenVINO prefers on this CPU."""

    def __init__(self, model: Path, threads: int, *, float32: bool) -> None:
        hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        compiled = ov.Core().compile_model(model, "CPU", hints | (_ALIKE if float32 else {}))
        self._request = compiled.create_infer_request()
        self.inputs = tuple(port.any_name for port in compiled.inputs)
        self.outputs = tuple(port.any_name for port in compiled.outputs)

    def run(self, feed: Mapping[str, IntArray], output: str) -> FloatArray:
        """Return one output."""
        found = self._request.infer({name: feed[name] for name in self.inputs})
        return np.array(found[output], np.float32)
