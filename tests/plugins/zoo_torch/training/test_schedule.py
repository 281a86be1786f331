"""The learning rate over a training."""

import itertools

import pytest
from pydantic import ValidationError

from tests.plugins.zoo_torch.samples import build
from zoo_torch.training.parameter_groups import make_optimizer, set_learning_rate
from zoo_torch.training.params import TrainParams
from zoo_torch.training.schedule import rate_share


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    share = rate_share(TrainParams(epochs=2, warmup_epochs=0.5), steps_per_epoch=10)
    rates = [share(step) for step in range(20)]
    assert rates[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[5:]))
    assert share(20) == pytest.approx(0, abs=1e-9)


def test_a_step_schedule_lowers_the_rate_after_each_milestone() -> None:
    params = TrainParams(epochs=6, warmup_epochs=1, schedule="step", milestones=(2, 4.5), gamma=0.1)
    share = rate_share(params, steps_per_epoch=10)
    assert [share(step) for step in (0, 9, 10, 19, 20, 44, 45, 59)] == pytest.approx(
        [1 / 11, 10 / 11, 1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_a_constant_schedule_stays_at_the_peak() -> None:
    share = rate_share(TrainParams(epochs=3, warmup_epochs=0, schedule="constant"), steps_per_epoch=4)
    assert {share(step) for step in range(12)} == {1.0}


@pytest.mark.parametrize(
    "wrong",
    [{"schedule": "step"}, {"milestones": (1,)}, {"schedule": "step", "milestones": (2, 1)}],
)
def test_milestones_must_fit_the_schedule(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="milestones"):
        TrainParams.model_validate(wrong)


def test_the_rate_reaches_every_group() -> None:
    optimizer = make_optimizer(build("zoo:conv_tiny"), TrainParams(layer_decay=0.5))
    set_learning_rate(optimizer, 0.8)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.1, 0.2, 0.4, 0.8])
