"""GPUs of a worker: which are its own, who gets them, what a child sees.  The devices are names; the rest is real."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_worker.conftest import run_beside, wait_until
from tests.zoo_worker.stand_in_registry import StandInJob, StandInRegistry
from zoo_sdk.errors import Conflict, InvalidInput
from zoo_worker import gpus, machine
from zoo_worker.agent import Agent
from zoo_worker.gpus import Gpu, GpuSlots, own_gpus
from zoo_worker.machine import gpus_of_driver
from zoo_worker.settings import read_settings
from zoo_worker.stopping import Stop, Stopped, StopReason

FOUR = tuple(Gpu(f"GPU-{letter}", "NVIDIA H100", "580.1") for letter in "abcd")
QUEUES = ("example.cpu", "probe.cpu", "probe.gpu")
DRIVER = {
    "version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n",
    "gpus/0000:07:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 220\nGPU UUID: \t GPU-b\n",
    "gpus/0000:03:00.0/information": "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 219\nGPU UUID: \t GPU-a\n",
}


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine tells of four GPUs."""
    rows = tuple({"uuid": gpu.uuid, "name": gpu.name, "driver": gpu.driver, "memory_mib": "1"} for gpu in FOUR)
    monkeypatch.setattr(gpus, "gpus_of_machine", lambda: rows)


@pytest.mark.usefixtures("present")
@pytest.mark.parametrize(
    ("environment", "letters"),
    [
        ({}, "abcd"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, "ca"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-d,1"}, "db"),
        ({"CUDA_VISIBLE_DEVICES": "1,9,2"}, "b"),
        ({"CUDA_VISIBLE_DEVICES": ""}, ""),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, ""),
        ({"ZOO_WORKER_GPUS": "3, GPU-a", "CUDA_VISIBLE_DEVICES": "1"}, "da"),
        ({"ZOO_WORKER_GPUS": "none"}, ""),
    ],
)
def test_a_worker_gives_all_gpus_or_those_that_are_left_to_it(environment: dict[str, str], letters: str) -> None:
    assert [gpu.uuid[-1] for gpu in own_gpus(environment)] == list(letters)


@pytest.mark.usefixtures("present")
@pytest.mark.parametrize("text", ["4", "0,0", "0,GPU-a", "GPU-x", "", "all", "0;1"])
def test_a_setting_that_names_no_gpu_or_one_twice_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InvalidInput, match="ZOO_WORKER_GPUS") as caught:
        read_settings({"ZOO_WORKER_GPUS": text})
    assert "3 (GPU-d)" in caught.value.hint


def test_a_machine_that_tells_nothing_is_believed_what_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "gpus_of_machine", tuple)
    assert [gpu.uuid for gpu in own_gpus({"ZOO_WORKER_GPUS": "0,1"})] == ["0", "1"]
    assert own_gpus({}) == own_gpus({"CUDA_VISIBLE_DEVICES": "0"}) == ()
    with pytest.raises(InvalidInput, match="no GPU of this machine"):
        own_gpus({"ZOO_WORKER_GPUS": "two"})


def test_the_queues_of_gpus_are_served_by_default_where_there_are_some(
    probe_plugin: Path, present: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"probe.cpu", "probe.gpu"} <= set(read_settings({}).queues)
    assert "probe.gpu" not in read_settings({"ZOO_WORKER_GPUS": "none"}).queues


def test_gpus_are_found_in_the_drivers_files_where_there_is_no_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in DRIVER.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = gpus_of_driver(tmp_path)
    assert [row["uuid"] for row in found] == ["GPU-a", "GPU-b"]
    assert {(row["name"], row["driver"]) for row in found} == {("NVIDIA H100 80GB HBM3", "535.183.01")}
    assert gpus_of_driver(tmp_path / "nothing") == ()
    monkeypatch.setattr(machine, "NVIDIA_QUERY", ("no-such-program",))
    monkeypatch.setattr(machine, "gpus_of_driver", lambda: found)
    machine.gpus.cache_clear()
    try:
        assert machine.gpus() == found
    finally:
        machine.gpus.cache_clear()


def test_a_gpu_is_given_to_one_holder_at_a_time_and_taken_again_when_it_is_free() -> None:
    slots, stop = GpuSlots(FOUR), Stop()
    with slots.taken(3, stop) as first:
        with slots.taken(1, stop) as second:
            assert set(first) | set(second) == set(FOUR)
        with slots.taken(1, stop) as third:
            assert third == second
    with slots.taken(4, stop) as everything:
        assert everything == FOUR


def test_more_than_there_are_is_refused_at_once_and_nothing_is_kept() -> None:
    slots, stop = GpuSlots(FOUR[:1]), Stop()
    with pytest.raises(Conflict, match="2 GPUs are needed; this worker has 1"), slots.taken(2, stop):
        pass
    with slots.taken(1, stop) as given:
        assert given == FOUR[:1]


def test_who_waits_for_many_is_not_overtaken_by_those_who_want_few() -> None:
    slots, order = GpuSlots(FOUR[:2]), []

    def take(name: str, count: int) -> None:
        with slots.taken(count, Stop()):
            order.append(name)

    def begin(name: str, count: int, waiting: int) -> threading.Thread:
        thread = threading.Thread(target=take, args=(name, count), daemon=True)
        thread.start()
        wait_until(lambda: len(slots._waiting) == waiting)
        return thread

    with slots.taken(1, Stop()):
        threads = [begin("both", 2, 1), begin("one", 1, 2)]
        assert order == []
    for thread in threads:
        thread.join(5)
    assert order == ["both", "one"]


