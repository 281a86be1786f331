"""Operation specs: consistent, and known to the registry as plain data."""

import json
from hashlib import sha256
from typing import Any

import pytest
from pydantic import Field, ValidationError

from zoo_example.specs import MAKE, MakeParams
from zoo_sdk.errors import InvalidInput
from zoo_sdk.operations import OperationManifest, OperationParams, OperationSpec, Port, Resources


class Params(OperationParams):
    width: int = Field(1, ge=1, le=9, description="Width.")
    share: float = Field(0.5, description="Share.")


def spec(**changes: Any) -> OperationSpec:
    given = {
        "name": "some.work",
        "version": 1,
        "summary": "Works.",
        "params": Params,
        "implementation": "some.module:run",
        "outputs": (Port(name="model", formats=("json",)),),
        "strategy": "training",
    }
    return OperationSpec(**{**given, **changes})


@pytest.mark.parametrize("name", ["work", "Some.work", "some.", ".work", "some work", "some-x.work", "9.work"])
def test_a_wrong_operation_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        spec(name=name)


@pytest.mark.parametrize("target", ["module", "module:", ":run", "module:run()", "module:a.b", "os;x:run"])
def test_a_wrong_implementation_is_refused(target: str) -> None:
    with pytest.raises(ValidationError):
        spec(implementation=target)


def test_two_inputs_may_not_share_a_name() -> None:
    with pytest.raises(ValidationError, match="two inputs share a name"):
        spec(inputs=(Port(name="data"), Port(name="data")))


def test_an_input_and_an_output_may_share_a_name() -> None:
    assert spec(inputs=(Port(name="model"),)).inputs[0].name == "model"


def test_what_makes_a_model_names_its_strategy() -> None:
    with pytest.raises(ValidationError, match="strategy"):
        spec(strategy=None)


def test_a_port_with_an_unknown_format_is_refused() -> None:
    with pytest.raises(Exception, match="safetensors"):
        Port(name="model", formats=("safetensor",))


@pytest.mark.parametrize("name", ["", "Model", "1x", "a-b", "a" * 41])
def test_a_wrong_port_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Port(name=name)


def test_the_queue_is_the_family_and_the_resource_class() -> None:
    assert spec().manifest.queue == "some.cpu"
    assert spec(resources=Resources(gpus=1)).manifest.queue == "some.gpu"


def test_the_method_defaults_to_the_operation_s_own_name() -> None:
    assert spec().manifest.method == "work"
    assert spec(method="kd").manifest.method == "kd"


def test_the_digest_changes_with_the_parameters_and_survives_json() -> None:
    class Wider(Params):
        width: int = Field(1, ge=1, le=10, description="Width.")

    manifest = spec().manifest
    assert OperationManifest.model_validate_json(manifest.model_dump_json()).digest == manifest.digest
    assert spec(params=Wider).manifest.digest != manifest.digest


def test_all_wrong_parameters_are_named_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        spec().parse_params({"width": 10, "widthh": 3})
    assert "width: " in str(caught.value)
    assert "got 10" in str(caught.value)
    assert "widthh: " in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "much"])
def test_numbers_that_are_none_are_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="share"):
        spec().parse_params({"share": value})


def test_nested_and_closed_parameters_are_checked() -> None:
    assert isinstance(MAKE.parse_params({"blend": {"share": 0.1}}), MakeParams)
    with pytest.raises(InvalidInput, match=r"blend\.share"):
        MAKE.parse_params({"blend": {"share": 2}})
    with pytest.raises(InvalidInput, match="rounding"):
        MAKE.parse_params({"rounding": "up"})


def test_an_operation_can_use_the_gpus_that_it_needs_and_may_name_more() -> None:
    assert (Resources().max_gpus, Resources(gpus=2).max_gpus, Resources(gpus=2, max_gpus=8).max_gpus) == (0, 2, 8)
    with pytest.raises(ValidationError, match="needs 2 GPUs, but can use 1"):
        Resources(gpus=2, max_gpus=1)
    with pytest.raises(ValidationError):
        Resources(max_gpus=17)


def test_jobs_of_an_operation_that_can_use_gpus_come_from_two_queues() -> None:
    manifest = spec(resources=Resources(max_gpus=8)).manifest
    assert (manifest.queue, manifest.queues) == ("some.cpu", ("some.cpu", "some.gpu"))
    assert (manifest.queue_for(0), manifest.queue_for(3)) == ("some.cpu", "some.gpu")
    assert spec(resources=Resources(gpus=1, max_gpus=8)).manifest.queues == ("some.gpu",)
    assert spec().manifest.queues == ("some.cpu",)


def test_a_manifest_from_before_max_gpus_is_still_the_same() -> None:
    manifest = spec(resources=Resources(gpus=1)).manifest
    before = manifest.model_dump(mode="json")
    del before["resources"]["max_gpus"], before["edges"]
    assert OperationManifest.model_validate(before) == manifest
    text = json.dumps(before, sort_keys=True, separators=(",", ":"))
    assert manifest.digest == f"sha256:{sha256(text.encode()).hexdigest()}"
    assert spec(resources=Resources(gpus=1, max_gpus=2)).manifest.digest != manifest.digest
