"""The closed sets: formats, measures, roles and environment variables."""

import pytest

from zoo_sdk.environment import VARIABLES, check_environment
from zoo_sdk.errors import UnknownName
from zoo_sdk.formats import DATASET_FORMATS, FORMATS, find_format
from zoo_sdk.measures import MEASURES, find_measure
from zoo_sdk.vocabulary import ROLE_SCOPES, Scope, TeamRole


def test_a_format_is_found_by_name() -> None:
    assert find_format("openvino-ir").suffixes == (".xml", ".bin")


def test_a_misspelt_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="safetensors"):
        find_format("safetensor")


def test_what_runs_code_when_it_is_loaded_is_named() -> None:
    assert {item.name for item in FORMATS.values() if item.executable} == {
        "pickle", "torchscript", "tensorrt-plan", "oneflow",
    }  # fmt: skip


def test_every_dataset_format_is_a_format() -> None:
    assert set(DATASET_FORMATS) <= set(FORMATS)


def test_a_measure_is_found_with_unit_and_direction() -> None:
    assert (find_measure("top1").unit, find_measure("top1").direction) == ("%", "higher")
    assert find_measure("latency_ms").direction == "lower"


def test_a_misspelt_measure_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="top1"):
        find_measure("top_1")


@pytest.mark.parametrize("registry", [FORMATS, MEASURES, VARIABLES])
def test_the_registries_cannot_be_changed(registry: object) -> None:
    with pytest.raises(TypeError):
        registry["x"] = None  # type: ignore[index]


def test_no_role_may_do_what_only_workers_may() -> None:
    assert set(ROLE_SCOPES) == set(TeamRole)
    assert all(Scope.WORKER not in scopes for scopes in ROLE_SCOPES.values())
    assert all(Scope.READ in scopes for scopes in ROLE_SCOPES.values())


def test_known_variables_and_those_of_others_are_accepted() -> None:
    check_environment({"ZOO_HOME": "/srv/zoo", "PATH": "/bin", "MLFLOW_TRACKING_URI": "http://x"})


def test_a_misspelt_variable_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="ZOO_DATABASE_URL"):
        check_environment({"ZOO_DATABSE_URL": "postgresql://x"})
