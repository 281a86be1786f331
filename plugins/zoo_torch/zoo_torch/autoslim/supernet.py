"""``torch.slim_supernet``: one set of weights that works at many widths."""

import dataclasses
from collections.abc import Sequence

import torch

from zoo_sdk.context import Inputs, OperationContext
from zoo_sdk.errors import InvalidInput
from zoo_torch.autoslim.groups import WidthGroup, find_groups
from zoo_torch.autoslim.params import SlimSupernetParams
from zoo_torch.autoslim.sandwich import Sandwich
from zoo_torch.autoslim.widths import DETAILS_KEY, SlimmableFacts
from zoo_torch.devices import prepare_device
from zoo_torch.networks.architectures import Architecture
from zoo_torch.networks.layouts import training_layout
from zoo_torch.several_devices.starting import on_all_devices
from zoo_torch.training.held_out import without_held_out
from zoo_torch.training.results import hand_over
from zoo_torch.training.start import starting_point
from zoo_torch.training.trainer import Trainer


@on_all_devices
def run(params: SlimSupernetParams, inputs: Inputs, context: OperationContext) -> None:
    """Train, measure the widest network on the test split, write safetensors; see :class:`SlimSupernetParams`."""
    device = prepare_device(context)
    start = starting_point(params, inputs, context)
    network, architecture, data = start.network, start.architecture, start.data
    _check_is_float(architecture)
    groups = find_groups(network, data.preprocessing)
    facts = SlimmableFacts(
        channel_bins=params.channel_bins,
        min_bins=params.min_bins,
        round_to=params.round_to,
        train_split=params.train_split,
        held_out=params.held_out,
    )
    options = _options(groups, facts)
    if params.held_out:
        data = dataclasses.replace(data, train=without_held_out(data.train, params.held_out))
    narrowest = min(min(widths) for widths in options.values())
    layout = training_layout(network, device, channels_last=params.channels_last, narrowest=narrowest)
    params = params.model_copy(update={"channels_last": layout is torch.channels_last})
    trainer = Trainer(network, data, params, context, device)
    context.log(
        f"{architecture.name}: {len(groups)} groups with up to {max(map(len, options.values()))} widths; "
        f"{trainer.total_steps} steps of {trainer.batches.batch_size} samples, each for "
        f"{2 + params.random_subnets} networks, on {device}."
    )

    seconds = trainer.run(Sandwich(network, groups, options, params, context.seed))
    hand_over(trainer, architecture, seconds, details={DETAILS_KEY: facts.model_dump(mode="json")})


def _check_is_float(architecture: Architecture) -> None:
    if architecture.quantization is not None:
        raise InvalidInput(
            f"The weights to start from are those of a quantised {architecture.name}, whose widths cannot be chosen.",
            hint="Start from the float network; quantise what torch.slim_retrain makes.",
            facts={"field": "init"},
        )


def _options(groups: Sequence[WidthGroup], facts: SlimmableFacts) -> dict[str, tuple[int, ...]]:
    options = {group.name: facts.options(group.channels) for group in groups}
    if max(map(len, options.values())) < 2:
        raise InvalidInput(
            f"Rounded to multiples of {facts.round_to}, no group of channels has a width besides its full one: the "
            f"widest has {max(group.channels for group in groups)} channels.",
            hint="Lower round_to or min_bins, or raise channel_bins.",
            facts={"field": "round_to"},
        )
    return options
