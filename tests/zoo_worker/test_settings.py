"""The worker's settings."""

import pytest

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_worker.settings import read_settings


def test_an_unknown_variable_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="ZOO_WORKER_TOKEN"):
        read_settings({"ZOO_WORKER_TOKN": "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZOO_WORKER_CACHE_GIB", "much"),
        ("ZOO_WORKER_CACHE_GIB", "-1"),
        ("ZOO_WORKER_CACHE_GIB", "nan"),
        ("ZOO_WORKER_SHARED_CACHE_GIB", "0"),
        ("ZOO_WORKER_QUEUES", "torch"),
        ("ZOO_WORKER_QUEUES", " , "),
        ("ZOO_WORKER_NAME", "two words"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        read_settings({name: value})


def test_the_defaults_are_one_queue_per_installed_plugin_group_and_a_telling_name() -> None:
    settings = read_settings({})
    assert "example.cpu" in settings.queues
    assert "example" in settings.name
    assert settings.cache_bytes == 20 * 2**30
    assert settings.shared_cache_bytes == 10 * 2**30


def test_secrets_are_not_shown() -> None:
    text = repr(read_settings({"ZOO_WORKER_TOKEN": "zoo_secret", "ZOO_BROKER_URL": "redis://:hush@host/0"}))
    assert "zoo_secret" not in text
    assert "hush" not in text
