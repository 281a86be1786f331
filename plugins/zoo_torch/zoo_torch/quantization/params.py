"""Parameters of ``torch.quantize_aware`` and ``torch.evaluate_integers``, without importing any framework."""

from typing import Literal, Self

from pydantic import Field, model_validator

from zoo_sdk.operations import OperationParams
from zoo_torch.quantization.scheme import MAX_LAYERS, LayerName, LayerOverride, QuantizationScheme
from zoo_torch.training.params import TrainingParams

Export = Literal["qdq_onnx", "packed", "torchscript"]


class QuantizeAwareParams(TrainingParams):
    """Parameters of ``torch.quantize_aware``: those of training, with defaults after Esser et al. 2020, section 2.3."""

    weight_bits: int = Field(8, ge=2, le=8, description="Bits of the weights.")
    activation_bits: int = Field(8, ge=2, le=8, description="Bits of what enters a convolution or a linear layer.")
    per_channel: bool = Field(
        default=True,
        description="One step of the weights for each output channel; false: one for the tensor, as in the paper.  "
        "Activations have one for the tensor.",
    )
    first_last_bits: int = Field(
        8, ge=2, le=8, description="Bits of the first and the last layer, whatever the others have."
    )
    overrides: dict[LayerName, LayerOverride] = Field(
        default_factory=dict,
        max_length=MAX_LAYERS,
        description="Other bits for layers, by module name: {layer1.0.conv1: {weight_bits: 8}}; float: the layer is "
        "not quantised.",
    )
    keep_scheme: bool = Field(
        default=False,
        description="Quantise each layer as the given model does, such as one of torch.mixed_precision, whatever the "
        "bits here say; `overrides` still win.",
    )
    calibration_batches: int = Field(
        32, ge=1, le=10_000, description="Batches of training pictures over which the first steps are averaged."
    )
    temperature: float = Field(1, gt=0, le=1000, description="Softmax temperature T, where there is a teacher.")
    kd_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Where there is a teacher: w in (1 - w) * CE(student, label) + w * T^2 * KL(teacher || student).  "
        "The paper weighs both alike, with T = 1.",
    )
    combine: Literal["mean_logits", "mean_probabilities"] = Field(
        "mean_logits",
        description="How several teachers become one: weighted mean of logits, or of softened probabilities.",
    )
    exports: tuple[Export, ...] | None = Field(
        None,
        max_length=3,
        description="Besides the checkpoint: qdq_onnx (8 bits only), packed (integers at their bits, with a graph that "
        "runs in numpy) and torchscript (the simulated network, for tools that read .jit).  Null: all that the network "
        "and its bits allow.",
    )
    parity_samples: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Test pictures on which each export must answer as the trained network does.",
    )
    learning_rate: float = Field(
        0.01, gt=0, le=100, description="Peak learning rate.  The paper: .01 for 2 to 4 bits, .001 for 8."
    )
    weight_decay: float = Field(
        1e-4,
        ge=0,
        le=10,
        description="Weight decay; biases, normalisations and steps are exempt.  The paper: 1e-4 for 4 and 8 bits, "
        ".5e-4 for 3, .25e-4 for 2.",
    )
    warmup_epochs: float = Field(0, ge=0, le=1000, description="Epochs of linear warm-up before the schedule.")
    mixed_precision: Literal["auto", "off", "bf16", "fp16"] = Field(
        "off",
        description="off: float32; others as in training.  Steps and rounding are computed in float32 in any case, but "
        "bf16 then cuts what is 8 bits wide.",
    )

    @model_validator(mode="after")
    def _exports_fit(self) -> Self:
        exports = self.exports or ()
        if len(exports) != len(set(exports)):
            raise ValueError(f"exports names one twice: {list(exports)}")
        low = min(self.weight_bits, self.activation_bits, self.first_last_bits)
        if "qdq_onnx" in exports and low < 8:
            raise ValueError(f"exports: qdq_onnx holds 8 bits, not {low}")
        return self

    @property
    def scheme(self) -> QuantizationScheme:
        """What these parameters say about layers."""
        return QuantizationScheme(
            weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
            per_channel=self.per_channel,
            first_last_bits=self.first_last_bits,
            overrides=self.overrides,
        )


class EvaluateIntegersParams(OperationParams):
    """Parameters of ``torch.evaluate_integers``."""

    split: str = Field("test", min_length=1, max_length=100, description="Split of the data set.")
    batch_size: int = Field(64, ge=1, le=4096, description="Samples that are computed together.")
    limit_samples: int | None = Field(
        None, ge=1, le=10**9, description="N samples evenly spread over the split; null: all."
    )
