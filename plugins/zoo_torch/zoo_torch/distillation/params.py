"""Parameters of distillation, without importing any framework."""

from typing import Literal

from pydantic import Field

from zoo_torch.training.params import TrainingParams


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
