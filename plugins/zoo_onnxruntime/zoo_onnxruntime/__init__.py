"""Operations on ONNX Runtime; :mod:`zoo_onnxruntime.specs` describes them without importing it."""

__version__ = "0.1.0"
