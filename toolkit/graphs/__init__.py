"""ONNX models that are no text encoders: calibrated on arrays, quantized by ONNX Runtime's static quantizer, judged."""
