"""The parameters of the operations: typed, bounded and described, without importing any framework."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from zoo_sdk.operations import OperationParams

ArchitectureName = Annotated[
    str, Field(pattern=r"^(zoo|timm):[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,60})?$", max_length=170)
]
"""``zoo:NAME`` for one of our small networks, ``timm:NAME`` for any architecture of timm (``timm:resnet18``)."""

OptionValue = bool | int | float | Annotated[str, Field(max_length=40)]

ARCHITECTURE_DESCRIPTION = (
    "The network: zoo:conv_tiny, zoo:conv_small, zoo:conv_medium, zoo:resnet_small or zoo:resnet_medium for small "
    "images, or timm:NAME for any architecture of timm, such as timm:resnet18."
)


class TrainingParams(OperationParams):
    """What training and distillation share."""

    epochs: int = Field(4, ge=1, le=1000, description="Passes over the training split.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Samples per step; an incomplete last batch is left out.")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd (with Nesterov momentum) or adamw.")
    learning_rate: float = Field(0.1, gt=0, le=100, description="Peak learning rate, reached after the warm-up.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd, beta1 of adamw.")
    weight_decay: float = Field(5e-4, ge=0, le=10, description="Weight decay; biases and normalisations are exempt.")
    warmup_epochs: float = Field(0.25, ge=0, le=1000, description="Epochs of linear warm-up before the cosine to zero.")
    gradient_clip: float | None = Field(None, gt=0, le=1e6, description="Largest gradient norm; null: not clipped.")
    label_smoothing: float = Field(0, ge=0, lt=1, description="Label smoothing of the cross-entropy.")
    augmentation: Literal["none", "flip", "flip_crop"] = Field(
        "none", description="flip: mirror every other image; flip_crop: also shift by up to an eighth of the size."
    )
    mixed_precision: Literal["auto", "off"] = Field(
        "auto", description="auto: bfloat16 where the device computes in it natively (GPUs), else float32."
    )
    train_split: str = Field("train", min_length=1, max_length=100, description="Split that is trained on.")
    test_split: str = Field("test", min_length=1, max_length=100, description="Split that the result is measured on.")
    evaluate_each_epoch: bool = Field(
        default=True, description="Measure test_top1 after each epoch, not only at the end."
    )
    image_size: int | None = Field(
        None,
        ge=8,
        le=1024,
        description="Resize the shorter side and crop to this square; null: the pictures' own size.",
    )
    limit_samples: int | None = Field(
        None, ge=1, le=10**9, description="Train on N samples only, drawn with the seed; null: on all."
    )
    limit_test_samples: int | None = Field(
        None, ge=1, le=10**9, description="Test on N samples evenly spread over the split; null: on all."
    )

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Self:
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must not exceed epochs ({self.epochs})")
        return self


class TrainParams(TrainingParams):
    """Parameters of ``torch.train``."""

    architecture: ArchitectureName | None = Field(
        None, description=ARCHITECTURE_DESCRIPTION + " Null: that of the input `init`."
    )
    architecture_options: dict[Annotated[str, Field(max_length=40)], OptionValue] = Field(
        default_factory=dict,
        max_length=10,
        description="Options of a timm architecture: drop_rate, drop_path_rate, img_size, global_pool, output_stride.",
    )


class DistillParams(TrainingParams):
    """Parameters of ``torch.distill``."""

    temperature: float = Field(4, gt=0, le=1000, description="Softmax temperature T.")
    kd_weight: float = Field(
        0.9, ge=0, le=1, description="w in (1 - w) * CE(student, label) + w * T^2 * KL(teacher || student)."
    )
    combine: Literal["mean_logits", "mean_probabilities"] = Field(
        "mean_logits",
        description="How several teachers become one: weighted mean of logits, or of softened probabilities.",
    )
    initialise: Literal["scratch", "from_student"] = Field(
        "scratch",
        description="scratch: the student gives its architecture only, so that the result compares fairly with a "
        "student that was trained alone; from_student: its weights are the starting point.",
    )


class EvaluateParams(OperationParams):
    """Parameters of ``torch.evaluate``."""

    split: str = Field("test", min_length=1, max_length=100, description="Split of the data set.")
    batch_size: int = Field(256, ge=1, le=65_536, description="Samples per forward pass.")
    limit_samples: int | None = Field(
        None, ge=1, le=10**9, description="N samples evenly spread over the split; null: all."
    )
    architecture: ArchitectureName | None = Field(
        None, description="Only for weights in a pickle, which do not name their own. " + ARCHITECTURE_DESCRIPTION
    )


class BenchmarkParams(OperationParams):
    """Parameters of ``torch.benchmark``."""

    batch: int = Field(1, ge=1, le=4096, description="Samples in a batch.")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads; null: all that the worker gives.")
    seconds: float = Field(5.0, gt=0, le=600, description="Time to measure for.")
    warmup: int = Field(10, ge=0, le=10_000, description="Runs before the clock starts.")
    architecture: ArchitectureName | None = Field(
        None, description="Only for weights in a pickle, which do not name their own. " + ARCHITECTURE_DESCRIPTION
    )


class ExportOnnxParams(OperationParams):
    """Parameters of ``torch.export_onnx``."""

    opset: int = Field(20, ge=18, le=23, description="ONNX operator set.")
    parity_samples: int = Field(
        64,
        ge=2,
        le=10_000,
        description="Inputs on which the ONNX file must agree with its source: images of `data`, else noise.",
    )
    parity_tolerance: float = Field(
        1e-3, gt=0, le=1, description="Largest difference of a logit that is accepted, relative to the largest logit."
    )
    split: str = Field("test", min_length=1, max_length=100, description="Split of `data` for the parity check.")
    architecture: ArchitectureName | None = Field(
        None, description="Only for weights in a pickle, which do not name their own. " + ARCHITECTURE_DESCRIPTION
    )
