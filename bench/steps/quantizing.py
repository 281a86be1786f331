"""The race of quantization-aware training: ``torch.quantize_aware`` against torch's own and against LSQ by hand."""

import warnings
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from bench.figures import Goal
from bench.steps import plain
from bench.steps.lsq_by_hand import quantised_by_hand
from bench.steps.racing import BATCH, Arena, Contender, Heat, Ratio, Samples

ARCHITECTURES = ("zoo:resnet_small",)
BITS = 8
"""Torch's own fake quantization is for 8 bits; the work of a step does not depend on them."""
OURS, OWN, BY_HAND, FLOAT = "torch.quantize_aware", "torch.ao QAT", "LSQ by hand", "float"
RATIOS = (
    Ratio(OWN, OURS, Goal(relation="at least", bound=1.0)),
    Ratio(BY_HAND, OURS, Goal(relation="at least", bound=1.0)),
    Ratio(OURS, FLOAT),
)


def contenders(architecture: str, arena: Arena, notes: list[str]) -> dict[str, Contender]:
    """The operation, and loops that are tuned alike (channels-last, whole batches by index, fused optimiser)."""
    del notes
    item = arena.network_item(architecture)
    samples = arena.samples(item)
    params = {
        **plain.SETTINGS, "weight_bits": BITS, "activation_bits": BITS, "limit_samples": arena.limit,
        "limit_test_samples": BATCH,
    }  # fmt: skip
    name = f"quantised-{architecture.partition(':')[2]}"
    return {
        OURS: lambda: arena.perform("torch.quantize_aware", params, {"model": item}, name)[1],
        OWN: _loop(arena, torch_ao(arena.network(item), samples), samples),
        BY_HAND: _loop(arena, quantised_by_hand(arena.network(item), BITS).to(arena.device), samples),
        FLOAT: _loop(arena, arena.network(item), samples),
    }


def torch_ao(network: nn.Module, samples: Samples) -> nn.Module:
    """Torch's graph mode QAT with its defaults for this processor: fake-quantize modules with moving averages."""
    from torch.ao.quantization import get_default_qat_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_qat_fx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        prepared: nn.Module = prepare_qat_fx(
            network.train(), get_default_qat_qconfig_mapping("x86"), (samples.pictures[:1],)
        )
    return prepared


def _loop(arena: Arena, network: nn.Module, samples: Samples) -> Contender:
    network.to(memory_format=torch.channels_last)

    def loss(inputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(network(inputs), labels)

    return plain.training_loop(arena, network, loss, plain.Indexed(samples), fused=True)


HEATS = tuple(
    Heat(f"quantization of {architecture}", partial(contenders, architecture), RATIOS) for architecture in ARCHITECTURES
)
