"""What a running pipeline was given or has made is not deleted: a later step may take it."""

import pytest

from tests.zoo_server.pipelines.conftest import Start
from tests.zoo_server.pipelines.examples import CHAIN
from zoo_sdk.errors import Conflict
from zoo_server.catalog import services
from zoo_server.catalog.models import Deletion, Version
from zoo_server.catalog.selectors.keeping import used_now
from zoo_server.pipelines.services.control import cancel_pipeline
from zoo_server.rest.principals import SYSTEM, Principal

pytestmark = pytest.mark.django_db(transaction=True)


def test_inputs_and_results_of_a_running_pipeline_stay(start: Start, data: Version, principal: Principal) -> None:
    scene = start(CHAIN)
    assert used_now(Version.objects.filter(pk=data.pk)) == {data.pk: f"the running pipeline {scene.id}"}
    with pytest.raises(Conflict, match="is in use by the running pipeline"):
        services.discard_version(principal=SYSTEM, version=data)
    cancel_pipeline(principal=principal, pipeline_id=scene.id)
    services.discard_version(principal=SYSTEM, version=data)
    assert Deletion.objects.filter(version=data).exists()
