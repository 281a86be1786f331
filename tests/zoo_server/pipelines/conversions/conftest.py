"""A worker with conversions, and a version to convert."""

import pytest

from tests.zoo_server.jobs.scenes import Hands, make_model
from tests.zoo_server.pipelines.conversions.converters import BACK, EXPORT, FAST, QUANTIZE
from zoo_server.accounts.models import Team
from zoo_server.catalog.models import Version


@pytest.fixture
def offers(hands: Hands) -> Hands:
    answer = hands.register(EXPORT, BACK, QUANTIZE, FAST, environment={"gpus": [], "missing_packages": ["fastconv"]})
    assert answer.status_code == 200, answer.content
    return hands


@pytest.fixture
def source(team: Team) -> Version:
    return make_model(team, "net")
