"""Parameters of training: typed, bounded and described, without importing any framework.

They come in groups, one class each; :class:`TrainingParams` is what every training method takes.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from zoo_sdk.operations import OperationParams
from zoo_sdk.rules import AtMost, Excludes, Requires, Rule
from zoo_torch.networks.names import ARCHITECTURE_DESCRIPTION, ArchitectureName, OptionValue

Augmentation = Literal["none", "flip", "flip_crop", "random_resized_crop"]
Policy = Literal["none", "randaugment", "trivial_augment", "autoaugment"]


class OptimisationParams(OperationParams):
    """How the weights change."""

    epochs: int = Field(4, ge=1, le=1000, description="Passes over the training split.")
    batch_size: int = Field(
        128,
        ge=1,
        le=65_536,
        description="Samples per step, over all devices; an incomplete last batch is left out.",
    )
    accumulation_steps: int = Field(
        1,
        ge=1,
        le=1024,
        description="Compute each step's gradient in so many parts of batch_size / N samples: less memory, same step.",
    )
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd (with Nesterov momentum) or adamw.")
    learning_rate: float = Field(0.1, gt=0, le=100, description="Peak learning rate, reached after the warm-up.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd, beta1 of adamw.")
    weight_decay: float = Field(5e-4, ge=0, le=10, description="Weight decay; biases and normalisations are exempt.")
    warmup_epochs: float = Field(0.25, ge=0, le=1000, description="Epochs of linear warm-up before the schedule.")
    schedule: Literal["cosine", "step", "constant"] = Field(
        "cosine",
        description="The learning rate after the warm-up: cosine to zero, multiplied by `gamma` at each of the "
        "`milestones`, or constant.",
    )
    milestones: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(
        (), max_length=100, description="Epochs, ascending, after which schedule=step lowers the learning rate."
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="Factor of the learning rate at each milestone.")
    gradient_clip: float | None = Field(None, gt=0, le=1e6, description="Largest gradient norm; null: not clipped.")
    label_smoothing: float = Field(0, ge=0, lt=1, description="Label smoothing of the cross-entropy.")
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Also keep an exponential moving average of the weights with this decay; it is what is tested and "
        "what results.  Early in the training the decay is lower, (1 + step) / (10 + step).  Null: no average.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        AtMost(field="warmup_epochs", limit="epochs"),
        Requires(field="schedule", values=("step",), needs=("milestones",)),
        Requires(field="milestones", needs=("schedule",), one_of=("step",)),
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch_size % self.accumulation_steps:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of accumulation_steps ({self.accumulation_steps})"
            )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must ascend, not {list(self.milestones)}")
        return self


class AugmentationParams(OperationParams):
    """What happens to the training pictures.  All of it follows from the seed and the epoch."""

    augmentation: Augmentation = Field(
        "none",
        description="flip: mirror every other image; flip_crop: also shift by up to an eighth of the size; "
        "random_resized_crop: mirror, and show a random part at the network's input size.",
    )
    random_crop_min_area: float = Field(
        0.08, gt=0, le=1, description="Smallest part of the picture that random_resized_crop shows, as a share."
    )
    augmentation_policy: Policy = Field(
        "none",
        description="Random changes of colour and geometry: randaugment (Cubuk et al. 2019), trivial_augment (wide, "
        "Müller and Hutter 2021) or autoaugment (the ImageNet policy, Cubuk et al. 2018).",
    )
    randaugment_operations: int = Field(2, ge=1, le=10, description="Changes to each picture by randaugment.")
    randaugment_magnitude: int = Field(9, ge=0, le=30, description="Strength of randaugment's changes.")
    mixup_alpha: float = Field(0, ge=0, le=100, description="Mix pairs of pictures, lambda ~ Beta(a, a); 0: not.")
    cutmix_alpha: float = Field(0, ge=0, le=100, description="Paste a box from another picture; 0: not.")
    mixing_probability: float = Field(1, gt=0, le=1, description="Share of the batches that are mixed.")

    augmentation_views: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Change each picture in N ways, the same for every seed, and show one in each epoch, in turn, so "
        "that teachers' answers can be kept; null: a new way in each epoch.",
    )

    @property
    def views(self) -> int | None:
        """How many versions of each picture the epochs show in turn; None: a new one each time."""
        if self.mixup_alpha or self.cutmix_alpha:
            return None
        changed = self.augmentation != "none" or self.augmentation_policy != "none"
        return self.augmentation_views if changed else 1

    RULES: ClassVar[tuple[Rule, ...]] = tuple(
        Excludes(field="augmentation_views", other=other, reason="mixtures are always new")
        for other in ("mixup_alpha", "cutmix_alpha")
    )


class ComputationParams(OperationParams):
    """How it is computed: should change the speed, and results in the last digits only."""

    mixed_precision: Literal["auto", "off", "bf16", "fp16"] = Field(
        "auto",
        description="auto: bfloat16 where the device computes in it natively (GPUs), else float32; bf16 and fp16 on "
        "any device, fp16 with a scaled loss.",
    )
    channels_last: bool = Field(default=True, description="Keep pictures in the memory layout convolutions like best.")
    compile: Literal["off", "on"] = Field(
        "off", description="on: torch.compile; pays in long trainings on GPUs.  On a CPU it needs a C++ compiler."
    )
    loader_workers: int | None = Field(
        None,
        ge=0,
        le=16,
        description="Processes that decode and augment, at most one for each processor; the result does not depend on "
        "it.  Null: 2 for folders of image files, 0 for arrays in memory.",
    )


class DataParams(OperationParams):
    """Which pictures, and how they become a network's inputs.

    A null leaves the choice to the weights that the training starts from, else to the pictures themselves.
    """

    train_split: str = Field("train", min_length=1, max_length=100, description="Split that is trained on.")
    test_split: str = Field("test", min_length=1, max_length=100, description="Split that the result is measured on.")
    evaluate_each_epoch: bool = Field(
        default=True, description="Measure test_top1 after each epoch, not only at the end."
    )
    limit_samples: int | None = Field(
        None, ge=1, le=10**9, description="Train on N samples only, drawn with the seed; null: on all."
    )
    limit_test_samples: int | None = Field(
        None, ge=1, le=10**9, description="Test on N samples evenly spread over the split; null: on all."
    )
    image_size: int | None = Field(
        None,
        ge=8,
        le=1024,
        description="Crop to this square, after resizing the shorter side to `resize`; null: the pictures' own size.",
    )
    resize: int | None = Field(
        None, ge=8, le=2048, description="Resize the shorter side to N pixels; null: to image_size, if that is given."
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = Field(
        None, description="How pictures are resized; null: bilinear."
    )
    input_scale: float | None = Field(
        None, gt=0, le=1, description="Factor of the pixels 0..255; 1: raw pixels.  Null: 1/255."
    )
    mean: tuple[Annotated[float, Field(ge=-255, le=255)], ...] | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="Subtracted after scaling, one for all channels or one each; null: the training split's mean.",
    )
    std: tuple[Annotated[float, Field(gt=0, le=255)], ...] | None = Field(
        None,
        min_length=1,
        max_length=3,
        description="Divisor after the mean, one for all channels or one each; null: the training split's.",
    )
    label_offset: Literal[0, 1] | None = Field(
        None, description="1: output 0 is a background class, so 1000 classes need 1001 outputs; null: 0."
    )

    RULES: ClassVar[tuple[Rule, ...]] = (AtMost(field="image_size", limit="resize"),)


class SelectionParams(OperationParams):
    """Which weights change, and by how much."""

    freeze: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        (),
        max_length=100,
        description="Names of modules that stay as they are (features.0 also means all below it); backbone: all but "
        "the classifier.  Their batch normalisations keep their statistics.",
    )
    layer_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Multiply the learning rate by this for each layer further from the output; null: the same rate "
        "everywhere.",
    )


class TrainingParams(SelectionParams, DataParams, ComputationParams, AugmentationParams, OptimisationParams):
    """What every training method takes."""


class StartParams(TrainingParams):
    """Those of methods that start from a fresh network, or from the weights of the input ``init``."""

    classifier: Literal["auto", "fresh", "shift"] = Field(
        "auto",
        description="The classifier of `init`.  auto: kept where the number of classes is the same, else made anew; "
        "fresh: always made anew; shift: kept without its background class (1001 to 1000 outputs), or with a new one.",
    )
    architecture: ArchitectureName | None = Field(
        None, description=ARCHITECTURE_DESCRIPTION + " Null: that of the input `init`, which only our own files name."
    )
    architecture_options: dict[Annotated[str, Field(max_length=40)], OptionValue] = Field(
        default_factory=dict,
        max_length=10,
        description="Options of a timm architecture: drop_rate, drop_path_rate, img_size, global_pool, output_stride.",
    )


class TrainParams(StartParams):
    """Parameters of ``torch.train``."""

    stage: Literal["training", "pretraining", "finetuning"] = Field(
        "training", description="What this training is to the model; it is recorded as the kind of its strategy's step."
    )
