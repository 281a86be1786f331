"""Keras is imported after our package, which chooses its backend and its home."""

import zoo_keras

assert zoo_keras.__version__
