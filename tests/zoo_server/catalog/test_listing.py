"""Finding repositories: filters, search, sort by a metric, and pages that stand still while rows are added."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.zoo_server.factories import make_member, make_team, principal_for
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.vocabulary import MetricSource, RepositoryKind, Visibility
from zoo_server.accounts.models import Team
from zoo_server.catalog import selectors, services
from zoo_server.catalog.models import Repository
from zoo_server.catalog.selectors import RepositoryFilter
from zoo_server.rest.pagination import Page
from zoo_server.rest.principals import SYSTEM, Principal

from .conftest import make_draft, make_repository, make_sealed

List = Callable[..., Page[Repository]]


@pytest.fixture
def listed(principal: Principal) -> List:
    """Lists models as the curator of ``team``; keywords are filters, or ``sort``, ``cursor`` and ``limit``."""

    def listing(
        *, sort: str | None = None, cursor: str | None = None, limit: int = 50, caller: Principal = principal, **wanted
    ) -> Page[Repository]:
        return selectors.list_repositories(
            principal=caller,
            kind=RepositoryKind.MODEL,
            wanted=RepositoryFilter(**wanted),
            sort=sort,
            cursor=cursor,
            limit=limit,
        )

    return listing


def names(page: Page[Repository]) -> list[str]:
    return [row.name for row in page.rows]


def measure(repository: Repository, **values: float) -> None:
    version = make_sealed(repository)
    for name, value in values.items():
        services.add_metric(principal=SYSTEM, version=version, name=name, value=value, source=MetricSource.REPORTED)


def all_pages(listed: List, **options: object) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = listed(cursor=cursor, **options)
        found += names(page)
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_models_are_listed_newest_first_and_data_sets_are_not(
    team: Team, model: Repository, dataset: Repository, listed: List
) -> None:
    make_repository(team, "newer")
    assert names(listed()) == ["newer", "resnet50"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"team": "vision"}, {"a", "b"}),
        ({"team": "nobody"}, set()),
        ({"task": "detection"}, {"b"}),
        ({"tags": ("int8",)}, {"a", "b"}),
        ({"tags": ("int8", "small")}, {"a"}),
        ({"licence": "mit"}, {"a"}),
        ({"architecture": "resnet50"}, {"a"}),
        ({"visibility": "public"}, {"b"}),
        ({"task": "detection", "licence": "mit"}, set()),
    ],
)
def test_filters_narrow_the_list(team: Team, listed: List, wanted: dict, found: set[str]) -> None:
    make_repository(team, "a", tags=["int8", "small"], licence="mit", architecture="resnet50")
    make_repository(team, "b", tags=["int8"], task="detection", visibility=Visibility.PUBLIC)
    make_repository(make_team("other"), "c")
    assert set(names(listed(**wanted))) == found


def test_state_alias_and_format_speak_of_one_version(team: Team, listed: List) -> None:
    """``both`` has an approved version and an ONNX version, but they are two."""
    for name, approved_is_described in (("both", False), ("one", True)):
        repository = make_repository(team, name)
        first, second = make_draft(repository), make_draft(repository)
        described = first if approved_is_described else second
        description = ArtifactDescription(format="safetensors", files=("model.safetensors",))
        services.add_artifact(principal=SYSTEM, version=described, description=description)
        for version in (first, second):
            services.seal_version(principal=SYSTEM, version=version)
        services.approve_version(principal=SYSTEM, version=first)
        services.set_alias(principal=SYSTEM, version=first, name="production")
    assert set(names(listed(format="safetensors"))) == {"both", "one"}
    assert set(names(listed(state="approved"))) == {"both", "one"}
    assert set(names(listed(alias="production"))) == {"both", "one"}
    assert names(listed(state="approved", format="safetensors")) == ["one"]
    assert names(listed(alias="production", format="safetensors")) == ["one"]
    assert names(listed(format="onnx")) == []
    assert names(listed(alias="staging")) == []


def test_the_drafts_of_others_are_not_found_by_state(draft: object, listed: List) -> None:
    outsider = principal_for(make_member(make_team("other")))
    assert names(listed(state="draft")) == ["resnet50"]
    assert names(listed(state="draft", caller=outsider)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("resnet", {"title", "tag", "architecture", "card"}),
        ("resn", {"title", "tag", "architecture", "card"}),
        ("RESNET slim", {"title"}),
        ("quantised-net", {"quantised-net_v2"}),
        ("v2", {"quantised-net_v2"}),
        ("detections", {"task"}),
        ("nothing", set()),
        ("resnet' | !x:*", set()),
    ],
)
def test_search_finds_words_and_their_beginnings_everywhere(
    team: Team, listed: List, text: str, found: set[str]
) -> None:
    make_repository(team, "title", title="A slim ResNet")
    make_repository(team, "tag", tags=["resnet"])
    make_repository(team, "architecture", architecture="resnet_50")
    make_repository(team, "card", card="---\nlicense: mit\n---\nDistilled from a resnet.")
    make_repository(team, "task", task="detection")
    make_repository(team, "quantised-net_v2")
    assert set(names(listed(search=text))) == found


def test_search_ranks_a_title_above_a_tag_above_a_card_and_pages_keep_it(team: Team, listed: List) -> None:
    make_repository(team, "by-title", title="resnet")
    make_repository(team, "by-card", card="resnet")
    make_repository(team, "by-tag", tags=["resnet"])
    assert names(listed(search="resnet")) == ["by-title", "by-tag", "by-card"]
    assert all_pages(listed, search="resnet", limit=1) == ["by-title", "by-tag", "by-card"]


def test_search_follows_changes(model: Repository, listed: List) -> None:
    services.update_repository(principal=SYSTEM, repository=model, title="Pelican")
    assert names(listed(search="pelican")) == ["resnet50"]
    Repository.objects.filter(pk=model.pk).update(title="Heron")
    assert names(listed(search="pelican")) == []
    assert names(listed(search="heron")) == ["resnet50"]


def test_a_search_without_a_word_is_refused(listed: List) -> None:
    with pytest.raises(InvalidInput, match="no word"):
        listed(search="&|!")


@pytest.fixture
def measured(team: Team) -> None:
    values: dict[str, list[dict[str, float]]] = {
        "good": [{"top1": 70, "latency_ms": 9}, {"top1": 80, "latency_ms": 12}],
        "better": [{"top1": 85, "latency_ms": 30}],
        "same": [{"top1": 80, "latency_ms": 3}],
        "none": [],
    }
    for name, versions in values.items():
        repository = make_repository(team, name)
        for metrics in versions:
            measure(repository, **metrics)
    withdrawn = make_repository(team, "withdrawn")
    measure(withdrawn, top1=99)
    services.withdraw_version(principal=SYSTEM, version=withdrawn.versions.get())


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-metric:top1", ["better", "same", "good", "withdrawn", "none"]),
        ("metric:top1", ["same", "good", "better", "withdrawn", "none"]),
        ("metric:latency_ms", ["same", "good", "better", "withdrawn", "none"]),
        ("-metric:latency_ms", ["better", "good", "same", "withdrawn", "none"]),
        ("name", ["better", "good", "none", "same", "withdrawn"]),
        ("-name", ["withdrawn", "same", "none", "good", "better"]),
        ("created_at", ["good", "better", "same", "none", "withdrawn"]),
        ("-created_at", ["withdrawn", "none", "same", "better", "good"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_every_order_is_the_same_on_one_page_and_on_many(
    measured: None, listed: List, sort: str, expected: list[str], limit: int
) -> None:
    """The best value counts (highest top1, lowest latency) of versions that are usable; without a value last."""
    assert all_pages(listed, sort=sort, limit=limit) == expected


@pytest.mark.parametrize("sort", ["size", "metric:top-1", "-relevance", "relevance"])
def test_an_unknown_order_is_refused(listed: List, sort: str) -> None:
    with pytest.raises((UnknownName, InvalidInput)):
        listed(sort=sort)


@pytest.mark.parametrize("sort", ["-created_at", "-metric:top1", "name"])
def test_pages_stand_still_while_rows_are_added(team: Team, listed: List, sort: str) -> None:
    for index in range(9):
        measure(make_repository(team, f"m-{index}"), top1=50 + index)
    before = names(listed(sort=sort))
    found: list[str] = []
    cursor = None
    for step in range(3):
        page = listed(sort=sort, cursor=cursor, limit=3)
        found += names(page)
        cursor = page.next_cursor
        if step == 2:
            break
        measure(make_repository(team, f"a-{step}"), top1=99)
    assert found == before


def test_sorting_by_a_metric_costs_no_query_per_row(team: Team, listed: List) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            listed(sort="-metric:top1")
        return len(captured)

    for count in (3, 30):
        while Repository.objects.count() < count:
            measure(make_repository(team), top1=1)
        assert queries() == 2


def test_latest_and_aliases_come_with_the_list(model: Repository, listed: List) -> None:
    services.set_alias(principal=SYSTEM, version=make_sealed(model), name="production")
    make_sealed(model)
    services.withdraw_version(principal=SYSTEM, version=make_sealed(model))
    make_draft(model)
    (row,) = listed().rows
    assert row.latest == 2
    assert {alias.name: alias.version.number for alias in row.aliases.all()} == {"production": 1}


def test_versions_are_found_by_the_digest_of_a_file(model: Repository, private_model: Repository) -> None:
    shown, hidden = make_sealed(model, "a", "b"), make_draft(private_model)
    blob = shown.files.get(path="b").blob
    services.add_file(principal=SYSTEM, version=hidden, path="copy", blob=blob)
    outsider = principal_for(make_member(make_team("other")))
    for caller, expected in ((SYSTEM, {shown, hidden}), (outsider, {shown})):
        page = selectors.versions_with_digest(principal=caller, sha256=blob.sha256, cursor=None, limit=9)
        assert set(page.rows) == expected
        assert {file.path for row in page.rows for file in row.holding} <= {"b", "copy"}
