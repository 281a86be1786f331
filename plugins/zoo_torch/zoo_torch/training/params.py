"""Parameters of training: typed, bounded and described, without importing any framework."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from zoo_sdk.operations import OperationParams
from zoo_torch.networks.names import ARCHITECTURE_DESCRIPTION, ArchitectureName, OptionValue


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
