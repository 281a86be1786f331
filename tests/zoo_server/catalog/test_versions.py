"""Version numbers, references, and what a caller may see."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, transaction

from tests.zoo_server.factories import make_member, make_team, principal_for
from zoo_sdk.artifacts import DatasetDescription
from zoo_sdk.errors import InvalidInput, NotFound, UnknownName
from zoo_sdk.vocabulary import RepositoryKind, Scope, Visibility
from zoo_server.accounts.models import User
from zoo_server.catalog import selectors, services
from zoo_server.catalog.models import Repository, Version
from zoo_server.rest.principals import SYSTEM, Principal, anonymous

from .conftest import IDX, make_draft, make_repository, make_sealed

MODEL = RepositoryKind.MODEL


def test_numbers_count_from_one_and_a_rolled_back_one_leaves_no_gap(model: Repository, principal: Principal) -> None:
    first = services.create_version(principal=principal, repository=model)
    with transaction.atomic():
        services.create_version(principal=principal, repository=model)
        transaction.set_rollback(True)
    second = services.create_version(principal=principal, repository=model)
    assert (first.number, second.number) == (1, 2)


@pytest.mark.django_db(transaction=True)
def test_concurrent_versions_get_different_numbers_without_gaps(model: Repository) -> None:
    start = Barrier(6)

    def make(_: int) -> int:
        start.wait()
        try:
            return services.create_version(principal=SYSTEM, repository=model).number
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        numbers = sorted(pool.map(make, range(6)))
    assert numbers == [1, 2, 3, 4, 5, 6]


def test_only_a_data_set_takes_a_data_set_description(model: Repository, dataset: Repository) -> None:
    description = DatasetDescription(**IDX)
    with pytest.raises(InvalidInput, match="is a model"):
        services.create_version(principal=SYSTEM, repository=model, dataset=description)
    made = services.create_version(principal=SYSTEM, repository=dataset, dataset=description)
    assert DatasetDescription.model_validate(made.dataset) == description


@pytest.mark.parametrize(
    ("description", "paths", "missing"),
    [
        (IDX, ("images",), "labels"),
        (IDX | {"format": "npz", "splits": {"test": {"archive": "a.npz"}}}, ("b.npz",), "archive"),
        (IDX | {"format": "image-folder", "splits": {"test": {"folder": "test"}}}, ("testing/a.png",), "folder"),
    ],
)
def test_a_data_set_is_sealed_only_with_the_files_it_describes(
    dataset: Repository, description: dict, paths: tuple[str, ...], missing: str
) -> None:
    version = make_draft(dataset, *paths)
    services.update_version(principal=SYSTEM, version=version, dataset=DatasetDescription(**description))
    with pytest.raises(InvalidInput, match=missing):
        services.seal_version(principal=SYSTEM, version=version)


@pytest.mark.parametrize(
    ("description", "paths"),
    [
        (IDX, ("images", "labels")),
        (IDX | {"format": "npz", "splits": {"a": {"archive": "a.npz", "images": "x", "labels": "y"}}}, ("a.npz",)),
        (IDX | {"format": "image-folder", "splits": {"test": {"folder": "test/"}}}, ("test/a/1.png",)),
        (IDX | {"format": "image-folder", "splits": {"test": {}}}, ("a/1.png",)),
    ],
)
def test_a_data_set_with_its_files_is_sealed(dataset: Repository, description: dict, paths: tuple[str, ...]) -> None:
    version = make_draft(dataset, *paths)
    services.update_version(principal=SYSTEM, version=version, dataset=DatasetDescription(**description))
    assert services.seal_version(principal=SYSTEM, version=version).digest.startswith("sha256:")


def test_a_misspelt_part_of_a_split_is_refused(dataset: Repository) -> None:
    version = make_draft(dataset, "images", "labels")
    parts = {"images": "images", "labels": "labels", "label": "../labels"}
    description = DatasetDescription(**IDX | {"splits": {"train": parts}})
    services.update_version(principal=SYSTEM, version=version, dataset=description)
    with pytest.raises(UnknownName, match="labels"):
        services.seal_version(principal=SYSTEM, version=version)


@pytest.fixture
def line(model: Repository) -> Repository:
    """Versions 1 approved, 2 candidate, 3 withdrawn, 4 draft; the alias ``production`` points to 1."""
    first = make_sealed(model)
    make_sealed(model)
    services.withdraw_version(principal=SYSTEM, version=make_sealed(model))
    make_draft(model)
    services.approve_version(principal=SYSTEM, version=first)
    services.set_alias(principal=SYSTEM, version=first, name="production")
    return model


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("vision/resnet50", 2),
        ("vision/resnet50@latest", 2),
        ("vision/resnet50@1", 1),
        ("vision/resnet50@3", 3),
        ("vision/resnet50@4", 4),
        ("vision/resnet50@production", 1),
    ],
)
def test_a_reference_means_a_number_an_alias_or_the_newest_usable_version(
    line: Repository, principal: Principal, reference: str, number: int
) -> None:
    found = selectors.resolve_version(principal=principal, reference=reference, kind=MODEL)
    assert found.number == number


@pytest.mark.parametrize(
    "reference",
    ["vision/other", "nobody/resnet50", "vision/resnet50@9", "vision/resnet50@staging", f"vision/resnet50@{'9' * 40}"],
)
def test_a_reference_to_nothing_is_not_found(line: Repository, principal: Principal, reference: str) -> None:
    with pytest.raises(NotFound):
        selectors.resolve_version(principal=principal, reference=reference, kind=MODEL)


def test_an_alias_of_another_model_does_not_count(line: Repository, principal: Principal) -> None:
    other = make_sealed(make_repository(line.team, "other"))
    services.set_alias(principal=SYSTEM, version=other, name="staging")
    with pytest.raises(NotFound):
        selectors.resolve_version(principal=principal, reference="vision/resnet50@staging", kind=MODEL)


def test_a_model_is_not_found_as_a_data_set(line: Repository, principal: Principal) -> None:
    with pytest.raises(NotFound):
        selectors.resolve_version(principal=principal, reference="vision/resnet50@1", kind=RepositoryKind.DATASET)


def test_who_sees_which_repository_follows_its_visibility(line: Repository, member: User) -> None:
    team = line.team
    names = {
        visibility: make_repository(team, f"is-{visibility.value}", visibility=visibility).name
        for visibility in Visibility
    }
    outsider = principal_for(make_member(make_team("other")))
    sees = {
        "member": selectors.visible_repositories(principal=principal_for(member)),
        "outsider": selectors.visible_repositories(principal=outsider),
        "nobody": selectors.visible_repositories(principal=anonymous()),
        "without read": selectors.visible_repositories(principal=principal_for(member, [Scope.WRITE])),
    }
    seen = {who: set(rows.filter(name__startswith="is-").values_list("name", flat=True)) for who, rows in sees.items()}
    assert seen["member"] == set(names.values())
    assert seen["outsider"] == {"is-internal", "is-public"}
    assert seen["nobody"] == {"is-public"}
    assert seen["without read"] == set()


def test_a_draft_is_seen_by_members_of_the_team_only(model: Repository, draft: Version, principal: Principal) -> None:
    services.update_repository(principal=SYSTEM, repository=model, visibility=Visibility.PUBLIC)
    outsider = principal_for(make_member(make_team("other")))
    reference = str(draft)
    assert selectors.resolve_version(principal=principal, reference=reference, kind=MODEL) == draft
    for caller in (outsider, anonymous()):
        with pytest.raises(NotFound):
            selectors.resolve_version(principal=caller, reference=reference, kind=MODEL)
