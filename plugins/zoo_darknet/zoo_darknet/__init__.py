"""Reads Darknet networks; :mod:`zoo_darknet.specs` describes what can be done with them without importing NumPy."""

__version__ = "0.1.0"
