"""Workers make themselves and their operations known."""

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_user
from tests.zoo_server.jobs import manifests
from tests.zoo_server.jobs.scenes import WORKER, Hands, make_hands
from zoo_sdk.messages import RegistrationReply
from zoo_sdk.vocabulary import Scope
from zoo_server.audit.models import AuditEvent
from zoo_server.jobs.models import Operation, Worker

pytestmark = pytest.mark.django_db


def test_a_worker_and_its_operations_become_known() -> None:
    hands = make_hands()
    answer = hands.register(environment={"python": "3.11"})
    reply = RegistrationReply.model_validate(answer.json())
    assert (reply.lease_seconds, reply.heartbeat_seconds) == (60, 20)
    worker = Worker.objects.get(pk=reply.worker_id)
    assert (worker.name, worker.queues, worker.environment) == ("box-1", ["toy.cpu"], {"python": "3.11"})
    assert set(worker.operations.values_list("name", flat=True)) == {item.name for item in manifests.ALL}
    assert Operation.objects.get(name="toy.train").digest == manifests.TRAIN.digest


def test_registering_again_changes_nothing_but_the_last_sign_of_life(hands: Hands) -> None:
    before = Worker.objects.get()
    assert hands.register().status_code == 200
    after = Worker.objects.get()
    assert after.pk == before.pk
    assert after.last_seen_at > before.last_seen_at
    assert AuditEvent.objects.filter(action="worker.registered").count() == 1


def test_an_operation_that_is_no_longer_offered_is_taken_from_the_worker(hands: Hands) -> None:
    hands.register(manifests.EVALUATE)
    assert [item.name for item in Worker.objects.get().operations.all()] == ["toy.evaluate"]


def test_the_same_version_with_another_manifest_is_a_clash_that_names_both(hands: Hands) -> None:
    other = manifests.TRAIN.model_copy(update={"summary": "Something else."})
    answer = make_hands("box-2").register(other)
    assert (answer.status_code, answer.json()["code"]) == (409, "operation-clash")
    facts = answer.json()["facts"]
    assert (facts["known"], facts["offered"]) == (manifests.TRAIN.digest, other.digest)
    assert (facts["operation"], facts["version"]) == ("toy.train", 1)
    assert not Worker.objects.filter(name="box-2").exists()


def test_another_protocol_is_refused() -> None:
    answer = make_hands().register(protocol=2)
    assert answer.status_code == 422
    assert "protocol" in answer.json()["detail"]


@pytest.mark.parametrize(
    "schema", [{"type": "array"}, {"type": "object", "properties": {"a": {"type": "nothing"}}}, {"type": 3}]
)
def test_a_parameter_schema_that_is_none_is_refused(schema: dict[str, object]) -> None:
    answer = make_hands().register(manifests.manifest("toy.odd", params_schema=schema))
    assert answer.status_code == 422
    assert "toy.odd" in answer.json()["detail"]
    assert not Operation.objects.exists()


def test_a_worker_of_another_user_cannot_take_the_name(hands: Hands) -> None:
    thief = make_hands(hands.name, user=make_user("thief"))
    answer = thief.register()
    assert (answer.status_code, answer.json()["code"]) == (409, "worker-name-taken")
    assert Worker.objects.get().user == hands.user


def test_a_token_without_the_scope_worker_is_refused(superuser_api: APIClient, api: APIClient) -> None:
    everything_else = client_for(make_user("all"), [scope for scope in Scope if scope is not Scope.WORKER])
    for client in (superuser_api, api, everything_else):
        answer = client.post(f"{WORKER}/register", {"name": "x", "queues": [], "operations": []}, format="json")
        assert answer.status_code == 403
    assert APIClient().post(f"{WORKER}/register", {}, format="json").status_code in {401, 403}


def test_unknown_keys_of_a_registration_are_refused() -> None:
    assert make_hands().register(colour="red").status_code == 422
