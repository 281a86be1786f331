"""ViTKD: a vision transformer mimics the first blocks of its teacher and generates the last."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from zoo_sdk.errors import InvalidInput

SHALLOW_BLOCKS = (0, 1)


@dataclass(frozen=True)
class TransformerLayout:
    """Where a vision transformer's tokens are.

    ``layers``: the two shallow blocks and the final normalisation.  ``prefix``: tokens that are no part of the picture
    (class, distillation, registers).
    """

    layers: tuple[str, str, str]
    prefix: int

    @classmethod
    def of(cls, network: nn.Module, reference: str) -> "TransformerLayout":
        """Find them in a network of timm's VisionTransformer family; raises :class:`InvalidInput` for any other."""
        blocks, norm = getattr(network, "blocks", None), getattr(network, "norm", None)
        prefix = getattr(network, "num_prefix_tokens", None)
        if not isinstance(blocks, nn.Sequential) or not isinstance(norm, nn.Module) or not isinstance(prefix, int):
            raise InvalidInput(
                f"{reference} is no vision transformer with blocks, a final norm and tokens, which vitkd compares.",
                hint="Use vitkd between ViT or DeiT models; method=feature compares layers of any two networks.",
                facts={"field": "method"},
            )
        if len(blocks) <= max(SHALLOW_BLOCKS):
            raise InvalidInput(f"{reference} has {len(blocks)} blocks; vitkd needs two.", facts={"field": "method"})
        shallow = [f"blocks.{number}" for number in SHALLOW_BLOCKS]
        return cls((shallow[0], shallow[1], "norm"), prefix)

    def tokens(self, found: Mapping[str, Tensor]) -> list[Tensor]:
        """The picture's tokens of each layer, (batch, N, D), from recorded outputs."""
        return [found[name][:, self.prefix :] for name in self.layers]


def grid_side(student_tokens: int, teacher_tokens: int) -> int:
    """The side of the square that the tokens form.

    Raises:
        InvalidInput: the numbers differ, or are no square.

    """
    if student_tokens != teacher_tokens:
        raise InvalidInput(
            f"The student cuts a picture into {student_tokens} tokens, the teacher into {teacher_tokens}.",
            hint="vitkd compares token by token: use models with the same input size divided by the patch size.",
            facts={"field": "method", "student_tokens": student_tokens, "teacher_tokens": teacher_tokens},
        )
    side = math.isqrt(student_tokens)
    if side * side != student_tokens:
        raise InvalidInput(
            f"The {student_tokens} tokens of a picture are no square grid, which vitkd's generation needs.",
            hint="Use a square input size that the patch size divides.",
            facts={"field": "method", "tokens": student_tokens},
        )
    return side


class ViTKD(nn.Module):
    """The trained part of the loss: alignments, the mask token and the generator; only needed during training.

    Yang, Li, Zeng, Li, Yuan, Li: ViTKD: Practical Guidelines for ViT Feature Knowledge Distillation, 2022
    (arXiv 2209.02432), section 3.
    """

    def __init__(self, student_width: int, teacher_width: int, side: int) -> None:
        super().__init__()
        same = student_width == teacher_width
        self.shallow = nn.ModuleList(
            nn.Identity() if same else nn.Linear(student_width, teacher_width) for _ in SHALLOW_BLOCKS
        )
        self.deep = nn.Identity() if same else nn.Linear(student_width, teacher_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, teacher_width))
        self.generation = nn.Sequential(
            nn.Conv2d(teacher_width, teacher_width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(teacher_width, teacher_width, 3, padding=1),
        )
        self.side = side

    def generate(self, tokens: Tensor, masked: Tensor) -> Tensor:
        """The teacher's last tokens, from the student's of which some are hidden.

        Args:
            tokens: the student's last ones, (batch, N, D of the student).
            masked: bool (batch, N), what is replaced by the mask token.

        """
        aligned = self.deep(tokens)
        seen = torch.where(masked[:, :, None], self.mask_token.to(aligned.dtype), aligned)
        grid = seen.transpose(1, 2).unflatten(2, (self.side, self.side))
        return self.generation(grid).flatten(2).transpose(1, 2)

    def forward(
        self, student: Sequence[Tensor], teacher: Sequence[Tensor], masked: Tensor, weights: "ViTKDWeights"
    ) -> Tensor:
        """The loss alpha L_lr + beta L_gen of one batch; a scalar.

        Args:
            student: tokens of the two shallow blocks and of the final norm, (batch, N, D of the student) each.
            teacher: likewise, of the teacher's width.
            masked: bool (batch, N).
            weights: of the two parts.

        """
        shallow = sum(
            mimicking_loss(align(own), other)
            for align, own, other in zip(self.shallow, student[:2], teacher[:2], strict=True)
        )
        deep = generation_loss(self.generate(student[2], masked), teacher[2], masked, weights.mask)
        return weights.alpha * torch.as_tensor(shallow) + weights.beta * deep


@dataclass(frozen=True)
class ViTKDWeights:
    """``alpha`` and ``beta`` of the total loss; ``mask``: the share lambda of hidden tokens."""

    alpha: float
    beta: float
    mask: float


def mimicking_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """L_lr of the paper for one shallow block: the sum of squared differences of (batch, N, D) for each sample."""
    return F.mse_loss(student.float(), teacher.float(), reduction="sum") / len(student)


def generation_loss(generated: Tensor, teacher: Tensor, masked: Tensor, mask_share: float) -> Tensor:
    """L_gen of the paper: like :func:`mimicking_loss`, over the hidden tokens only, divided by their share lambda."""
    difference = (generated.float() - teacher.float()) * masked[:, :, None]
    return difference.square().sum() / (mask_share * len(generated))


def draw_mask(batch: int, tokens: int, mask_share: float, device: torch.device) -> Tensor:
    """Bool (batch, N): a random N - floor(N (1 - lambda)) tokens of each sample, from torch's random state."""
    kept = int(tokens * (1 - mask_share))
    ranks = torch.rand(batch, tokens, device=device).argsort(dim=1).argsort(dim=1)
    return ranks >= kept
