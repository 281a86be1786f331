"""The team ``vision`` with a private, an internal and a public model and data set, and everybody who may come along."""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from tests.zoo_server.factories import client_for, make_member, make_team, make_token, make_user
from tests.zoo_server.jobs.scenes import Hands, make_hands, safetensors
from tests.zoo_server.pipelines.examples import CHAIN
from zoo_sdk.artifacts import ArtifactDescription, DatasetDescription
from zoo_sdk.vocabulary import MetricSource, RepositoryKind, TeamRole, Visibility
from zoo_server.accounts.models import Team, User, WebSession
from zoo_server.accounts.service_accounts import create_service
from zoo_server.catalog import services
from zoo_server.catalog.models import Version
from zoo_server.catalog.services.reports import add_report
from zoo_server.pipelines.requests import PipelineRequest
from zoo_server.pipelines.services.starting import start_pipeline
from zoo_server.provenance.services.attesting import attest_pending
from zoo_server.provenance.services.keys import ensure_key
from zoo_server.rest.principals import SYSTEM, Principal
from zoo_server.webhooks.models import Delivery, Webhook
from zoo_server.webhooks.secrets import new_secret, sealed

WEIGHTS = safetensors()
DIGEST = f"sha256:{sha256(WEIGHTS).hexdigest()}"
PATH, SECOND = "model.safetensors", "second.safetensors"
PASSWORD = "correct horse battery"
ACTORS = (
    "anonymous", "stranger", "reader", "contributor", "engineer", "curator", "auditor", "admin", "superuser", "worker",
)  # fmt: skip
"""``stranger`` is the admin of another team; the roles from ``reader`` to ``admin`` are those in ``vision``."""


@dataclass
class Scene:
    """All objects that routes name.  ``versions``: by state, the number that each repository has in it."""

    team: Team
    users: dict[str, User]
    clients: dict[str, APIClient]
    browsers: dict[str, Client]
    hands: Hands
    versions: dict[str, int]
    report: dict[tuple[str, str], UUID]
    token: UUID
    session: UUID
    upload: UUID
    running: str
    queued: str
    failed: str
    pipeline: UUID
    delivery: Delivery

    @property
    def hidden_names(self) -> dict[str, str]:
        """What only members may know of, and for each a name of the same length that nothing has."""
        ids = [
            self.token,
            self.session,
            self.upload,
            self.running,
            self.queued,
            self.failed,
            self.pipeline,
            self.delivery.pk,
            self.delivery.webhook_id,
            *self.report.values(),
        ]
        absent = {str(value): f"00000000-0000-7000-8000-{number:012}" for number, value in enumerate(ids)}
        return absent | {"vision": "nowher", "private": "absentx"}


def make_scene() -> Scene:
    """Build it; the store is that of the settings."""
    ensure_key(principal=SYSTEM)
    team = make_team("vision")
    users = {role.value: make_member(team, role, user=make_user(f"user-{role.value}")) for role in TeamRole}
    users["stranger"] = make_member(make_team("speech"), TeamRole.ADMIN, user=make_user("user-stranger"))
    users["superuser"] = make_user("user-superuser", is_superuser=True)
    hands = make_hands()
    users["worker"] = hands.user
    make_user("ada", password=PASSWORD)
    clients = {"anonymous": APIClient(), "worker": hands.client}
    clients |= {name: client_for(user) for name, user in users.items() if name != "worker"}
    admin = clients["admin"]
    upload_whole(admin, "vision", WEIGHTS)
    owner = Principal(name="user-admin", user_id=users["admin"].pk, scopes=SYSTEM.scopes, is_superuser=True)
    report: dict[tuple[str, str], UUID] = {}
    for kind in RepositoryKind:
        for visibility in Visibility:
            report[kind.value, visibility.value] = make_repository(owner, team, kind, visibility)
    attest_pending()
    assert hands.register().status_code == 200
    jobs = [submit(admin, seed) for seed in (1, 2, 3)]
    for job in (jobs[0], jobs[2]):
        assert hands.claim(job).status_code == 200
    failure = {"cause": "plugin_error", "code": "broken", "message": "It broke."}
    assert hands.post(jobs[2], 1, "fail", failure).status_code == 200
    request = PipelineRequest.model_validate(
        {"recipe": CHAIN, "team": "vision", "inputs": {"data": "vision/private@1"}}
    )
    pipeline, _ = start_pipeline(principal=owner, request=request, idempotency_key=None)
    step = pipeline.steps.exclude(job=None).first()
    assert step is not None
    assert hands.claim(str(step.job_id)).status_code == 200
    opened = admin.post("/api/v1/uploads", {"team": "vision", "size": 4}, format="json")
    create_service(principal=owner, team=team, name="ci", role=TeamRole.READER)
    browsers = {name: browser_of(users.get(name)) for name in ACTORS}
    return Scene(
        team=team,
        users=users,
        clients=clients,
        browsers=browsers,
        hands=hands,
        versions={"candidate": 1, "draft": 2, "approved": 3, "plain": 4, "deleted": 5},
        report=report,
        token=make_token(users["admin"])[0].pk,
        session=WebSession.objects.get(user=users["admin"]).pk,
        upload=UUID(opened.json()["id"]),
        running=jobs[0],
        queued=jobs[1],
        failed=jobs[2],
        pipeline=pipeline.pk,
        delivery=make_delivery(team),
    )


