"""Quantised networks as packed integers and a graph, and a simulator of them in plain numpy.

What is integer: the weights and the inputs of every quantised convolution and linear layer, their products and the sums
of these.  What is floating point: one multiplication and addition for each channel after the sums (steps, bias and
batch normalisation in one), and what lies between the layers: activations, additions, pooling, and the division and
rounding that turn a layer's input into integers.  Networks that learn with rounding (LSQ) learn exactly this.

- :mod:`zoo_vision.integer.bits`        whole numbers packed to 2 to 8 bits each
- :mod:`zoo_vision.integer.graph`       the graph as JSON, with its shapes checked
- :mod:`zoo_vision.integer.files`       graph and packed weights as one file
- :mod:`zoo_vision.integer.arithmetic`  exact sums of products of integers
- :mod:`zoo_vision.integer.simulator`   runs it
"""
