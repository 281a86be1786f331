"""Two processes with half a batch each: real processes on the processor, talking over gloo."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.plugins.zoo_torch.autoslim.samples import SUPERNET
from tests.plugins.zoo_torch.samples import SMALL, Outcome, fresh_model, npz_digits
from tests.plugins.zoo_torch.several_devices import stand_ins
from zoo_sdk.context import InputItem, Inputs
from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import Cancelled, InvalidInput, OutOfMemory
from zoo_sdk.execution import LocalContext, Workplace, run_operation
from zoo_sdk.messages import LogEvent
from zoo_torch.training.params import TrainParams

# Four processes that import torch, on a machine that may have other things to do.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TWO = ("cpu", "cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> InputItem:
    return npz_digits(tmp_path_factory.mktemp("digits"))


def context_in(folder: Path, devices: tuple[str, ...], cancelled: Callable[[], bool] = lambda: False) -> Outcome:
    place = Workplace.under(folder)
    outcome = Outcome(
        LocalContext(find_operation("torch.train"), place, devices=devices, threads=2, cancelled=cancelled)
    )
    outcome.context.emit = outcome.events.append
    return outcome


def train(folder: Path, digits: InputItem, devices: tuple[str, ...], **changes: Any) -> Outcome:
    cancelled = changes.pop("cancelled", lambda: False)
    outcome = context_in(folder, devices, cancelled)
    params = {"architecture": "zoo:vit_tiny", **SMALL, "learning_rate": 0.01, "epochs": 2, **changes}
    run_operation(find_operation("torch.train"), params, Inputs(ports={"data": (digits,)}), outcome.context)
    return outcome


def test_two_processes_train_what_one_does_also_when_they_are_interrupted(tmp_path: Path, digits: InputItem) -> None:
    # A transformer: batch normalisation would see half a batch.
    given = {
        "accumulation_steps": 2,
        "augmentation": "flip_crop",
        "ema_decay": 0.9,
        "gradient_clip": 5.0,
        "limit_samples": 256,
    }
    one = train(tmp_path / "one", digits, ("cpu",), **given)
    checkpoint = tmp_path / "two/checkpoints/checkpoint"
    with pytest.raises(Cancelled):
        train(tmp_path / "two", digits, TWO, cancelled=checkpoint.exists, **given)
    two = train(tmp_path / "two", digits, TWO, **given)
    assert "Resumed after epoch 1" in two.lines
    first, second = load_file(one.model), load_file(two.model)
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, rtol=1e-3, atol=1e-4)
    assert two.measured("top1") == pytest.approx(one.measured("top1"), abs=1)
    assert [step for step, _ in two.curve("train_loss")] == list(range(5, 9))
    losses = [[value for _, value in outcome.curve("train_loss")[-4:]] for outcome in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert two.context.artifacts["model"][0].signature == one.context.artifacts["model"][0].signature
    found = next(item for item in two.context.measurements if item.name == "top1")
    assert found.details["devices"] == ["cpu", "cpu"]


def perform_on(operation: str, folder: Path, ports: dict[str, Any], devices: tuple[str, ...], **params: Any) -> Outcome:
    """Any operation, on these devices."""
    spec = find_operation(operation)
    outcome = Outcome(LocalContext(spec, Workplace.under(folder), devices=devices, threads=2))
    outcome.context.emit = outcome.events.append
    items = {port: (item,) for port, item in ports.items()}
    run_operation(spec, params, Inputs(ports=items), outcome.context)
    return outcome


def test_two_processes_agree_on_the_channels_to_remove_and_train_on(tmp_path: Path, digits: InputItem) -> None:
    ports = {"model": fresh_model(tmp_path / "model", name="zoo:conv_tiny"), "data": digits}
    given = {
        "method": "taylor", "ratio": 0.5, "epochs": 1, "batch_size": 64, "limit_samples": 256,
        "limit_test_samples": 100, "channels_last": False,
    }  # fmt: skip
    one, two = (
        perform_on("torch.prune", tmp_path / name, ports, devices, **given)
        for name, devices in (("one", ("cpu",)), ("two", TWO))
    )
    (other,) = (tmp_path / "two").rglob("member-1/outputs/model/channels.json")
    files = (one.context.output() / "channels.json", two.context.output() / "channels.json", other)
    alone, first_of_two, second_of_two = (json.loads(path.read_text()) for path in files)
    assert second_of_two["layers"] == first_of_two["layers"]
    assert first_of_two["macs"] == alone["macs"]
    for layer, kept in alone["layers"].items():  # batch normalisation sees half a batch: a close call may go otherwise
        assert len(set(kept["outputs"]) & set(first_of_two["layers"][layer]["outputs"])) >= 0.8 * len(kept["outputs"])
    first, second = load_file(one.model), load_file(two.model)
    assert {key: value.shape for key, value in second.items()} == {key: value.shape for key, value in first.items()}
    assert "One process for each of cpu, cpu." in two.lines


def test_two_processes_train_a_supernet_with_the_same_widths_at_each_step(tmp_path: Path, digits: InputItem) -> None:
    given = {**SUPERNET, "architecture": "zoo:conv_tiny", "epochs": 1, "limit_samples": 128, "limit_test_samples": 100}
    one, two = (
        perform_on("torch.slim_supernet", tmp_path / name, {"data": digits}, devices, **given)
        for name, devices in (("one", ("cpu",)), ("two", TWO))
    )
    losses = [[value for _, value in run.curve("train_loss")] for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=0.1), "batch normalisation sees half a batch"
    assert load_file(two.model).keys() == load_file(one.model).keys()


def test_the_process_that_failed_is_the_cause_and_not_those_that_lost_it(tmp_path: Path) -> None:
    outcome = context_in(tmp_path, TWO)
    with pytest.raises(InvalidInput, match="Device 1 dislikes it") as caught:
        stand_ins.refuse(TrainParams(), Inputs(ports={}), outcome.context)
    assert (caught.value.hint, caught.value.facts) == ("Be kind.", {"field": "epochs"})
    assert outcome.curve("before") == [(1, 1.0)]


def test_a_killed_process_is_said_to_be_out_of_memory(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="process of device cpu was killed"):
        stand_ins.die(TrainParams(), Inputs(ports={}), context_in(tmp_path, TWO).context)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_cancelling_ends_every_process_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    outcome = context_in(tmp_path, TWO)

    def said() -> list[int]:
        lines = [item.message for item in outcome.events if isinstance(item, LogEvent)]
        return [int(word) for line in lines if line.startswith("processes") for word in line.split()[1:]]

    outcome.context.cancelled = lambda: bool(said())
    with pytest.raises(Cancelled):
        stand_ins.wait(TrainParams(), Inputs(ports={}), outcome.context)
    assert len(said()) == 3
    deadline = time.monotonic() + 10
    while any(is_alive(process) for process in said()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_alive(process) for process in said())
    kept = outcome.context.restore()
    assert kept is not None
    assert kept.read_text() == "whole"
