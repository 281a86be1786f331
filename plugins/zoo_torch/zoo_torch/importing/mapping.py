"""Maps the names of a checkpoint onto those of an architecture, and says what found its place and what did not."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from zoo_sdk.errors import InvalidInput
from zoo_torch.importing.efficientnet_names import timm_names
from zoo_torch.importing.params import ImportWeightsParams
from zoo_torch.networks.architectures import Architecture, classifier_prefixes

COUNTERS = ".num_batches_tracked"
"""Checkpoints from before PyTorch 0.4.1, and those of other frameworks, do not count the batches of normalisations."""
NEVER_NEEDED = (
    f"*{COUNTERS}", "*total_ops", "*total_params", "*relative_position_index", "*relative_coords_table", "*attn_mask",
)  # fmt: skip
"""What profilers leave behind, and what networks count or compute anew: no harm where the network lacks it."""
MAX_PREFIX_PARTS = 3
State = dict[str, Tensor]
Origins = dict[str, str]
"""Name now -> name in the checkpoint."""


@dataclass(frozen=True)
class MappedWeights:
    """What became of the names.  ``state`` has those of the network, with the checkpoint's values.

    ``origins``: of the matched weights, the network's name to the checkpoint's.  ``missing``: the network's for which
    nothing was found; ``unmatched``: the checkpoint's that the network does not have; ``mismatched``: name in the
    network, shape in the checkpoint, shape in the network; ``left_out``: the checkpoint's that need no place;
    ``counters``: how many of the network's counters start at zero.  ``rules``: what was done to names, in words.
    """

    architecture: Architecture
    state: State
    rules: tuple[str, ...]
    origins: Origins
    missing: tuple[str, ...]
    unmatched: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    left_out: tuple[str, ...]
    counters: int

    @property
    def fits(self) -> bool:
        """Whether the network has all its weights, and the checkpoint nothing more."""
        return not (self.missing or self.unmatched or self.mismatched)


@dataclass(frozen=True)
class _Candidate:
    """A state under names that may be the network's, and how it came to them."""

    state: State
    origins: Origins
    rules: tuple[str, ...]


def map_weights(state: State, name: str, params: ImportWeightsParams, source: str) -> MappedWeights:
    """Find each weight of the architecture ``name`` in a checkpoint; classes and channels are read from its shapes.

    Names are changed as little as possible: as they are, then without a common beginning (``backbone.``), then by
    timm's own rules for checkpoints of that architecture's authors, then by those of packages with other names.

    Raises:
        UnknownName, InvalidInput: there is no such architecture, or its first or last layer is not in the checkpoint.

    """
    with torch.random.fork_rng(devices=[]):
        pattern = Architecture.of(name, num_classes=2, in_chans=3, options=params.architecture_options).build()
    axes = {key: value.ndim for key, value in pattern.state_dict().items()}
    given, left_out = _given(state, params)
    # Sizes are not compared yet: those of the first and the last layer are not known.
    best = max(
        _candidates(given, pattern), key=lambda one: sum(axes.get(key) == one.state[key].ndim for key in one.state)
    )
    architecture = _sized(best.state, pattern, name, params, source)
    with torch.random.fork_rng(devices=[]):
        shapes = {key: tuple(value.shape) for key, value in architecture.build().state_dict().items()}
    return _compared(best, architecture, shapes, left_out)


def _given(state: State, params: ImportWeightsParams) -> tuple[_Candidate, tuple[str, ...]]:
    """The state with the caller's renames and without what is to be left out, and the names of that."""
    left_out = tuple(key for key in state if _matches(key, params.leave_out))
    kept = {key: value for key, value in state.items() if key not in set(left_out)}
    renames = sorted(params.renames.items(), key=lambda item: -len(item[0]))
    origins: Origins = {}
    for key in kept:
        before, after = next(((a, b) for a, b in renames if key.startswith(a)), ("", ""))
        new = after + key.removeprefix(before)
        if new in origins:
            raise InvalidInput(
                f"The renames give {origins[new]!r} and {key!r} the same name {new!r}.", facts={"field": "renames"}
            )
        origins[new] = key
    rules = tuple(f"{before!r} became {after!r}" for before, after in renames)
    return _Candidate({new: kept[old] for new, old in origins.items()}, origins, rules), left_out


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _candidates(given: _Candidate, pattern: nn.Module) -> Iterator[_Candidate]:
    """The likeliest first: of equally good ones the first is taken."""
    yield given
    expected = set(pattern.state_dict())
    for prefix in _common_beginnings(given.state):
        inside = {key.removeprefix(prefix): key for key in given.state if key.startswith(prefix)}
        if expected & set(inside):
            # What lies beside the beginning will be told as unmatched.
            others = {f"(beside) {key}": key for key in given.state if not key.startswith(prefix)}
            names = inside | others
            yield _Candidate(
                {new: given.state[old] for new, old in names.items()},
                {new: given.origins[old] for new, old in names.items()},
                (*given.rules, f"{prefix!r} was taken off"),
            )
    yield from _by_timm(given, pattern)
    renamed = timm_names(given.state, pattern.state_dict())
    if renamed:
        names = {renamed.get(key, key): key for key in given.state}
        yield _Candidate(
            {new: given.state[old] for new, old in names.items()},
            {new: given.origins[old] for new, old in names.items()},
            (*given.rules, "names of efficientnet-pytorch became timm's"),
        )


