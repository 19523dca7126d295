"""edgequant: float text models in, statically calibrated and accuracy-gated int8 bundles out."""

import os

# Read when the libraries load, here and on the device: no telemetry (on by default in onnxruntime's Linux wheels since
# 1.29: a database in the home folder, events over the network), no threads beside the session's own.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__version__ = "0.1.0"
