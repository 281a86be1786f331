"""Methods that compare hidden layers: what each looks at, what it trains beside the student, and its loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo_sdk.artifacts import Preprocessing
from zoo_torch.distillation.attention import attention_loss
from zoo_torch.distillation.features import (
    FeatureTap,
    adapter_between,
    adapter_names,
    feature_loss,
    probe_shapes,
    same_size,
    unlike_features,
)
from zoo_torch.distillation.params import DistillParams
from zoo_torch.distillation.vitkd import TransformerLayout, ViTKD, ViTKDWeights, draw_mask, grid_side

Layers = Mapping[str, Tensor]


@dataclass(frozen=True)
class Pupil:
    """A network whose layers are compared, student or teacher."""

    reference: str
    network: nn.Module
    preprocessing: Preprocessing

    def shapes(self, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Of layers' outputs for one sample, without the batch."""
        device = next(self.network.parameters()).device
        sample = torch.zeros((1, self.preprocessing.channels, *self.preprocessing.crop), device=device)
        return probe_shapes(self.network, names, self.reference, sample)


class Comparison(nn.Module):
    """A student's layers beside one teacher's; its parameters are trained with the student and then forgotten."""

    def __init__(self, student_layers: Sequence[str], teacher_layers: Sequence[str]) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = tuple(student_layers), tuple(teacher_layers)

    def forward(self, student: Layers, teacher: Layers) -> Tensor:
        """The loss, a scalar, from the outputs of the layers by name."""
        raise NotImplementedError


class FeatureComparison(Comparison):
    """FitNets: see :func:`zoo_torch.distillation.features.feature_loss`."""

    def __init__(self, student: Pupil, teacher: Pupil, params: DistillParams) -> None:
        super().__init__(tuple(params.layers), tuple(params.layers.values()))
        own, others = student.shapes(self.student_layers), teacher.shapes(self.teacher_layers)
        self.names = adapter_names(params.layers)
        self.adapters = nn.ModuleDict(
            {
                name: adapter_between(own[layer], others[params.layers[layer]], layer)
                for layer, name in self.names.items()
            }
        )
        self.weight = params.feature_weight

    def forward(self, student: Layers, teacher: Layers) -> Tensor:
        """The weighted sum over the layers."""
        losses = []
        for layer, other in zip(self.student_layers, self.teacher_layers, strict=True):
            own, target = same_size(student[layer], teacher[other])
            losses.append(feature_loss(self.adapters[self.names[layer]](own), target))
        return self.weight * torch.stack(losses).sum()


class AttentionComparison(Comparison):
    """Attention transfer: see :func:`zoo_torch.distillation.attention.attention_loss`."""

    def __init__(self, student: Pupil, teacher: Pupil, params: DistillParams) -> None:
        super().__init__(tuple(params.layers), tuple(params.layers.values()))
        own, others = student.shapes(self.student_layers), teacher.shapes(self.teacher_layers)
        for layer, other in params.layers.items():
            maps = len(own[layer]) == len(others[other]) == 3
            if not maps and not (len(own[layer]) == len(others[other]) == 2 and own[layer][0] == others[other][0]):
                raise unlike_features(own[layer], others[other], layer)
        self.weight = params.attention_weight

    def forward(self, student: Layers, teacher: Layers) -> Tensor:
        """The weighted sum over the layers."""
        pairs = zip(self.student_layers, self.teacher_layers, strict=True)
        losses = [attention_loss(*same_size(student[layer], teacher[other])) for layer, other in pairs]
        return self.weight * torch.stack(losses).sum()


class TransformerComparison(Comparison):
    """ViTKD: see :class:`zoo_torch.distillation.vitkd.ViTKD`."""

    def __init__(self, student: Pupil, teacher: Pupil, params: DistillParams) -> None:
        layouts = [TransformerLayout.of(pupil.network, pupil.reference) for pupil in (student, teacher)]
        super().__init__(layouts[0].layers, layouts[1].layers)
        self.layouts = layouts
        (own_tokens, own_width), (tokens, width) = (
            pupil.shapes(layout.layers)[layout.layers[2]]
            for pupil, layout in zip((student, teacher), layouts, strict=True)
        )
        self.tokens = own_tokens - layouts[0].prefix
        self.vitkd = ViTKD(own_width, width, grid_side(self.tokens, tokens - layouts[1].prefix))
        self.weights = ViTKDWeights(params.vitkd_alpha, params.vitkd_beta, params.vitkd_mask)

    def forward(self, student: Layers, teacher: Layers) -> Tensor:
        """With a new random mask each time."""
        own, target = (layout.tokens(found) for layout, found in zip(self.layouts, (student, teacher), strict=True))
        masked = draw_mask(len(own[0]), self.tokens, self.weights.mask, own[0].device)
        loss: Tensor = self.vitkd(own, target, masked, self.weights)
        return loss


class _Kind(Protocol):
    def __call__(self, student: Pupil, teacher: Pupil, params: DistillParams) -> Comparison: ...


KINDS: Mapping[str, _Kind] = {
    "feature": FeatureComparison,
    "attention": AttentionComparison,
    "vitkd": TransformerComparison,
}


class HiddenLayers:
    """The comparisons of a student with each of its teachers, and the taps on all of them.

    Raises:
        InvalidInput: a layer does not exist, or two layers cannot be compared.

    """

    def __init__(
        self, student: Pupil, teachers: Sequence[Pupil], weights: Sequence[float], params: DistillParams
    ) -> None:
        kind = KINDS[params.method]
        made = [kind(student, teacher, params) for teacher in teachers]
        self.comparisons = nn.ModuleList(made).to(next(student.network.parameters()).device)
        self.student_tap = FeatureTap(student.network, made[0].student_layers, student.reference)
        self.teacher_taps = [
            FeatureTap(teacher.network, one.teacher_layers, teacher.reference)
            for teacher, one in zip(teachers, made, strict=True)
        ]
        self._shares = [weight / sum(weights) for weight in weights]

    def loss(self, student: Layers, teachers: Sequence[Layers]) -> Tensor:
        """The mean over the teachers by their weights, a scalar."""
        losses = [
            share * compare(student, teacher)
            for share, compare, teacher in zip(self._shares, self.comparisons, teachers, strict=True)
        ]
        return torch.stack(losses).sum()