def make_delivery(team: Team) -> Delivery:
    """A message that a webhook of the team was told."""
    webhook = Webhook.objects.create(team=team, url="https://93.184.215.14/", events=["*"], secret=sealed(new_secret()))
    return Delivery.objects.create(
        webhook=webhook, message="msg_1", type="job.failed", body="{}", state="delivered", due_at=timezone.now()
    )


def upload_whole(client: APIClient, team: str, content: bytes) -> None:
    """Let the team hold the bytes."""
    opened = client.post("/api/v1/uploads", {"team": team, "size": len(content)}, format="json").json()
    sent = client.generic(
        "PATCH",
        f"/api/v1/uploads/{opened['id']}",
        content,  # type: ignore[arg-type]  # the stubs say text
        content_type="application/offset+octet-stream",
        headers={"Upload-Offset": "0", "Upload-Checksum": f"sha256 {b64encode(sha256(content).digest()).decode()}"},
    )
    assert sent.status_code == 204, sent.content
    done = client.post(f"/api/v1/uploads/{opened['id']}/complete", {"sha256": DIGEST}, format="json")
    assert done.status_code == 200, done.content


def make_repository(owner: Principal, team: Team, kind: RepositoryKind, visibility: Visibility) -> UUID:
    """``vision/<visibility>``: version 1 a candidate with everything, 2 a draft, 3 approved, 4 plain, 5 deleted."""
    repository = services.create_repository(
        principal=owner, team=team, kind=kind, name=visibility.value, visibility=visibility, task="image-classification"
    )
    first = make_version(owner, repository)
    services.seal_version(principal=owner, version=first)
    services.set_alias(principal=owner, version=first, name="stable")
    services.add_metric(principal=owner, version=first, name="top1", value=71.0, source=MetricSource.REPORTED)
    report = add_report(principal=owner, version=first, kind="benchmark", content={"runs": 1}, job_id=first.pk)
    make_version(owner, repository)
    third = services.seal_version(principal=owner, version=make_version(owner, repository))
    services.approve_version(principal=owner, version=third)
    services.seal_version(principal=owner, version=make_version(owner, repository))
    fifth = services.seal_version(principal=owner, version=make_version(owner, repository))
    services.discard_version(principal=owner, version=fifth)
    return report.pk


def make_version(owner: Principal, repository: Any) -> Version:
    """A draft with two files, one of them an artifact."""
    is_data = repository.kind == RepositoryKind.DATASET
    splits = {"train": {"folder": ""}, "test": {"folder": ""}}
    dataset = DatasetDescription(format="image-folder", classes=("a", "b"), splits=splits) if is_data else None
    version = services.create_version(principal=owner, repository=repository, dataset=dataset)
    for path in (PATH, SECOND):
        services.add_held_file(principal=owner, version=version, path=path, sha256=DIGEST)
    if not is_data:
        description = ArtifactDescription(format="safetensors", files=(PATH,))
        services.add_artifact(principal=owner, version=version, description=description)
    return version


def submit(client: APIClient, seed: int) -> str:
    """A queued job on the private data set."""
    body = {"operation": "toy.train", "inputs": {"data": "vision/private@1"}, "outputs": {"model": "vision/made"}}
    answer = client.post("/api/v1/jobs", body | {"seed": seed}, format="json")
    assert answer.status_code == 202, answer.content
    return str(answer.json()["id"])


def browser_of(user: User | None) -> Client:
    """A browser in which the user is signed in."""
    client = Client()
    if user is not None:
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client
