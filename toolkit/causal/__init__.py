"""Causal language models: weights in blocks of 4 or 8 bits, judged by perplexity, bundled for onnxruntime-genai."""

from toolkit.causal.job import CausalJob, QuantizedCausal, needs_calibration, quantize_causal, write_causal

__all__ = ["CausalJob", "QuantizedCausal", "needs_calibration", "quantize_causal", "write_causal"]
