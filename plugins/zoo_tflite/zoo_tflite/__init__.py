"""Operations on TensorFlow Lite; :mod:`zoo_tflite.specs` describes them without importing an interpreter."""

__version__ = "0.1.0"
