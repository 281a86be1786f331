"""Keras networks as data, checked layer by layer, and the Keras models built from them."""
