"""Submitting and following jobs against the real registry, with a worker that only pretends."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.zoo_client.conftest import Zoo
from tests.zoo_client.live.conftest import Registry
from tests.zoo_client.live.stand_in_worker import DISTILL, NAME, StandInWorker, stand_in_worker
from tests.zoo_client.live.test_catalogue_commands import safetensors
from zoo_client import Client
from zoo_client.errors import JobFailed
from zoo_sdk.messages import LogEvent, MetricEvent, ProgressEvent


@pytest.fixture
def worker(registry: Registry) -> Iterator[StandInWorker]:
    with stand_in_worker(registry.url, registry.worker_token) as made:
        yield made


@pytest.fixture(scope="module")
def models(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A student and a teacher, sealed."""
    from zoo_client.describing import collect_files, describe_artifacts
    from zoo_client.publishing import Draft, publish

    with Client(registry.url, registry.admin_token) as client:
        made = []
        for seed, name in enumerate(("student", "teacher"), 10):
            folder = tmp_path_factory.mktemp(name)
            (folder / "model.safetensors").write_bytes(safetensors(seed))
            files = collect_files([folder])
            draft = Draft(files=files, artifacts=describe_artifacts(files), seal=True)
            made.append(publish(client, "models", f"{registry.team}/jobs-{name}", draft)["reference"])
    return made[0], made[1]


def submit(admin: Zoo, models: tuple[str, str], *more: str) -> Any:
    student, teacher = models
    words = ["submit", DISTILL.name, "--student", student, "--teacher", f"{teacher}=0.5", "--json", *more]
    found = admin(*words)
    assert found.code == 0, found.err
    return found.json


def test_a_watched_job_shows_its_progress_and_ends_with_its_result(
    admin: Zoo, worker: StandInWorker, registry: Registry, models: tuple[str, str], tmp_path: Path
) -> None:
    job = submit(admin, models, "--param", "temperature=4", "--output", f"{registry.team}/distilled", "--seed", "3")[
        "id"
    ]

    def work() -> None:
        worker.claim(job)
        worker.say(
            job,
            LogEvent(message="hello from the operation"),
            ProgressEvent(done=1, total=2, message="half"),
            MetricEvent(name="loss", value=0.25, step=7),
        )
        (tmp_path / "model.safetensors").write_bytes(safetensors(99))
        worker.finish(job, tmp_path / "model.safetensors")

    thread = threading.Thread(target=work)
    thread.start()
    watched = admin("jobs", "watch", job, "--json")
    thread.join()
    assert watched.code == 0, watched.err
    assert watched.json["result"] == f"{registry.team}/distilled@1"
    assert watched.json["params"]["temperature"] == 4
    assert "hello from the operation" in watched.err
    assert "loss = 0.25 (step 7)" in watched.err
    assert "hello from the operation" in admin("jobs", "logs", job).out
    assert admin("jobs", "show", job, "--json").json["seed"] == 3
    tree = admin("lineage", f"{registry.team}/distilled@1").out
    assert "teacher (0.5)" in tree
    assert f"by {DISTILL.name}" in tree


def test_a_failed_job_is_exit_code_1_with_its_cause_and_can_be_retried_and_cancelled(
    admin: Zoo, client: Client, worker: StandInWorker, models: tuple[str, str]
) -> None:
    job = submit(admin, models)["id"]
    worker.claim(job)
    worker.fail(job, "The loss is not a number.")
    watched = admin("jobs", "watch", job, "--json")
    assert watched.code == 1
    assert watched.json["error"]["facts"]["cause"] == "plugin_error"
    assert "The loss is not a number." in watched.err
    with pytest.raises(JobFailed, match="not a number"):
        client.jobs.wait(job)
    assert admin("jobs", "retry", job, "--json").json["state"] == "queued"
    assert admin("jobs", "retry", job, "--json").code == 1
    assert admin("jobs", "cancel", job, "--json").json["state"] == "cancelled"
    assert job in [row["id"] for row in admin("jobs", "--state", "cancelled", "--json").json["results"]]


def test_the_same_key_answers_the_same_job(admin: Zoo, worker: StandInWorker, models: tuple[str, str]) -> None:
    first = submit(admin, models, "--key", "once")
    assert submit(admin, models, "--key", "once")["id"] == first["id"]


def test_a_job_can_ask_for_gpus_and_says_that_no_worker_has_them(
    admin: Zoo, worker: StandInWorker, models: tuple[str, str]
) -> None:
    job = submit(admin, models, "--gpus", "2")
    assert (job["gpus"], job["queue"]) == (2, "stand.gpu")
    shown = admin("jobs", "show", job["id"])
    words = "a worker that offers stand.distill v1 with 2 GPUs: none that is alive has any"
    assert job["waiting_for"] == words
    assert f"waiting for  {words}" in " ".join(shown.out.split(" "))
    refused = admin("submit", DISTILL.name, "--student", models[0], "--teacher", models[1], "--gpus", "9")
    assert refused.code == 2
    assert "stand.distill can use 4 at most" in refused.err
    assert "0 to 4: --gpus N" in admin("operations", "show", DISTILL.name).out
    assert "GPUs" in admin("workers").out


def test_parameters_of_a_file_are_overridden_by_options(
    admin: Zoo, worker: StandInWorker, models: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "params.json"
    path.write_text('{"temperature": 2, "epochs": 5}')
    params = submit(admin, models, "--params-file", str(path), "--param", "temperature=3")["params"]
    assert (params["temperature"], params["epochs"]) == (3, 5)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--techer", "a/b@1"], 2, "--teacher"),
        (["--param", "temprature=1"], 2, "temperature"),
        (["--param", "temperature=hot"], 2, "number"),
        (["--param", "temperature=-1"], 2, "temperature"),
        (["--student", "zoo/nothing@1", "--teacher", "zoo/nothing@1"], 4, "nothing"),
        (["--student", "zoo/x@1"], 2, "needs the input teacher"),
    ],
)
def test_wrong_submissions_are_refused_with_the_field_and_what_is_allowed(
    admin: Zoo, worker: StandInWorker, models: tuple[str, str], words: list[str], code: int, says: str
) -> None:
    whole = [] if "--student" in words else ["--student", models[0], "--teacher", models[1]]
    found = admin("submit", DISTILL.name, *whole, *words, "--json")
    assert found.code in {code, 2}
    assert says in found.err


def test_an_unknown_operation_names_the_nearest(admin: Zoo, worker: StandInWorker) -> None:
    found = admin("submit", "stand.destill", "--student", "a/b@1", "--json")
    assert found.code == 2
    assert DISTILL.name in found.err


def test_the_operations_help_shows_ports_parameters_defaults_and_bounds(admin: Zoo, worker: StandInWorker) -> None:
    for words in (["submit", DISTILL.name, "--help"], ["operations", "show", DISTILL.name]):
        found = admin(*words)
        assert found.code == 0, found.err
        for text in ("--student", "one or more, REF=WEIGHT", "temperature", "> 0 ≤ 100", "The student."):
            assert text in found.out.replace("\n", " ")
    assert admin("submit", "--help").code == 0
    assert admin("submit").code == 2
    assert DISTILL.name in admin("operations").out
    assert admin("operations", "list", "--json").json["results"][0]["available"] is True


def test_workers_are_listed(admin: Zoo, worker: StandInWorker) -> None:
    assert NAME in admin("workers").out
    assert admin("workers", "--json").json["results"][0]["alive"] is True
