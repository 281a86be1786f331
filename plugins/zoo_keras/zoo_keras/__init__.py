"""Operations on Keras; :mod:`zoo_keras.specs` describes them without importing it.

Keras chooses its backend when it is imported, reads ``keras.json`` of the user's home and writes one if there is none.
What a worker computes must not depend on that file, so Keras is given a home of ours, which it only reads.
"""

import os
from pathlib import Path

os.environ["KERAS_HOME"] = str(Path(__file__).with_name("home"))
os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_TORCH_DEVICE"] = "cpu"

__version__ = "0.1.0"
