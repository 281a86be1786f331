"""Parameters of distillation, without importing any framework."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from zoo_sdk.rules import Excludes, Requires, Rule
from zoo_torch.training.params import TrainingParams

MethodName = Literal["kd", "dkd", "nkd", "feature", "attention", "vitkd"]
LogitMethod = Literal["none", "kd", "dkd", "nkd"]
LayerName = Annotated[str, Field(min_length=1, max_length=200)]
HIDDEN_METHODS = frozenset({"feature", "attention", "vitkd"})
"""They compare hidden layers, and can be joined by one that compares answers."""

BELONGS_TO: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "kd_weight": frozenset({"kd"}),
        "temperature": frozenset({"kd", "dkd", "nkd"}),
        "combine": frozenset({"kd", "dkd", "nkd"}),
        "dkd_alpha": frozenset({"dkd"}),
        "dkd_beta": frozenset({"dkd"}),
        "dkd_warmup_epochs": frozenset({"dkd"}),
        "nkd_gamma": frozenset({"nkd"}),
        "logit_method": HIDDEN_METHODS,
        "layers": frozenset({"feature", "attention"}),
        "feature_weight": frozenset({"feature"}),
        "attention_weight": frozenset({"attention"}),
        "vitkd_alpha": frozenset({"vitkd"}),
        "vitkd_beta": frozenset({"vitkd"}),
        "vitkd_mask": frozenset({"vitkd"}),
    }
)
"""Which methods a parameter is for; a method that joins as ``logit_method`` counts."""


class AnswerParams(TrainingParams):
    """Methods that compare answers."""

    method: MethodName = Field(
        "kd",
        description="kd (Hinton 2015), dkd (decoupled, Zhao 2022) and nkd (normalised, Yang 2023) compare answers; "
        "feature (FitNets, Romero 2015), attention (transfer, Zagoruyko 2017) and vitkd (Yang 2022, for vision "
        "transformers) compare hidden layers.  dkd and nkd tell a target class from the others: the label, of a mixed "
        "sample the one with the greater share.",
    )
    temperature: float = Field(4, gt=0, le=1000, description="Softmax temperature T of kd, dkd and nkd.")
    combine: Literal["mean_logits", "mean_probabilities"] = Field(
        "mean_logits",
        description="How several teachers become one: weighted mean of logits, or of softened probabilities.  Hidden "
        "layers are compared with each teacher's; the weighted mean of these losses counts.",
    )
    kd_weight: float = Field(
        0.9, ge=0, le=1, description="kd: w in (1 - w) * CE(student, label) + w * T^2 * KL(teacher || student)."
    )
    label_weight: float = Field(
        1, ge=0, le=1000, description="Weight of CE(student, label), to which the method's losses are added."
    )
    dkd_alpha: float = Field(1, ge=0, le=1000, description="dkd: weight of the target class' part.")
    dkd_beta: float = Field(
        8,
        ge=0,
        le=1000,
        description="dkd: weight of the other classes' part.  The paper takes 8, 6 or 2 for CIFAR-100, .5 or 2 for "
        "ImageNet (with T = 1); larger where the teacher is surer.",
    )
    dkd_warmup_epochs: float = Field(
        1, ge=0, le=1000, description="dkd: epochs over which its weight rises from 0 to 1 (CIFAR-100: 20)."
    )
    nkd_gamma: float = Field(
        1.5, ge=0, le=1000, description="nkd: weight of the other classes' part.  The paper takes T = 1; ViT: gamma 1."
    )


class HiddenLayerParams(AnswerParams):
    """Methods that compare hidden layers."""

    logit_method: LogitMethod = Field(
        "none", description="feature, attention, vitkd: also compare answers, so (the vitkd paper adds nkd)."
    )
    layers: dict[LayerName, LayerName] = Field(
        {},
        max_length=16,
        description="feature, attention: which layer of the student learns from which layer of each teacher, by module "
        "names: {layer3: layer3}.",
    )
    feature_weight: float = Field(
        1,
        ge=0,
        le=1e6,
        description="feature: weight of the mean squared difference, summed over the layers.  A 1x1 convolution (maps) "
        "or a linear layer (tokens, vectors) on the student's side is trained with it.",
    )
    attention_weight: float = Field(
        1000,
        ge=0,
        le=1e9,
        description="attention: beta in beta / 2 * the mean squared difference of attention maps, summed over the "
        "layers.",
    )
    vitkd_alpha: float = Field(3e-5, ge=0, le=1000, description="vitkd: weight of mimicking the first two blocks.")
    vitkd_beta: float = Field(3e-6, ge=0, le=1000, description="vitkd: weight of generating the last tokens.")
    vitkd_mask: float = Field(0.5, gt=0, le=1, description="vitkd: share of the tokens that are hidden, lambda.")


class DistillParams(HiddenLayerParams):
    """Parameters of ``torch.distill``."""

    initialise: Literal["scratch", "from_student"] = Field(
        "scratch",
        description="scratch: the student gives its architecture only, so that the result compares fairly with a "
        "student that was trained alone; from_student: its weights are the starting point (of a second stage, too).",
    )
    keep_answers: Literal["auto", "never"] = Field(
        "auto",
        description="auto: where the epochs show the same pictures (no augmentation, or augmentation_views), each "
        "teacher answers once and its answers are kept for later jobs; never: asked at each step, as methods that "
        "compare hidden layers always do.",
    )

    @property
    def compares_answers(self) -> LogitMethod:
        """How answers are compared, if they are."""
        return self.logit_method if self.method in HIDDEN_METHODS else self.method  # type: ignore[return-value]

    RULES: ClassVar[tuple[Rule, ...]] = (
        *(
            Requires(
                field=name,
                needs=("method",) if methods <= HIDDEN_METHODS else ("method", "logit_method"),
                one_of=tuple(sorted(methods)),
            )
            for name, methods in BELONGS_TO.items()
        ),
        Requires(
            field="method",
            values=("feature", "attention"),
            needs=("layers",),
            reason="such as {'layer3': 'layer3'}",
        ),
        Excludes(
            field="method",
            values=tuple(sorted(HIDDEN_METHODS)),
            other="compile",
            other_values=("on",),
            reason="compiled layers cannot be looked into",
        ),
    )
