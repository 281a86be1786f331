"""Digests of what a table makes: equal settings are equal, and every setting that decides the result counts."""

import pytest

from bench.methods.making import Making, Source, data_digest

DATA = data_digest("zoo/digits@1", "{}")
BASE = Making("torch.train", {"architecture": "zoo:conv_tiny", "epochs": 2}, 3)
TEACHER = Making("torch.train", {"architecture": "zoo:resnet_small", "epochs": 4}, 1000)


def _distilled(**params: object) -> Making:
    making = Making("torch.distill", {"epochs": 2, "initialise": "scratch", **params}, 3)
    return making.with_inputs(student=BASE, teacher=(Source(TEACHER, 1.0),))


def test_equal_settings_have_equal_digests_whatever_their_order() -> None:
    turned = Making("torch.train", {"epochs": 2, "architecture": "zoo:conv_tiny"}, 3)
    assert turned.digest(DATA) == BASE.digest(DATA)
    assert len(BASE.digest(DATA)) == 64


@pytest.mark.parametrize(
    "other",
    [
        Making("torch.train", {"architecture": "zoo:conv_tiny", "epochs": 3}, 3),
        Making("torch.train", BASE.params, 4),
        Making("torch.distill", BASE.params, 3),
        BASE.with_inputs(init=TEACHER),
    ],
)
def test_a_setting_a_seed_an_operation_or_an_input_changes_the_digest(other: Making) -> None:
    assert other.digest(DATA) != BASE.digest(DATA)


def test_other_data_change_the_digest() -> None:
    assert BASE.digest(data_digest("zoo/digits@2", "{}")) != BASE.digest(DATA)
    assert BASE.digest(data_digest("zoo/digits@1", '{"classes": 2}')) != BASE.digest(DATA)


def test_a_teachers_setting_and_its_share_change_the_students_digest() -> None:
    other = Making("torch.train", {**TEACHER.params, "epochs": 5}, 1000)
    digests = {
        _distilled().with_inputs(teacher=(source,)).digest(DATA)
        for source in (Source(TEACHER, 1.0), Source(TEACHER, 2.0), Source(other, 1.0))
    }
    assert len(digests) == 3


def test_the_epochs_are_those_of_the_weights_own_stages() -> None:
    assert _distilled().epochs == 2
    second = Making("torch.distill", {"epochs": 5, "initialise": "from_student"}, 3).with_inputs(
        student=_distilled(), teacher=TEACHER
    )
    assert second.epochs == 7
    assert [making.operation for making in second.chain()] == ["torch.distill", "torch.distill"]
