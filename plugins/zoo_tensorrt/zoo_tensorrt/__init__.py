"""Operations on TensorRT; :mod:`zoo_tensorrt.specs` describes them without importing it, so that every worker may."""

__version__ = "0.1.0"
