"""Other quantizers, each a module with ``build(order)``: float ONNX and calibration inputs in, an int8 model out.

They run in a process of their own, by this Python or by one that has their packages: what they import of ``toolkit`` is
this folder and ``toolkit.runtime``, which need no more than numpy.
"""
