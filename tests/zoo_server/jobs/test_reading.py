"""Reading jobs, operations and workers: who sees what, and at which cost."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.conftest import QueryCounter
from tests.zoo_server.factories import client_for, make_member, make_team
from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.conftest import Submit
from tests.zoo_server.jobs.scenes import JOBS, WORKER, Hands, failure, make_hands, make_model
from zoo_sdk.vocabulary import TeamRole
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job, JobEvent, Worker
from zoo_server.jobs.services.clock import in_seconds

pytestmark = pytest.mark.django_db
API = "/api/v1"


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [item["id"] for item in answer.json()["results"]]


def test_jobs_are_shown_to_the_teams_members_and_superusers_only(
    running: str, team: Team, stranger_api: APIClient, superuser_api: APIClient, hands: Hands
) -> None:
    reader = client_for(make_member(team, TeamRole.READER))
    for path in ("", "/events", "/attempts"):
        assert reader.get(f"{JOBS}/{running}{path}").status_code == 200
        assert superuser_api.get(f"{JOBS}/{running}{path}").status_code == 200
        assert stranger_api.get(f"{JOBS}/{running}{path}").status_code == 404
        assert APIClient().get(f"{JOBS}/{running}{path}").status_code == 404
        assert hands.client.get(f"{JOBS}/{running}{path}").status_code == 403
    assert ids(reader.get(JOBS)) == ids(superuser_api.get(JOBS)) == [running]
    assert ids(stranger_api.get(JOBS)) == ids(APIClient().get(JOBS)) == []


def test_jobs_are_filtered_and_paged_newest_first(submit: Submit, hands: Hands, api: APIClient, base: Version) -> None:
    jobs = [submit(seed=seed).json()["id"] for seed in range(4)]
    other = submit("toy.evaluate", inputs={"model": str(base), "data": "vision/pictures@1"}).json()["id"]
    hands.claim(jobs[1])
    assert ids(api.get(JOBS)) == [other, *reversed(jobs)]
    assert ids(api.get(JOBS, {"state": "running"})) == [jobs[1]]
    assert ids(api.get(JOBS, {"operation": "toy.evaluate"})) == [other]
    assert ids(api.get(JOBS, {"team": "audio"})) == []
    first = api.get(JOBS, {"limit": 3})
    second = api.get(JOBS, {"limit": 3, "cursor": first.json()["next"]})
    assert ids(first) + ids(second) == [other, *reversed(jobs)]
    assert second.json()["next"] is None


@pytest.mark.parametrize(
    "query", [{"state": "sleeping"}, {"limit": 0}, {"colour": "red"}, {"team": "a b"}, {"operation": "a\x00"}]
)
def test_a_wrong_filter_is_422(api: APIClient, query: dict[str, Any]) -> None:
    assert api.get(JOBS, query).status_code == 422


@pytest.mark.parametrize(
    "query", [{"after": "x"}, {"after": -1}, {"after": "9" * 30}, {"kind": "poem"}, {"limit": 5000}]
)
def test_a_wrong_question_for_events_is_422(running: str, api: APIClient, query: dict[str, Any]) -> None:
    assert api.get(f"{JOBS}/{running}/events", query).status_code == 422


def test_operations_are_listed_with_manifest_and_who_offers_them(hands: Hands, api: APIClient) -> None:
    newer = manifests.TRAIN.model_copy(update={"version": 2})
    make_hands("box-2").register(newer)
    found = {item["name"]: item for item in api.get(f"{API}/operations").json()["results"]}
    assert set(found) == {item.name for item in manifests.ALL}
    assert (found["toy.train"]["version"], found["toy.train"]["workers"]) == (2, ["box-2"])
    assert found["toy.train"]["available"] is True
    assert found["toy.train"]["manifest"]["params_schema"] == manifests.TRAIN_SCHEMA
    one = api.get(f"{API}/operations/toy.evaluate").json()
    assert (one["workers"], one["queue"]) == (["box-1"], "toy.cpu")
    assert APIClient().get(f"{API}/operations/toy.evaluate").json()["workers"] == []


def test_an_unknown_operation_is_404_with_the_nearest(hands: Hands, api: APIClient) -> None:
    answer = api.get(f"{API}/operations/toy.trian")
    assert answer.status_code == 404
    assert "toy.train" in answer.json()["hint"]


def test_a_silent_worker_is_not_alive(hands: Hands, api: APIClient) -> None:
    assert api.get(f"{API}/workers").json()["results"][0]["alive"] is True
    Worker.objects.update(last_seen_at=in_seconds(-121))
    worker = api.get(f"{API}/workers").json()["results"][0]
    assert (worker["name"], worker["alive"], worker["queues"]) == ("box-1", False, ["toy.cpu"])
    assert api.get(f"{API}/operations/toy.train").json()["available"] is False


def test_a_workers_job_is_shown_to_those_who_may_see_it(running: str, api: APIClient, stranger_api: APIClient) -> None:
    mine = api.get(f"{API}/workers").json()["results"][0]
    assert (mine["busy"], mine["running"]) == (1, [{"id": running, "operation": "toy.train"}])
    others = stranger_api.get(f"{API}/workers").json()["results"][0]
    assert (others["busy"], others["running"]) == (1, [])
    assert APIClient().get(f"{API}/workers").status_code in {401, 403}


def many(submit: Submit, hands: Hands, count: int) -> None:
    for seed in range(count):
        job = submit(seed=seed, inputs={"data": "vision/pictures@1", "init": "vision/base@1"}).json()["id"]
        hands.claim(job)
        hands.post(job, 1, "fail", failure())


def test_listing_jobs_costs_the_same_at_3_and_at_30(
    submit: Submit, hands: Hands, api: APIClient, base: Version, count_queries: QueryCounter
) -> None:
    many(submit, hands, 3)
    with count_queries("job-list"):
        assert len(ids(api.get(JOBS))) == 3
    many(submit, hands, 27)
    with count_queries("job-list"):
        assert len(ids(api.get(JOBS))) == 30


def test_listing_workers_and_operations_costs_the_same_at_3_and_at_30(
    hands: Hands, api: APIClient, count_queries: QueryCounter
) -> None:
    for total in (3, 30):
        for number in range(Worker.objects.count(), total):
            make_hands(f"more-{number}").register(manifests.manifest(f"toy.more{number}"), *manifests.ALL)
        with count_queries("worker-list"):
            assert len(api.get(f"{API}/workers").json()["results"]) == total
        with count_queries("operation-list"):
            assert len(api.get(f"{API}/operations").json()["results"]) >= total


def test_events_and_attempts_cost_the_same_at_3_and_at_30(
    running: str, api: APIClient, count_queries: QueryCounter
) -> None:
    job = Job.objects.get(pk=running)
    for total in (3, 30):
        for number in range(JobEvent.objects.count(), total):
            body = {"message": "x"}
            JobEvent.objects.create(job=job, attempt=1, number=number + 1, time=job.created_at, kind="log", body=body)
        for number in range(job.attempts.count(), total):
            job.attempts.create(number=number + 1, worker_name="box")
        with count_queries("job-events"):
            assert len(api.get(f"{JOBS}/{running}/events").json()["results"]) == total
        with count_queries("job-attempts"):
            assert len(api.get(f"{JOBS}/{running}/attempts").json()["results"]) == total


def test_a_job_and_a_claim_cost_the_same_with_1_and_with_20_teachers(
    submit: Submit, hands: Hands, api: APIClient, base: Version, team: Team, count_queries: QueryCounter
) -> None:
    names = [str(make_model(team, f"teacher-{number}")) for number in range(20)]
    for teachers in (names[:1], names):
        inputs = {"student": "vision/base@1", "teacher": teachers, "data": "vision/pictures@1"}
        job = submit("toy.distill", inputs=inputs).json()["id"]
        with count_queries("worker-claim"):
            assert hands.claim(job).status_code == 200
        with count_queries("job-detail"):
            assert len(api.get(f"{JOBS}/{job}").json()["inputs"]) == len(teachers) + 2


def test_a_heartbeat_and_a_batch_of_events_cost_a_fixed_number_of_queries(
    running: str, hands: Hands, count_queries: QueryCounter
) -> None:
    with count_queries("worker-heartbeat"):
        hands.post(running, 1, "heartbeat")
    time = "2026-01-01T00:00:00Z"
    for start, size in ((1, 3), (100, 300)):
        batch = [
            {"number": number, "time": time, "body": {"kind": "log", "message": "x"}}
            for number in range(start, start + size)
        ]
        with count_queries("worker-events"):
            assert hands.post(running, 1, "events", {"events": batch}).status_code == 204


def test_registering_again_costs_a_fixed_number_of_queries(hands: Hands, count_queries: QueryCounter) -> None:
    more = [manifests.manifest(f"toy.more{number}") for number in range(30)]
    hands.register(*more)
    with count_queries("worker-register"):
        assert hands.register(*more).status_code == 200
    hands.register(*more[:3])
    with count_queries("worker-register"):
        assert hands.register(*more[:3]).status_code == 200


def test_a_team_that_is_new_sees_no_job_of_others(running: str) -> None:
    other = client_for(make_member(make_team("audio"), TeamRole.ADMIN))
    assert ids(other.get(JOBS)) == []
    assert other.post(f"{JOBS}/{running}/cancel").status_code == 404


def test_unknown_routes_of_an_attempt_are_404(running: str, hands: Hands) -> None:
    assert hands.client.post(f"{WORKER}/jobs/{running}/attempts/x/heartbeat").status_code == 404
    assert hands.client.post(f"{WORKER}/jobs/nonsense/claim").status_code == 404
