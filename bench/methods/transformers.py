"""The table of ViTKD: a small vision transformer alone, by its teacher's answers, by its tokens, and by both."""

from collections.abc import Callable, Mapping
from typing import Any

from bench.methods.making import Making
from bench.methods.tables import TEACHER_SEED, Arm, Claim, Effort, MethodTable

STUDENT, TEACHER = "zoo:vit_tiny", "zoo:vit_small"
EPOCHS = 4
ADAMW = {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.05, "warmup_epochs": 0.5}
"""The recipe of DeiT, which the paper follows, for a short training."""
ALONE = "ViT alone"
VITKD = {"method": "vitkd"}
BOTH = {"method": "vitkd", "logit_method": "nkd", "temperature": 1.0, "nkd_gamma": 1.0}
"""Yang et al. 2022 (arXiv 2209.02432): alpha 3e-5, beta 3e-6, lambda .5 (the operation's defaults); gamma 1 for ViT."""

COMPARES = """
Does a vision transformer learn from its teacher's tokens?

``torch.distill`` with ``vitkd`` (and with NKD as in the paper) against ``torch.train``: same student, first weights,
order of the pictures, epochs, AdamW; one larger transformer as teacher, trained with the same budget.
"""


def table(effort: Effort) -> MethodTable:
    """Alone, by answers, by tokens, by both."""
    training = {**effort.training(EPOCHS), **ADAMW}
    teacher = Making("torch.train", {"architecture": TEACHER, **training}, TEACHER_SEED)

    def alone(seed: int) -> Making:
        return Making("torch.train", {"architecture": STUDENT, **training}, seed)

    def taught(settings: Mapping[str, Any]) -> Callable[[int], Making]:
        params = {**training, **settings, "initialise": "scratch"}
        return lambda seed: Making("torch.distill", params, seed).with_inputs(student=alone(seed), teacher=teacher)

    arms = (
        Arm(ALONE, alone, few=True),
        Arm("KD, T = 4", taught({"temperature": 4.0, "kd_weight": 0.9}), ALONE),
        Arm("ViTKD", taught(VITKD), ALONE, few=True),
        Arm("ViTKD and NKD", taught(BOTH), ALONE),
    )
    claims = (Claim("ViTKD", ALONE), Claim("ViTKD and NKD", ALONE))
    return MethodTable("transformers", COMPARES, arms, claims, (teacher,))
