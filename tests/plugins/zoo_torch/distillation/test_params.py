"""Which parameters go together."""

from typing import Any

import pytest

from zoo_sdk.discovery import find_operation
from zoo_sdk.errors import InvalidInput
from zoo_torch.distillation.params import BELONGS_TO, DistillParams

LAYERS = {"features": "features"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dkd_beta": 2}, "dkd_beta needs method or logit_method to be dkd"),
        ({"method": "dkd", "kd_weight": 0.5}, "kd_weight needs method or logit_method to be kd"),
        ({"method": "nkd", "dkd_alpha": 2}, "dkd_alpha needs method or logit_method to be dkd"),
        ({"nkd_gamma": 1}, "nkd_gamma needs method or logit_method to be nkd"),
        ({"layers": LAYERS}, "layers needs method to be attention or feature"),
        ({"logit_method": "nkd"}, "logit_method needs method to be attention or feature or vitkd"),
        (
            {"method": "feature", "layers": LAYERS, "attention_weight": 1},
            "attention_weight needs method to be attention",
        ),
        (
            {"method": "feature", "layers": LAYERS, "temperature": 1},
            "to be dkd or kd or nkd",
        ),
        ({"method": "attention", "layers": LAYERS, "vitkd_mask": 0.4}, "vitkd_mask needs method to be vitkd"),
        ({"method": "attention"}, "method=attention needs layers"),
        ({"method": "vitkd", "compile": "on"}, "compile=on"),
        ({"method": "fitnet"}, "method"),
        ({"method": "vitkd", "vitkd_mask": 0}, "vitkd_mask"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        find_operation("torch.distill").parse_params(given)


@pytest.mark.parametrize(
    "given",
    [
        {"dkd_beta": 2, "method": "dkd"},
        {"method": "vitkd", "logit_method": "nkd", "nkd_gamma": 1, "temperature": 1},
        {"method": "feature", "layers": LAYERS, "logit_method": "kd", "kd_weight": 0.5},
        {"method": "attention", "layers": LAYERS, "logit_method": "dkd", "dkd_beta": 2, "label_weight": 0.5},
    ],
)
def test_a_method_that_joins_brings_its_parameters(given: dict[str, Any]) -> None:
    find_operation("torch.distill").parse_params(given)


def test_the_defaults_of_other_methods_may_be_given_because_a_recorded_job_has_them() -> None:
    recorded = DistillParams(method="dkd").model_dump(mode="json")
    assert DistillParams.model_validate(recorded) == DistillParams(method="dkd")


def test_every_rule_is_about_a_parameter_that_exists() -> None:
    assert set(BELONGS_TO) <= set(DistillParams.model_fields)
