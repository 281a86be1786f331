"""Parameters of ``openvino.quantize``, without importing any framework."""

from typing import Literal

from pydantic import Field

from zoo_sdk.operations import OperationParams

MAX_POT_CHARACTERS = 65_536


class RangeBound(OperationParams):
    """How one end of a range is found."""

    statistic: Literal["min", "max", "abs_max", "quantile", "abs_quantile"] = Field(
        description="What is taken from each sample."
    )
    aggregator: Literal["mean", "max", "min", "median", "mean_no_outliers", "median_no_outliers"] | None = Field(
        None, description="How the samples are put together; by default as NNCF does it."
    )
    outlier_probability: float = Field(
        1e-4, ge=0, lt=0.5, description="Share of values beyond a quantile, or of samples that are outliers."
    )
    clipping: float | None = Field(None, ge=-1e9, le=1e9, description="The end is never beyond this value.")


class TensorScheme(OperationParams):
    """How weights, or activations, become integers; what is not said is left to the preset."""

    mode: Literal["symmetric", "asymmetric"] | None = Field(None, description="Whether the range is centred on zero.")
    per_channel: bool | None = Field(None, description="A scale for each channel, or one for the whole tensor.")
    lower: RangeBound | None = Field(None, description="The lower end of the range.")
    upper: RangeBound | None = Field(None, description="The upper end of the range.")


class AccuracyControl(OperationParams):
    """Put layers back into floating point until the metric on labelled pictures has lost little enough."""

    max_drop: float = Field(
        1.0, ge=0, le=100, description="How much the metric may lose: points (absolute) or % of its value (relative)."
    )
    drop_type: Literal["absolute", "relative"] = Field("absolute", description="What max_drop is measured in.")
    metric: Literal["top1", "top5"] = Field("top1", description="What is measured.")
    split: str | None = Field(
        None, max_length=100, description="Labelled split to measure on; by default the one of the parity check."
    )
    samples: int = Field(1000, ge=1, le=100_000, description="Samples to measure on, drawn with the job's seed.")
    ranking_samples: int = Field(
        300, ge=1, le=100_000, description="Samples that tell which layer costs most: those that suffered most."
    )
    max_iterations: int | None = Field(
        None, ge=1, le=100_000, description="Layers to put back at most; by default as many as it takes."
    )
    tune_hyperparameters: bool = Field(
        default=False,
        description="Search other ways of quantizing before layers are put back: takes many times longer.",
    )


class QuantizeParams(OperationParams):
    """Parameters of ``openvino.quantize``: NNCF's post-training quantization to INT8."""

    split: str = Field("train", min_length=1, max_length=100, description="Split that the calibration reads.")
    samples: int = Field(300, ge=1, le=100_000, description="Samples to calibrate with, drawn with the job's seed.")
    preset: Literal["performance", "mixed"] = Field(
        "performance", description="performance: symmetric activations; mixed: asymmetric where that is more exact."
    )
    fast_bias_correction: bool = Field(
        default=False, description="True: quicker, but small networks may lose most of a point of accuracy by it."
    )
    model_type: Literal["transformer"] | None = Field(None, description="Scheme for a family of architectures.")
    target_device: Literal["any", "cpu", "cpu_spr", "gpu", "npu"] = Field(
        "any", description="Device whose integer operations the scheme is made for."
    )
    overflow_fix: Literal["first_layer", "all", "off"] | None = Field(
        None,
        description="Seven bits for weights, where processors without INT8 dot products (VNNI) may overflow; "
        "by default as NNCF does it (the first layer).",
    )
    weights: TensorScheme | None = Field(None, description="Scheme of the weights; by default the preset's.")
    activations: TensorScheme | None = Field(None, description="Scheme of the activations; by default the preset's.")
    ignored_names: tuple[str, ...] = Field((), max_length=1000, description="Operations to leave in floating point.")
    ignored_types: tuple[str, ...] = Field(
        (), max_length=100, description="Operation types to leave in floating point."
    )
    accuracy_control: AccuracyControl | None = Field(
        None, description="Put layers back into floating point until accuracy is kept; by default none are."
    )
    pot_config: str | None = Field(
        None,
        max_length=MAX_POT_CHARACTERS,
        description="Text of a configuration file of OpenVINO's former Post-training Optimization Tool (JSON), "
        "translated into these parameters; those given beside it win.",
    )
    parity_split: str | None = Field(
        None,
        max_length=100,
        description="Split that the parity check reads; by default test, or split if there is none.",
    )
    parity_samples: int = Field(1000, ge=1, le=100_000, description="Samples that the parity check compares.")
    min_agreement: float = Field(95.0, ge=0, le=100, description="Smallest allowed agreement of the top class, in %.")
