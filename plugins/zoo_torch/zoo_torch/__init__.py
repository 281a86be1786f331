"""PyTorch for Zoo: train, distil, evaluate and export image classifiers.

Importing this package, or ``params`` and ``specs`` of its rooms, imports no framework; the operations' own modules do.
"""

__version__ = "0.1.0"
