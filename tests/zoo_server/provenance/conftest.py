"""A signing key, and versions with everything that provenance tells about."""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.zoo_server.jobs.scenes import Hands, make_dataset, make_hands, make_model, model_report, safetensors
from zoo_sdk.attestations import Envelope, Statement
from zoo_sdk.vocabulary import Visibility
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version
from zoo_server.jobs.models import Job
from zoo_server.provenance.key_files import is_signed_by
from zoo_server.provenance.models import SigningKey
from zoo_server.provenance.services import attesting
from zoo_server.provenance.services.keys import ensure_key
from zoo_server.rest.principals import SYSTEM

ENVIRONMENT = {
    "worker": "secret-host",
    "python": {"version": "3.11.9"},
    "gpus": [{"name": "H100", "uuid": "GPU-serial"}],
    "distributions": {"zoo-toy": "0.3.0", "numpy": "2.4.6"},
    "plugin": {"name": "zoo-toy", "version": "0.3.0", "sha256": "sha256:" + "5" * 64, "digest_of": "RECORD"},
}


@pytest.fixture
def keys_folder(settings: Any, tmp_path: Path) -> Path:
    """An empty folder for private keys."""
    settings.ZOO_SIGNING_KEYS_DIR = tmp_path / "keys"
    return tmp_path / "keys"


@pytest.fixture
def key(db: None, keys_folder: Path) -> SigningKey:
    """The server's first key."""
    return ensure_key(principal=SYSTEM)


@pytest.fixture
def hands(db: None) -> Hands:
    """A registered worker."""
    hands = make_hands()
    assert hands.register().status_code == 200
    return hands


@dataclass
class Family:
    """A student that a job distilled from a base and a teacher with a data set; ``api`` is its submitter."""

    base: Version
    teacher: Version
    data: Version
    job: Job
    made: Version


@pytest.fixture
def distilled(team: Team, hands: Hands, api: APIClient) -> Callable[..., Family]:
    """Makes a family, all of it attested if there is a key."""

    def making(**visibilities: Visibility) -> Family:
        base, teacher = make_model(team, "base"), make_model(team, "teacher", **visibilities)
        data = make_dataset(team)
        inputs = {
            "student": str(base),
            "teacher": [{"version": str(teacher), "weight": 2.0}],
            "data": str(data),
        }
        body = {"operation": "toy.distill", "inputs": inputs, "outputs": {"model": "vision/slim"}, "seed": 7}
        answer = api.post("/api/v1/jobs", body | {"params": {"epochs": 5}}, format="json")
        assert answer.status_code == 202, answer.content
        job_id = answer.json()["id"]
        assert hands.claim(job_id).status_code == 200
        content = safetensors(2.0)
        digest = hands.upload(job_id, 1, content)
        done = hands.post(job_id, 1, "finish", model_report(digest, sizes=len(content), environment=ENVIRONMENT))
        assert done.json()["state"] == "succeeded", done.content
        attesting.attest_pending()
        return Family(base, teacher, data, Job.objects.get(pk=job_id), Version.objects.get(job_id=job_id))

    return making


def attested(version: Version) -> Version:
    """The version, once the chore has been there."""
    attesting.attest_pending()
    return version


def read(envelope: dict[str, Any], key: SigningKey) -> Statement:
    """The statement in an envelope, whose signature must be by ``key``."""
    parsed = Envelope.model_validate(envelope)
    assert is_signed_by(key.public_key, b64decode(parsed.signatures[0].sig), parsed.signed_bytes)
    return Statement.model_validate(json.loads(parsed.content))
