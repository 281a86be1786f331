"""Lineage: acyclic also under concurrency, true to what the caller may see, and read in one query."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.zoo_server.factories import make_member, make_team, principal_for
from zoo_sdk.errors import Conflict, InvalidInput, NotFound
from zoo_sdk.vocabulary import LineageRole, StrategyKind, Visibility
from zoo_server.accounts.models import Team
from zoo_server.catalog import selectors, services
from zoo_server.catalog.descriptions import StepDescription
from zoo_server.catalog.models import LineageEdge, Repository, Version
from zoo_server.catalog.services.lineage import Cycle
from zoo_server.rest.principals import SYSTEM, Principal, anonymous

from .conftest import make_draft, make_repository, make_sealed

BASE = LineageRole.BASE


def link(child: Version, parent: Version, role: LineageRole = BASE) -> LineageEdge:
    return services.add_parent(principal=SYSTEM, version=child, role=role, parent=parent)


def test_a_version_is_not_its_own_parent(draft: Version, principal: Principal) -> None:
    with pytest.raises(Cycle):
        services.add_parent(principal=principal, version=draft, role=BASE, parent=draft)


@pytest.mark.parametrize("length", [2, 3, 10])
def test_a_circle_is_refused_at_any_length(model: Repository, length: int) -> None:
    line = [make_draft(model) for _ in range(length)]
    for child, parent in pairwise(line):
        link(child, parent)
    with pytest.raises(Cycle) as caught:
        link(line[-1], line[0], LineageRole.TEACHER)
    assert caught.value.code == "cycle"
    assert LineageEdge.objects.count() == length - 1


def test_two_ways_to_the_same_ancestor_are_no_circle(model: Repository) -> None:
    child, left, right, top = (make_draft(model) for _ in range(4))
    for lower, upper in ((left, top), (right, top), (child, left), (child, right), (child, top)):
        link(lower, upper)
    assert LineageEdge.objects.count() == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("length", [2, 4])
def test_of_concurrent_edges_that_would_close_a_circle_one_is_refused(model: Repository, length: int) -> None:
    drafts = [make_draft(model) for _ in range(length)]
    start = Barrier(length)

    def add(index: int) -> bool:
        start.wait()
        try:
            link(drafts[index], drafts[(index + 1) % length])
        except Cycle:
            return False
        finally:
            connection.close()
        return True

    for _ in range(5):
        with ThreadPoolExecutor(length) as pool:
            assert sorted(pool.map(add, range(length))) == [False] + [True] * (length - 1)
        LineageEdge.objects.all().delete()


def test_the_same_parent_in_the_same_role_is_refused_and_in_another_accepted(draft: Version, sealed: Version) -> None:
    link(draft, sealed)
    with pytest.raises(Conflict, match="already has the parent"):
        link(draft, sealed)
    link(draft, sealed, LineageRole.INITIALISED_FROM)


def test_a_parent_that_the_caller_may_not_see_is_not_found(team: Team, draft: Version, principal: Principal) -> None:
    other = make_repository(make_team("other"), visibility=Visibility.PRIVATE)
    with pytest.raises(NotFound):
        services.add_parent(principal=principal, version=draft, role=BASE, parent=make_sealed(other))


def test_the_role_must_fit_the_parents_kind(dataset: Repository, draft: Version, sealed: Version) -> None:
    data = make_draft(dataset, "images")
    with pytest.raises(InvalidInput, match="needs a dataset"):
        link(draft, sealed, LineageRole.TRAINED_ON)
    with pytest.raises(InvalidInput, match="needs a model"):
        link(draft, data, BASE)
    link(draft, data, LineageRole.TRAINED_ON)


@pytest.mark.parametrize(
    ("role", "weight"),
    [("base", 1.0), ("teacher", 0.0), ("teacher", -1.0), ("teacher", float("nan")), ("teacher", float("inf"))],
)
def test_only_a_teacher_has_a_weight_and_it_is_positive(
    draft: Version, sealed: Version, role: str, weight: float
) -> None:
    with pytest.raises(InvalidInput, match="weight"):
        services.add_parent(principal=SYSTEM, version=draft, role=LineageRole(role), parent=sealed, weight=weight)


@pytest.mark.parametrize(
    "uri", ["resnet50", "javascript:alert(1)", "data:text/html,x", "https:", "https://a b", f"https://{'a' * 500}"]
)
def test_an_external_parent_needs_a_uri_of_a_known_scheme(draft: Version, uri: str) -> None:
    with pytest.raises(InvalidInput, match="URI"):
        services.add_parent(principal=SYSTEM, version=draft, role=BASE, external_uri=uri)


def test_an_edge_has_one_parent_exactly(draft: Version, sealed: Version) -> None:
    with pytest.raises(InvalidInput):
        services.add_parent(principal=SYSTEM, version=draft, role=BASE)
    with pytest.raises(InvalidInput):
        services.add_parent(principal=SYSTEM, version=draft, role=BASE, parent=sealed, external_uri="https://a.org/b")


def test_a_strategy_is_the_bases_and_then_the_new_step(model: Repository, principal: Principal) -> None:
    base, child = make_draft(model), make_draft(model)
    training = StepDescription(kind=StrategyKind.TRAINING, method="sgd", operation="torch.train")
    services.set_strategy(principal=principal, version=base, steps=[training])
    step = StepDescription(kind=StrategyKind.QUANTIZATION, method="ptq", parameters={"bits": 8})
    services.inherit_strategy(principal=principal, version=child, base=base, step=step)
    assert [(row.kind, row.method, row.operation) for row in child.strategy.all()] == [
        ("training", "sgd", "torch.train"),
        ("quantization", "ptq", ""),
    ]
    services.inherit_strategy(principal=principal, version=child, base=None, step=step)
    assert [row.method for row in child.strategy.all()] == ["ptq"]


def family(model: Repository, size: int) -> list[Version]:
    """Each version comes from the two before it.  The rows are made at once, because services are tested above."""
    versions = Version.objects.bulk_create(
        Version(repository=model, number=number, created_by=None) for number in range(1000, 1000 + size)
    )
    LineageEdge.objects.bulk_create(
        LineageEdge(child=versions[index], parent=versions[index - step], role=BASE)
        for index in range(size)
        for step in (1, 2)
        if index >= step
    )
    return versions


def test_a_family_of_200_is_read_in_one_query(model: Repository, principal: Principal) -> None:
    versions = family(model, 200)
    with CaptureQueriesContext(connection) as captured:
        graph = selectors.lineage_graph(principal=principal, version=versions[100], depth=100)
    assert len(captured) == 1
    assert {node["id"] for node in graph.nodes} == {str(version.pk) for version in versions}
    assert len(graph.edges) == 199 + 198
    assert graph.nodes[0]["reference"] == str(versions[100])
    assert not graph.truncated


def test_depth_cuts_both_ways_and_is_bounded(model: Repository, principal: Principal) -> None:
    versions = family(model, 20)
    graph = selectors.lineage_graph(principal=principal, version=versions[10], depth=1)
    numbers = sorted(int(node["reference"].split("@")[1]) - 1000 for node in graph.nodes)
    assert numbers == [8, 9, 10, 11, 12]
    for depth in (0, 101):
        with pytest.raises(InvalidInput, match="depth"):
            selectors.lineage_graph(principal=principal, version=versions[10], depth=depth)


def test_siblings_do_not_belong_to_the_family(model: Repository, principal: Principal) -> None:
    parent, child, sibling = (make_draft(model) for _ in range(3))
    link(child, parent)
    link(sibling, parent)
    graph = selectors.lineage_graph(principal=principal, version=child)
    assert {node["id"] for node in graph.nodes} == {str(child.pk), str(parent.pk)}


def test_nodes_tell_operation_state_and_external_parents(model: Repository, principal: Principal) -> None:
    version = make_draft(model)
    step = StepDescription(kind="distillation", method="kd", operation="torch.distill")
    services.set_strategy(principal=SYSTEM, version=version, steps=[step])
    uri = "https://example.org/teacher"
    services.add_parent(principal=SYSTEM, version=version, role=LineageRole.TEACHER, external_uri=uri, weight=0.5)
    graph = selectors.lineage_graph(principal=principal, version=version)
    root, external = graph.nodes
    assert (root["operation"], root["state"], root["kind"]) == ("torch.distill", "draft", "model")
    assert external == {
        "id": uri,
        "reference": None,
        "kind": None,
        "state": None,
        "operation": None,
        "external_uri": uri,
    }
    assert graph.edges == [{"child": str(version.pk), "parent": uri, "role": "teacher", "weight": 0.5}]


def test_what_the_caller_may_not_see_is_hidden_above_and_absent_below(team: Team) -> None:
    secret = make_repository(team, "secret", visibility=Visibility.PRIVATE)
    public = make_repository(team, "open", visibility=Visibility.PUBLIC)
    grandparent, parent = make_sealed(secret), make_draft(secret)
    link(parent, grandparent)
    services.seal_version(principal=SYSTEM, version=parent)
    shown = make_draft(public)
    link(shown, parent)
    services.seal_version(principal=SYSTEM, version=shown)
    private_child, public_draft = make_draft(secret), make_draft(public)
    link(private_child, shown)
    link(public_draft, shown)
    for caller in (anonymous(), principal_for(make_member(make_team("other")))):
        graph = selectors.lineage_graph(principal=caller, version=shown)
        references = {node["reference"] for node in graph.nodes}
        assert references == {str(shown), "(hidden)"}
        hidden = next(node for node in graph.nodes if node["reference"] == "(hidden)")
        assert (hidden["kind"], hidden["state"], hidden["operation"]) == (None, None, None)
        assert len(graph.edges) == 1
        described = selectors.get_version_details(principal=caller, version=shown)
        assert [edge.parent for edge in described.parent_edges.all()] == [None]
    whole = selectors.lineage_graph(principal=principal_for(make_member(team)), version=shown)
    assert len(whole.nodes) == 5
