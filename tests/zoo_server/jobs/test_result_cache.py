"""The result cache: what counts as the same work, who may take a result, and that nothing runs for a hit."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.factories import client_for, make_member, make_team, principal_for
from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import (
    JOBS,
    Hands,
    digest_of,
    failure,
    job_now,
    make_blob,
    make_dataset,
    make_hands,
    make_model,
    model_report,
    owner_of,
    safetensors,
)
from zoo_sdk.artifacts import ArtifactDescription, Preprocessing
from zoo_sdk.vocabulary import RepositoryKind, Visibility
from zoo_server.accounts.models import Team, User
from zoo_server.audit.models import AuditEvent
from zoo_server.catalog import services as catalog
from zoo_server.catalog.models import Metric, Repository, Version
from zoo_server.jobs.models import Job, JobAttempt, JobDispatch, Worker
from zoo_server.jobs.requests import JobSubmission
from zoo_server.jobs.result_cache import cached_results
from zoo_server.jobs.selectors import measurements_of
from zoo_server.jobs.services.clock import in_seconds
from zoo_server.jobs.services.submission import cached_result, plan_submission
from zoo_server.rest.principals import SYSTEM, Principal

pytestmark = pytest.mark.django_db
WEIGHTS = safetensors(3.0)
HERE, THERE = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
Run = Callable[..., str]


def register(hands: Hands, digest: str = HERE, *operations: Any) -> None:
    names = [item.name for item in operations or manifests.ALL]
    answer = hands.register(*operations, environment_digests=dict.fromkeys(names, digest))
    assert answer.status_code == 200, answer.content


@pytest.fixture
def run(submit: Submit, hands: Hands) -> Run:
    """Submit a job that must run, and let the worker finish it; answers its id."""
    register(hands)

    def ran(operation: str = "toy.train", *, digest: str | None = HERE, **changes: Any) -> str:
        job = submit(operation, **changes).json()
        assert (job["state"], job["cached_from"]) == ("queued", None)
        assert hands.claim(job["id"]).status_code == 200
        report = model_report(hands.upload(job["id"], 1, WEIGHTS), sizes=len(WEIGHTS), environment_digest=digest)
        if operation == "toy.evaluate":
            report["outputs"] = {}
        assert hands.post(job["id"], 1, "finish", report).json()["state"] == "succeeded"
        return str(job["id"])

    return ran


def is_hit(answer: Any) -> bool:
    assert answer.status_code == 202, answer.content
    return answer.json()["cached_from"] is not None


def test_equal_work_takes_the_finished_version_and_runs_nothing(
    run: Run, submit: Submit, broker: Any, django_capture_on_commit_callbacks: Any, api: APIClient
) -> None:
    first = run()
    broker.flushall()
    with django_capture_on_commit_callbacks(execute=True):
        answer = submit()
    job = answer.json()
    assert (job["state"], job["cached_from"], job["result"]) == ("succeeded", first, "vision/made@1")
    assert (job["attempt"], job["started_at"], job["owner"]) == (0, None, None)
    assert job["finished_at"] is not None
    assert not JobDispatch.objects.filter(job_id=job["id"]).exists()
    assert not JobAttempt.objects.filter(job_id=job["id"]).exists()
    assert broker.keys("*") == []
    assert Version.objects.filter(repository__name="made").count() == 1
    event = AuditEvent.objects.get(action="job.reused")
    assert event.details == {"from": first, "result": "vision/made@1"}
    listed = api.get(JOBS).json()["results"]
    assert [(row["cached_from"], row["result"]) for row in listed] == [
        (first, "vision/made@1"),
        (None, "vision/made@1"),
    ]


def test_another_target_gets_a_version_of_its_own_that_says_where_it_is_from(
    run: Run, submit: Submit, api: APIClient, base: Version
) -> None:
    inputs = {"data": "vision/pictures@1", "init": "vision/base@1"}
    first = run(inputs=inputs)
    job = submit(inputs=inputs, outputs={"model": "vision/other"}).json()
    assert (job["state"], job["cached_from"], job["result"]) == ("succeeded", first, "vision/other@1")
    made = api.get("/api/v1/models/vision/made/versions/1").json()
    copy = api.get("/api/v1/models/vision/other/versions/1").json()
    assert (copy["state"], copy["job"]) == ("candidate", job["id"])
    for part in ("files", "artifacts", "strategy"):
        assert copy[part] == made[part]
    assert copy["strategy"][-1]["job"] == first
    edges = {(item["role"], item["reference"]) for item in copy["parents"]}
    assert edges == {(item["role"], item["reference"]) for item in made["parents"]} | {("reused_from", "vision/made@1")}
    (metric,), (original,) = copy["metrics"], made["metrics"]
    facts = ("name", "value", "source", "dataset", "split", "artifact", "runtime", "job")
    assert [metric[name] for name in facts] == [original[name] for name in facts]
    assert metric["details"] == {"reused_by": job["id"]}
    assert is_hit(submit(inputs=inputs, outputs={"model": "vision/other"}))
    assert Version.objects.filter(repository__name="other").count() == 2, "a copy is not the origin of further copies"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"params": {"epochs": 4}},
        {"inputs": {"data": "vision/others@1"}},
        {"inputs": {"data": "vision/pictures@1", "init": "vision/base@1"}},
    ],
)
def test_other_seed_parameters_or_inputs_are_other_work(
    run: Run, submit: Submit, team: Team, base: Version, changes: dict[str, Any]
) -> None:
    make_dataset(team, "others")
    run()
    assert not is_hit(submit(**changes))


def test_defaults_and_ways_to_write_a_number_make_no_difference(run: Run, submit: Submit) -> None:
    run(params={"temperature": 4})
    assert is_hit(submit())
    assert is_hit(submit(params={"temperature": 4.0, "epochs": 3}))


def test_the_weights_of_teachers_and_their_order_are_part_of_the_work(
    run: Run, submit: Submit, team: Team, base: Version, teacher: Version
) -> None:
    make_model(team, "second")

    def inputs(*teachers: tuple[str, float]) -> dict[str, Any]:
        named = [{"version": f"vision/{name}@1", "weight": weight} for name, weight in teachers]
        return {"student": "vision/base@1", "teacher": named, "data": "vision/pictures@1"}

    run("toy.distill", inputs=inputs(("teacher", 0.5), ("second", 0.25)))
    assert is_hit(submit("toy.distill", inputs=inputs(("teacher", 0.5), ("second", 0.25))))
    assert not is_hit(submit("toy.distill", inputs=inputs(("teacher", 0.5), ("second", 0.5))))
    assert not is_hit(submit("toy.distill", inputs=inputs(("second", 0.25), ("teacher", 0.5))))


def copy_of(source: Version, team: Team, name: str, **changes: Any) -> Version:
    """A model with the same bytes, described as ``changes`` say."""
    owner = owner_of(team)
    repository = catalog.create_repository(principal=owner, team=team, kind=RepositoryKind.MODEL, name=name)
    version = catalog.create_version(principal=owner, repository=repository)
    for file in source.files.select_related("blob"):
        catalog.add_file(principal=owner, version=version, path=file.path, blob=file.blob)
    description = ArtifactDescription(
        name="model", format="safetensors", files=tuple(file.path for file in source.files.all()), **changes
    )
    catalog.add_artifact(principal=owner, version=version, description=description)
    return catalog.seal_version(principal=owner, version=version)


def test_the_same_bytes_under_another_name_are_the_same_input(
    run: Run, submit: Submit, api: APIClient, base: Version, team: Team
) -> None:
    copy_of(base, team, "twin")
    run(inputs={"data": "vision/pictures@1", "init": "vision/base@1"})
    inputs = {"data": "vision/pictures@1", "init": "vision/twin@1"}
    assert is_hit(submit(inputs=inputs, outputs={"model": "vision/other"}))
    copy = api.get("/api/v1/models/vision/other/versions/1").json()
    assert ("initialised_from", "vision/twin@1") in {(item["role"], item["reference"]) for item in copy["parents"]}


def test_the_same_bytes_with_other_preprocessing_are_another_input(
    run: Run, submit: Submit, base: Version, team: Team
) -> None:
    copy_of(base, team, "twin", preprocessing=Preprocessing(crop=(32, 32), label_offset=1))
    run(inputs={"data": "vision/pictures@1", "init": "vision/base@1"})
    assert not is_hit(submit(inputs={"data": "vision/pictures@1", "init": "vision/twin@1"}))


def test_a_result_of_another_environment_is_not_taken(run: Run, submit: Submit, hands: Hands) -> None:
    run()
    register(hands, THERE)
    assert not is_hit(submit())
    register(make_hands("box-2"), HERE)
    assert is_hit(submit()), "one worker would give that result"


def test_a_worker_that_is_gone_says_nothing_about_new_runs(run: Run, submit: Submit) -> None:
    run()
    Worker.objects.update(last_seen_at=in_seconds(-3500))
    assert is_hit(submit())
    Worker.objects.update(last_seen_at=in_seconds(-3700))
    assert not is_hit(submit())


def test_a_worker_that_does_not_know_its_environment_leaves_nothing_in_the_cache(run: Run, submit: Submit) -> None:
    run(digest=None)
    assert not is_hit(submit())


def test_a_failure_is_never_taken(submit: Submit, hands: Hands) -> None:
    register(hands)
    job = submit().json()["id"]
    hands.claim(job)
    hands.post(job, 1, "fail", failure())
    assert job_now(job).state == "failed"
    assert not is_hit(submit())


def test_an_operation_that_is_not_deterministic_runs_every_time(submit: Submit, hands: Hands, data: Version) -> None:
    moody = manifests.TRAIN.model_copy(update={"name": "toy.moody", "deterministic": False})
    register(hands, HERE, moody)
    body = {"inputs": {"data": "vision/pictures@1"}, "outputs": {"model": "vision/made"}}
    job = submit("toy.moody", **body).json()["id"]
    hands.claim(job)
    report = model_report(hands.upload(job, 1, WEIGHTS), sizes=len(WEIGHTS), environment_digest=HERE)
    assert hands.post(job, 1, "finish", report).json()["state"] == "succeeded"
    assert not is_hit(submit("toy.moody", **body))
    assert job_now(job).cache_key == ""


def test_another_manifest_of_the_operation_is_other_work(run: Run, submit: Submit, hands: Hands) -> None:
    run()
    newer = manifests.TRAIN.model_copy(update={"version": 2})
    register(hands, HERE, newer)
    assert not is_hit(submit())


def test_refresh_runs_and_its_result_is_the_one_that_is_taken_from_then_on(run: Run, submit: Submit) -> None:
    first = run()
    second = run(cache="refresh")
    assert submit().json()["cached_from"] == second != first


def test_off_neither_takes_a_result_nor_leaves_one(run: Run, submit: Submit) -> None:
    run(cache="off")
    assert not is_hit(submit())
    run(cache="refresh")
    assert not is_hit(submit(cache="off"))
    assert submit(cache="sometimes").status_code == 422


def test_a_result_in_the_target_is_preferred_to_a_newer_one_elsewhere(run: Run, submit: Submit) -> None:
    home = run()
    run(cache="refresh", outputs={"model": "vision/elsewhere"})
    job = submit().json()
    assert (job["cached_from"], job["result"]) == (home, "vision/made@1")


def test_a_withdrawn_version_is_not_taken(run: Run, submit: Submit, principal: Principal) -> None:
    run()
    catalog.withdraw_version(principal=principal, version=Version.objects.get(repository__name="made"))
    assert not is_hit(submit())


def other_teams(run: Run, visibility: Visibility) -> APIClient:
    """A result of team vision, and an engineer of another team."""
    run()
    Repository.objects.filter(name="made").update(visibility=visibility)
    return client_for(make_member(make_team("audio")))


BODY = {"operation": "toy.train", "inputs": {"data": "vision/pictures@1"}, "outputs": {"model": "audio/made"}}


def test_what_the_submitter_may_not_read_is_a_miss_without_a_word(run: Run, hands: Hands) -> None:
    audio = other_teams(run, Visibility.PRIVATE)
    job = audio.post(JOBS, BODY, format="json").json()
    assert (job["state"], job["cached_from"], job["result"]) == ("queued", None, None)


def test_another_teams_result_is_taken_where_it_may_be_read(run: Run, hands: Hands) -> None:
    audio = other_teams(run, Visibility.INTERNAL)
    job = audio.post(JOBS, BODY, format="json").json()
    assert (job["state"], job["result"]) == ("succeeded", "audio/made@1")
    (file,) = audio.get("/api/v1/models/audio/made/versions/1").json()["files"]
    assert audio.head("/api/v1/models/audio/made/versions/1/files/model.safetensors").status_code == 200
    assert file["sha256"] == digest_of(WEIGHTS)


def test_an_equal_evaluation_has_its_measurements_already(
    run: Run, submit: Submit, base: Version, api: APIClient
) -> None:
    inputs = {"model": "vision/base@1", "data": "vision/pictures@1"}
    first = run("toy.evaluate", inputs=inputs)
    job = submit("toy.evaluate", inputs=inputs).json()
    assert (job["state"], job["cached_from"], job["result"]) == ("succeeded", first, None)
    assert Metric.objects.count() == 1
    both = Job.objects.select_related("operation")
    found = measurements_of(both)
    assert [[metric.value for metric in metrics] for metrics in found.values()] == [[91.5], [91.5]]


def test_an_evaluation_of_the_same_weights_elsewhere_gets_copies_once(
    run: Run, submit: Submit, base: Version, team: Team, api: APIClient
) -> None:
    twin = copy_of(base, team, "twin")
    first = run("toy.evaluate", inputs={"model": "vision/base@1", "data": "vision/pictures@1"})
    catalog.add_report(
        principal=SYSTEM, version=base, kind="classification", content={"samples": 4}, job_id=UUID(first)
    )
    inputs = {"model": "vision/twin@1", "data": "vision/pictures@1"}
    job = submit("toy.evaluate", inputs=inputs).json()
    assert job["cached_from"] == first
    (copied,) = twin.reports.all()
    assert (copied.content, str(copied.job_id)) == ({"samples": 4}, first)
    assert is_hit(submit("toy.evaluate", inputs=inputs))
    (metric,) = api.get("/api/v1/models/vision/twin/versions/1").json()["metrics"]
    assert (metric["value"], metric["job"], metric["artifact"]) == (91.5, first, "weights/model.safetensors")
    (found,) = measurements_of(Job.objects.filter(pk=job["id"]).select_related("operation"))[job_now(job["id"]).pk]
    assert found.version_id == twin.pk


def test_a_cached_job_cannot_be_cancelled_or_tried_again(run: Run, submit: Submit, api: APIClient) -> None:
    run()
    job = submit().json()["id"]
    assert api.post(f"{JOBS}/{job}/cancel").status_code == 409
    assert api.post(f"{JOBS}/{job}/retry").status_code == 409


def test_the_same_idempotency_key_answers_the_same_cached_job(run: Run, submit: Submit) -> None:
    run()
    first, second = submit(key="once"), submit(key="once")
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]


def test_a_plan_asks_without_submitting(run: Run, principal: Principal) -> None:
    submission = JobSubmission(
        operation="toy.train", inputs={"data": "vision/pictures@1"}, outputs={"model": "vision/new"}
    )
    assert cached_result(principal=principal, submission=submission) is None
    first = run()
    found = cached_result(principal=principal, submission=submission)
    assert found is not None
    assert (str(found.job_id), str(found.version), found.measured) == (first, "vision/made@1", None)
    assert found.seconds is not None
    assert Job.objects.count() == 1


@pytest.mark.parametrize("total", [3, 30])
def test_looking_up_many_works_costs_the_same_at_3_and_at_30(
    run: Run, member: User, base: Version, count_queries: QueryCounter, total: int
) -> None:
    principal = principal_for(member)
    run("toy.evaluate", inputs={"model": "vision/base@1", "data": "vision/pictures@1"})
    run()
    submissions = [
        JobSubmission(operation="toy.evaluate", inputs={"model": "vision/base@1", "data": "vision/pictures@1"}),
        *(
            JobSubmission(
                operation="toy.train",
                inputs={"data": "vision/pictures@1", **({"init": "vision/base@1"} if seed else {})},
                outputs={"model": "vision/made"},
                seed=seed,
            )
            for seed in range(total - 1)
        ),
    ]
    works = [plan_submission(principal=principal, submission=item).work for item in submissions]
    with count_queries("cached-results"):
        found = cached_results(principal=principal, works=works)
    assert [item is not None for item in found] == [True, True] + [False] * (total - 2)


def test_the_look_up_by_key_uses_its_index(run: Run) -> None:
    run()
    rows = Job.objects.filter(cache_key__in=[HERE], state="succeeded").exclude(cache_key="")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        assert "job_by_cache_key" in rows.explain()


def test_a_data_sets_files_are_part_of_the_work_in_any_number(
    run: Run, submit: Submit, team: Team, principal: Principal
) -> None:
    owner = owner_of(team)
    first = make_dataset(team, "grown")
    second = catalog.create_version(principal=owner, repository=first.repository)
    catalog.update_version(principal=owner, version=second)
    for path in ("images", "labels", *(f"more/{number}" for number in range(20))):
        catalog.add_file(principal=owner, version=second, path=path, blob=make_blob(f"vision grown {path}", "idx"))
    Version.objects.filter(pk=second.pk).update(dataset=first.dataset)
    catalog.seal_version(principal=owner, version=Version.objects.get(pk=second.pk))
    run(inputs={"data": "vision/grown@1"})
    assert is_hit(submit(inputs={"data": "vision/grown@1"}))
    assert not is_hit(submit(inputs={"data": "vision/grown@2"}))
