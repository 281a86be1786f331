"""The layers and activations that are read, with the settings that matter for what a network computes.

Everything else of a configuration (initialisers, regularisers, constraints, optimisers, modules to import) never
reaches Keras.  A layer that is not here is refused by its name: Lambda and custom layers would run somebody's code.
"""

from collections.abc import Mapping

_CONVOLUTION = "kernel_size strides padding data_format dilation_rate activation use_bias"
_POOLING = "pool_size strides padding data_format"
_GLOBAL = "data_format keepdims"
_SETTINGS = {
    "InputLayer": "",
    "Conv2D": f"filters groups {_CONVOLUTION}",
    "DepthwiseConv2D": f"depth_multiplier {_CONVOLUTION}",
    "SeparableConv2D": f"filters depth_multiplier {_CONVOLUTION}",
    "Conv2DTranspose": f"filters output_padding {_CONVOLUTION}",
    "Dense": "units activation use_bias",
    "BatchNormalization": "axis epsilon center scale",
    "LayerNormalization": "axis epsilon center scale",
    "Normalization": "axis mean variance",
    "Rescaling": "scale offset",
    "Activation": "activation",
    "ReLU": "max_value negative_slope threshold",
    "LeakyReLU": "negative_slope",
    "PReLU": "shared_axes",
    "ELU": "alpha",
    "Softmax": "axis",
    "Add": "",
    "Subtract": "",
    "Multiply": "",
    "Average": "",
    "Maximum": "",
    "Minimum": "",
    "Concatenate": "axis",
    "MaxPooling2D": _POOLING,
    "AveragePooling2D": _POOLING,
    "GlobalMaxPooling2D": _GLOBAL,
    "GlobalAveragePooling2D": _GLOBAL,
    "Flatten": "data_format",
    "Reshape": "target_shape",
    "Permute": "dims",
    "ZeroPadding2D": "padding data_format",
    "Cropping2D": "cropping data_format",
    "UpSampling2D": "size interpolation data_format",
    "Dropout": "rate",
    "SpatialDropout2D": "rate data_format",
    "AlphaDropout": "rate",
    "GaussianDropout": "rate",
    "GaussianNoise": "stddev",
    "ActivityRegularization": "",
}
LAYERS: Mapping[str, frozenset[str]] = {name: frozenset(keys.split()) for name, keys in _SETTINGS.items()}
"""The settings of each class that are kept, as Keras 3 names them."""

IDENTITIES = frozenset(
    {"Dropout", "SpatialDropout2D", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"}
)
"""Layers that do something in training only."""

MODELS: Mapping[str, str] = {"Model": "Functional", "Functional": "Functional", "Sequential": "Sequential"}
"""The classes of models, under their names of all eras."""

FORMER_CLASSES: Mapping[str, str] = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution2DTranspose": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
}
FORMER_SETTINGS: Mapping[tuple[str, str], str] = {("LeakyReLU", "alpha"): "negative_slope"}
"""Settings that were called otherwise before Keras 3, by class."""

ACTIVATIONS = frozenset(
    {
        "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "hard_silu", "sigmoid", "hard_sigmoid",
        "legacy_hard_sigmoid", "tanh", "softmax", "softplus", "softsign", "exponential",
    }
)  # fmt: skip
FORMER_ACTIVATIONS: Mapping[str, str] = {
    "swish": "silu",
    "hard_swish": "hard_silu",
    "ReLU": "relu",
    "relu_6": "relu6",
    "Softmax": "softmax",
}
