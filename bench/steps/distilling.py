"""The race of distillation: ``torch.distill`` with and without its cache, plain loops, torchdistill."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from bench.figures import Goal
from bench.steps import plain
from bench.steps.racing import BATCH, Arena, Contender, Heat, Ratio, Samples
from bench.steps.with_torchdistill import torchdistill_loop
from zoo_sdk.context import InputItem

PAIRS = (("zoo:conv_tiny", "zoo:resnet_medium"), ("zoo:resnet_small", "zoo:resnet_medium"))
"""Student and teacher: one where the teacher is most of the work, and one where the student is."""
OURS, CACHED = "torch.distill", "torch.distill, teacher cached"
PLAIN, TUNED, LIBRARY = "plain loop", "tuned loop", "torchdistill"
Loop = Callable[[Arena, nn.Module, nn.Module, Samples], Contender]
LOOPS: Mapping[str, Loop] = {
    PLAIN: plain.plain_distillation,
    TUNED: plain.tuned_distillation,
    LIBRARY: torchdistill_loop,
}
RATIOS = (
    Ratio(PLAIN, CACHED, Goal(relation="at least", bound=1.3)),
    Ratio(LIBRARY, CACHED, Goal(relation="at least", bound=1.3)),
    Ratio(PLAIN, OURS, Goal(relation="at least", bound=1.0)),
    Ratio(LIBRARY, OURS, Goal(relation="at least", bound=1.0)),
    Ratio(TUNED, OURS),
    Ratio(TUNED, CACHED),
)
"""How many times as long the first one takes."""


def contenders(student: str, teacher: str, arena: Arena, notes: list[str]) -> dict[str, Contender]:
    """All that can run here; what cannot is noted."""
    pupil, master = arena.network_item(student), arena.network_item(teacher)
    samples = arena.samples(pupil)
    found: dict[str, Contender] = {
        OURS: _operation(arena, pupil, master, cached=False),
        CACHED: _operation(arena, pupil, master, cached=True),
    }
    for name, loop in LOOPS.items():
        try:
            found[name] = loop(arena, arena.network(pupil), arena.network(master), samples)
        except ModuleNotFoundError as error:
            notes.append(f"{name} did not run: {error}. Install it with `pip install --no-deps torchdistill==1.1.5`.")
    return found


def _operation(arena: Arena, student: InputItem, teacher: InputItem, *, cached: bool) -> Contender:
    """The training loop of the operation, as a job runs it: batches, preprocessing, progress and metrics included."""
    params: dict[str, Any] = {
        **plain.SETTINGS,
        "limit_samples": arena.limit,
        "limit_test_samples": BATCH,
        "temperature": plain.TEMPERATURE,
        "kd_weight": plain.WEIGHT,
        "keep_answers": "auto" if cached else "never",
    }
    inputs = {"student": student, "teacher": teacher}
    name = f"distilled-{student.reference.partition('/')[2].partition('@')[0]}-{'cached' if cached else 'direct'}"
    return lambda: arena.perform("torch.distill", params, inputs, name)[1]


HEATS = tuple(
    Heat(f"{student} from {teacher}", partial(contenders, student, teacher), RATIOS) for student, teacher in PAIRS
)
