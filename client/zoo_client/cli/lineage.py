"""``zoo lineage``: the family of a version as a tree."""

from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.output import STATE_STYLES
from zoo_client.cli.session import kind_option, session_of
from zoo_client.cli.text import number_text, safe
from zoo_client.client import Client
from zoo_client.records import Kind, Lineage
from zoo_sdk.errors import NotFound

SHOWN_METRICS = ("top1", "latency_ms", "size_bytes")
MAX_MEASURED_NODES = 40

lineage = single()


@command(lineage, "lineage", "zoo lineage vision/resnet50-slim@production", "zoo lineage vision/resnet50@3 --depth 2")
def lineage_command(
    context: typer.Context,
    ref: RefArgument,
    *,
    depth: Annotated[int | None, typer.Option(min=1, help="How many steps up and down.")] = None,
    with_metrics: Annotated[
        bool, typer.Option("--metrics/--no-metrics", help="Show the main metrics of each model.")
    ] = True,
    kind: KindOption = None,
) -> None:
    """Show what a version was made from (with roles), and what was made from it."""
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        graph = versions.lineage(version["reference"], depth=depth)
        known = _metrics(client, graph) if with_metrics and not session.as_json else {}
    session.show(graph, lambda: lineage_tree(graph, known))


def _metrics(client: Client, graph: Lineage) -> dict[str, str]:
    """The main metrics of each model of the graph, as text by node."""
    found = {}
    for node in graph["nodes"][:MAX_MEASURED_NODES]:
        kind: Kind = "models"
        if node.get("kind") != "model" or not node.get("reference"):
            continue
        try:
            rows = client.repositories(kind).versions.metrics(str(node["reference"]))
        except NotFound:
            continue  # hidden from this caller, or removed meanwhile
        newest = {row["name"]: row for row in sorted(rows, key=lambda row: row["created_at"])}
        texts = [_metric_text(newest[name]) for name in SHOWN_METRICS if name in newest]
        found[node["id"]] = "  ".join(texts)
    return found


def _metric_text(row: Any) -> str:
    return f"{row['name']} {number_text(row['value'])} {row['unit']}".rstrip()


def lineage_tree(graph: Lineage, metrics: dict[str, str]) -> Tree:
    """Ancestors above one another under ``made from``, descendants under ``used for``."""
    nodes: dict[str, Any] = {node["id"]: node for node in graph["nodes"]}
    parents: dict[str, list[tuple[str, str]]] = {}
    children: dict[str, list[tuple[str, str]]] = {}
    for edge in graph["edges"]:
        role = edge["role"] + (f" ({edge['weight']:g})" if edge.get("weight") is not None else "")
        parents.setdefault(edge["child"], []).append((role, edge["parent"]))
        children.setdefault(edge["parent"], []).append((role, edge["child"]))
    root = graph["root"]
    tree = Tree(_label("", nodes.get(root), metrics.get(root, "")))
    for title, links in (("made from", parents), ("used for", children)):
        if links.get(root):
            branch = tree.add(Text(title, style="dim"))
            _grow(branch, root, links, nodes, metrics, {root})
    if graph.get("truncated"):
        tree.add(Text("… there is more: --depth", style="dim"))
    return tree


def _grow(
    branch: Tree,
    node: str,
    links: dict[str, list[tuple[str, str]]],
    nodes: dict[str, Any],
    metrics: dict[str, str],
    seen: set[str],
) -> None:
    for role, other in links.get(node, []):
        again = other in seen
        label = _label(role, nodes.get(other), metrics.get(other, ""))
        if again and links.get(other):
            label.append("  (see above)", style="dim")
        below = branch.add(label)
        if not again:
            seen.add(other)
            _grow(below, other, links, nodes, metrics, seen)


def _label(role: str, node: Any, metrics: str) -> Text:
    node = node or {}
    label = Text()
    if role:
        label.append(f"{safe(role)}: ", style="cyan")
    name = node.get("reference") or node.get("external_uri") or "(hidden)"
    label.append(safe(name), style="bold")
    state = node.get("state")
    if state:
        label.append(f" {safe(state)}", style=STATE_STYLES.get(str(state), ""))
    if node.get("deleted"):
        label.append(" deleted" if node["deleted"] == "restorable" else " tombstone", style="red")
    if node.get("operation"):
        label.append(f"  by {safe(node['operation'])}", style="dim")
    if metrics:
        label.append(f"  {metrics}")
    return label
