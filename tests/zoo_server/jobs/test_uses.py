"""What a job that has not ended takes is not deleted, and what is deleted no job takes."""

import pytest

from zoo_sdk.errors import Conflict
from zoo_server.catalog import services
from zoo_server.catalog.models import Deletion, Version
from zoo_server.jobs.services.outcomes import cancel_job
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import Submit


def test_an_input_of_an_unfinished_job_stays(queued: str, data: Version, principal: Principal) -> None:
    with pytest.raises(Conflict, match=f"is in use by the queued job {queued}") as caught:
        services.discard_version(principal=SYSTEM, version=data)
    assert "cancel it" in caught.value.hint
    cancel_job(principal=principal, job_id=queued)
    services.discard_version(principal=SYSTEM, version=data)
    assert Deletion.objects.filter(version=data).exists()


def test_no_job_takes_what_is_deleted(submit: Submit, data: Version) -> None:
    services.discard_version(principal=SYSTEM, version=data)
    refused = submit()
    assert refused.status_code == 422
    (fault,) = refused.json()["errors"]
    assert (fault["field"], fault["message"]) == ("inputs.data", f"{data} is deleted")
    services.restore_version(principal=SYSTEM, version=data)
    assert submit().status_code == 202
