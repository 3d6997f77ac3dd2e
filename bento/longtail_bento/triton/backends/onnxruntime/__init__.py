"""The stand-in for Triton's onnxruntime backend."""