def test_who_is_stopped_while_it_waits_leaves_the_line() -> None:
    slots, stop = GpuSlots(FOUR[:1]), Stop()
    with slots.taken(1, Stop()):
        threading.Timer(0.1, stop.request, (StopReason.RELEASED,)).start()
        with pytest.raises(Stopped), slots.taken(1, stop):
            pass
    with slots.taken(1, Stop()) as given:
        assert given == FOUR[:1]


@pytest.fixture
def on_gpus(make_agent: Callable[..., Agent], probe_plugin: Path) -> Callable[..., Agent]:
    """Starts an agent with so many GPUs."""
    return lambda count: make_agent(gpus=FOUR[:count], queues=QUEUES)


def seen(job: StandInJob) -> dict[str, Any]:
    """What the child of a ``probe.hold_gpus`` said."""
    found: dict[str, Any] = next(json.loads(body.message) for body in job.messages("log"))
    return found


def test_a_child_sees_the_gpus_of_its_job_and_no_others(
    registry: StandInRegistry, on_gpus: Callable[..., Agent]
) -> None:
    agent = on_gpus(4)
    job = registry.submit("probe.hold_gpus", gpus=2)
    assert agent.run(str(job.id)) == "FINISHED"
    assert seen(job) == {"visible": "GPU-a,GPU-b", "devices": ["cuda:0", "cuda:1"]}
    assert job.claims == 2, "once without GPUs, once with those that it needs"
    environment = job.finished[0].environment
    assert [gpu["uuid"] for gpu in environment["given_gpus"]] == ["GPU-a", "GPU-b"]


def test_a_job_without_gpus_sees_none_and_runs_on_the_processor(
    registry: StandInRegistry, on_gpus: Callable[..., Agent]
) -> None:
    agent = on_gpus(4)
    job = registry.submit("probe.hold_gpus")
    assert agent.run(str(job.id)) == "FINISHED"
    assert seen(job) == {"visible": "", "devices": ["cpu"]}
    assert job.claims == 1


def test_jobs_at_the_same_time_see_different_gpus_and_one_that_finds_none_waits_unclaimed(
    registry: StandInRegistry, on_gpus: Callable[..., Agent]
) -> None:
    agent = on_gpus(3)
    first, second, third = (
        registry.submit("probe.hold_gpus", {"seconds": seconds}, gpus=count)
        for count, seconds in ((2, 3), (1, 3), (2, 0))
    )
    threads = [run_beside(agent, first)]
    wait_until(lambda: first.state == "running")
    threads.append(run_beside(agent, second))
    wait_until(lambda: second.state == "running")
    threads.append(run_beside(agent, third))
    wait_until(lambda: third.claims == 1)
    assert agent.run(str(third.id)) is None, "another message for it is dropped while it waits"
    assert (third.state, first.state, second.state) == ("queued", "running", "running")
    for thread in threads:
        thread.join(20)
    assert [job.state for job in (first, second, third)] == ["succeeded"] * 3
    assert (seen(first)["visible"], seen(second)["visible"]) == ("GPU-a,GPU-b", "GPU-c")
    assert len(set(seen(third)["visible"].split(","))) == 2


def test_a_worker_that_is_too_small_leaves_the_job_to_others(
    registry: StandInRegistry, on_gpus: Callable[..., Agent]
) -> None:
    agent = on_gpus(1)
    job = registry.submit("probe.hold_gpus", gpus=2)
    assert agent.run(str(job.id)) is None
    assert (job.state, job.attempt) == ("queued", 0)
    small = registry.submit("probe.hold_gpus", gpus=1)
    assert agent.run(str(small.id)) == "FINISHED"


def test_a_worker_that_shuts_down_gives_up_waiting(registry: StandInRegistry, on_gpus: Callable[..., Agent]) -> None:
    agent = on_gpus(1)
    first, second = (registry.submit("probe.hold_gpus", {"seconds": 60}, gpus=1) for _ in range(2))
    threads = [run_beside(agent, first)]
    wait_until(lambda: first.state == "running")
    threads.append(run_beside(agent, second))
    wait_until(lambda: second.claims)
    agent.shut_down(at_once=True)
    for thread in threads:
        thread.join(10)
    assert (first.state, first.released, second.attempt) == ("queued", 1, 0)


def test_gpus_are_free_again_after_a_job_that_failed(registry: StandInRegistry, on_gpus: Callable[..., Agent]) -> None:
    agent = on_gpus(1)
    for _ in range(2):
        job = registry.submit("probe.hold_gpus", {"seconds": "never"}, gpus=1)
        assert agent.run(str(job.id)) == "FAILED"


def test_the_registration_names_the_gpus_and_has_digests_for_jobs_with_and_without(
    registry: StandInRegistry, on_gpus: Callable[..., Agent]
) -> None:
    agent = on_gpus(2)
    told = registry.registrations[0]
    assert told.gpus == ("NVIDIA H100", "NVIDIA H100")
    assert set(told.gpu_environment_digests) == {"probe.hold_gpus"}
    assert told.environment_digests["probe.hold_gpus"] != told.gpu_environment_digests["probe.hold_gpus"]
    for count, digests in ((0, told.environment_digests), (2, told.gpu_environment_digests)):
        job = registry.submit("probe.hold_gpus", gpus=count)
        agent.run(str(job.id))
        assert job.finished[0].environment_digest == digests["probe.hold_gpus"]


def test_gpus_of_several_kinds_promise_no_digest(
    registry: StandInRegistry, make_agent: Callable[..., Agent], probe_plugin: Path
) -> None:
    make_agent(gpus=(*FOUR[:1], Gpu("GPU-z", "NVIDIA A100", "580.1")), queues=QUEUES)
    assert registry.registrations[0].gpu_environment_digests == {}
    assert len(registry.registrations[0].gpus) == 2