def _common_beginnings(state: State) -> list[str]:
    """``backbone.``, ``student.backbone.`` ...: beginnings that several weights share."""
    counts: dict[str, int] = {}
    for key in state:
        parts = key.split(".")
        for length in range(1, min(MAX_PREFIX_PARTS, len(parts) - 1) + 1):
            prefix = ".".join(parts[:length]) + "."
            counts[prefix] = counts.get(prefix, 0) + 1
    return sorted((prefix for prefix, count in counts.items() if count > 1), key=lambda prefix: -counts[prefix])


def _by_timm(given: _Candidate, pattern: nn.Module) -> Iterator[_Candidate]:
    """By the function with which timm reads the checkpoints of an architecture's authors, where it has one."""
    module = sys.modules[type(pattern).__module__]
    convert: Callable[[State, nn.Module], State] | None = getattr(module, "checkpoint_filter_fn", None)
    if not module.__name__.startswith("timm.") or convert is None:
        return
    try:
        found = convert(dict(given.state), pattern)
    except (KeyError, IndexError, ValueError, RuntimeError, AttributeError, TypeError):
        return  # it expects another checkpoint
    if isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values()):
        origins = _origins(given, found)
        yield _Candidate(found, origins, (*given.rules, f"names were changed by {module.__name__}"))


def _origins(given: _Candidate, found: State) -> Origins:
    """Which weight became which: those whose names stayed, then those that are the same tensor."""
    by_place = {value.data_ptr(): given.origins[key] for key, value in given.state.items()}
    return {key: given.origins.get(key) or by_place.get(value.data_ptr(), "(computed)") for key, value in found.items()}


def _sized(state: State, pattern: nn.Module, name: str, params: ImportWeightsParams, source: str) -> Architecture:
    """The architecture with as many classes and channels as the first and the last layer's shapes say."""
    stem = next((key for key, value in pattern.state_dict().items() if value.ndim == 4), "")
    heads = [f"{prefix}weight" for prefix in classifier_prefixes(pattern)]
    missing = [key for key in (stem, *heads) if key not in state or state[key].ndim < 2]
    if missing:
        some = ", ".join(list(state)[:5])
        raise InvalidInput(
            f"The weights of {source} do not fit {name}: {missing[0]} is missing. They are called {some} ...",
            hint="Name the architecture that they were trained with, or give `renames` or `part`.",
            facts={"field": "architecture", "missing": missing},
        )
    classes, channels = len(state[heads[0]]), state[stem].shape[1]
    return Architecture.of(name, num_classes=classes, in_chans=channels, options=params.architecture_options)


def _compared(
    found: _Candidate, architecture: Architecture, shapes: dict[str, tuple[int, ...]], left_out: Sequence[str]
) -> MappedWeights:
    matched = {key: value for key, value in found.state.items() if shapes.get(key) == tuple(value.shape)}
    counters = {
        key: torch.zeros((), dtype=torch.int64) for key in shapes if key.endswith(COUNTERS) and key not in matched
    }
    surplus = [found.origins[key] for key in found.state if key not in shapes]
    return MappedWeights(
        architecture=architecture,
        state=counters | matched,
        rules=found.rules,
        origins={key: found.origins[key] for key in matched},
        missing=tuple(key for key in shapes if key not in found.state and key not in counters),
        unmatched=tuple(key for key in surplus if not _matches(key, NEVER_NEEDED)),
        mismatched=tuple(
            (key, tuple(value.shape), shapes[key])
            for key, value in found.state.items()
            if key in shapes and key not in matched
        ),
        left_out=(*left_out, *(key for key in surplus if _matches(key, NEVER_NEEDED))),
        counters=len(counters),
    )
