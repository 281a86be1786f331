"""The story of a version (``GET .../provenance``) as text, as a Mermaid graph and as a Graphviz graph."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SHOWN_PARAMS = 12
SHOWN_METRICS = 6
LABEL_LENGTH = 80


def story_lines(story: Mapping[str, Any]) -> Iterator[str]:
    """The story from its beginnings to the version, each version after everything that it was made from."""
    parents: dict[str, list[Mapping[str, Any]]] = {}
    for edge in story["edges"]:
        parents.setdefault(edge["child"], []).append(edge)
    for number, version in enumerate(_from_the_beginning(story, parents), 1):
        if number > 1:
            yield ""
        yield f"{number}. {version['reference']}  {version['kind']}, {version['state']}"
        yield f"   {_how_made(version)}"
        yield from _origin_lines(version.get("origin"))
        yield from _job_lines(version["job"])
        for edge in parents.get(version["id"], []):
            weight = f" (weight {edge['weight']:g})" if edge["weight"] is not None else ""
            yield f"   {edge['role'].replace('_', ' ')}: {edge['reference'] or edge['parent']}{weight}"
        metrics = [f"{item['name']} {item['value']:g} ({item['source']})" for item in version["metrics"]]
        if metrics:
            more = f", and {len(metrics) - SHOWN_METRICS} more" if len(metrics) > SHOWN_METRICS else ""
            yield f"   metrics: {', '.join(metrics[:SHOWN_METRICS])}{more}"
        for item in version["decisions"]:
            comment = f": {item['comment']}" if item["comment"] else ""
            yield f"   {_time(item['at'])}  {item['what']} by {item['by']}{comment}"
        if version["digest"]:
            yield f"   {version['digest']}"
        yield f"   attested by the key {version['attested_by']}" if version["attested_by"] else "   not attested yet"
    if story["truncated"]:
        yield "\n(There are more ancestors than an answer holds.)"


def mermaid(story: Mapping[str, Any]) -> str:
    """The story as a Mermaid flowchart, parents above their children."""
    names = _names(story)
    lines = ["flowchart TD"]
    for key, (name, label, shape) in names.items():
        opening, closing = {"data": ("[(", ")]"), "job": ("{{", "}}"), "external": ("([", "])")}.get(shape, ("[", "]"))
        text = "<br/>".join(part.translate(_MERMAID) for part in label)
        lines.append(f'    {name}{opening}"{text}"{closing}')
        if key == story["root"]:
            lines.append(f"    style {name} stroke-width:3px")
    lines += [
        f'    {source} -->|"{role.translate(_MERMAID)}"| {target}' for source, target, role in _arrows(story, names)
    ]
    return "\n".join(lines) + "\n"


def graphviz(story: Mapping[str, Any]) -> str:
    """The story as a Graphviz graph in the DOT language (``| dot -Tsvg`` draws it)."""
    names = _names(story)
    lines = [
        "digraph provenance {",
        '    node [shape=box, fontname="sans-serif"];',
        '    edge [fontname="sans-serif"];',
    ]
    for key, (name, label, shape) in names.items():
        form = {"data": "cylinder", "job": "hexagon", "external": "oval"}.get(shape, "box")
        bold = ", penwidth=3" if key == story["root"] else ""
        lines.append(f"    {name} [label={_dot_text(label)}, shape={form}{bold}];")
    lines += [
        f"    {source} -> {target} [label={_dot_text([role])}];" for source, target, role in _arrows(story, names)
    ]
    return "\n".join([*lines, "}"]) + "\n"


def _from_the_beginning(
    story: Mapping[str, Any], parents: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[Mapping[str, Any]]:
    """The versions so that parents come before their children, without recursion: chains may be long."""
    versions = {version["id"]: version for version in story["versions"]}
    order: list[Mapping[str, Any]] = []
    done: set[str] = set()
    stack = [(story["root"], False)]
    while stack:
        key, ready = stack.pop()
        if key in done or key not in versions:
            continue
        if ready:
            done.add(key)
            order.append(versions[key])
            continue
        stack.append((key, True))
        stack += [(edge["parent"], False) for edge in reversed(parents.get(key, []))]
    return order


def _how_made(version: Mapping[str, Any]) -> str:
    step, job = version["step"], version["job"]
    what = f"{step['kind']} ({step['method']})" if step else "no strategy"
    if job is None:
        return f"brought by {version['created_by']} on {_time(version['created_at'])}; {what}"
    if job["operation"] is None:
        return f"made by the job {job['id']}; {what}"
    place = f" of the recipe {job['recipe']} (step {job['step']})" if job["recipe"] else ""
    return f"{what} by {job['operation']} v{job['operation_version']}, job {job['id']}{place}"


def _origin_lines(origin: Mapping[str, Any] | None) -> Iterator[str]:
    if origin is not None:
        proof = f"signed by the key {origin['key']}" if origin["key"] else "signed by nobody"
        whose = {"registry": ", which this registry trusts", "importer": ", which the importer vouched for"}
        yield f"   imported from {origin['reference']} of {origin['registry']} ({origin['id']})"
        yield f"   {proof}{whose.get(origin['vouched_by'], '')}; {origin['digest']} there"


def _job_lines(job: Mapping[str, Any] | None) -> Iterator[str]:
    if job is None or job["operation"] is None:
        return
    if job["cached_from"]:
        yield f"   taken from the result cache: the job {job['cached_from']} ran"
    else:
        times = f"{_time(job['started_at'])} to {_time(job['finished_at'])}"
        yield f"   submitted by {job['by']}, run by {job['worker']} (attempt {job['attempt']}), {times}"
    params = [f"{key}={json.dumps(value)}" for key, value in (job["params"] or {}).items()]
    more = f" and {len(params) - SHOWN_PARAMS} more" if len(params) > SHOWN_PARAMS else ""
    yield f"   seed {job['seed']}; {' '.join(params[:SHOWN_PARAMS])}{more}"


def _names(story: Mapping[str, Any]) -> dict[str, tuple[str, list[str], str]]:
    """Every box by its key: a plain name of ours (what others wrote is label only), the label's lines, the shape."""
    names: dict[str, tuple[str, list[str], str]] = {}
    for version in story["versions"]:
        approved = next((item for item in reversed(version["decisions"]) if item["what"] == "approved"), None)
        label = [version["reference"], version["state"] + (f" by {approved['by']}" if approved else "")]
        names[version["id"]] = (f"v{len(names)}", label, "data" if version["kind"] == "dataset" else "model")
        if version["job"]:
            step = version["step"] or {}
            title = version["job"]["operation"] or step.get("operation") or "job"
            names[f"job {version['id']}"] = (f"j{len(names)}", [title, str(version["job"]["id"])], "job")
    for edge in story["edges"]:
        if edge["parent"] not in names:
            names[edge["parent"]] = (f"x{len(names)}", [edge["reference"] or edge["parent"]], "external")
    return names


def _arrows(
    story: Mapping[str, Any], names: Mapping[str, tuple[str, list[str], str]]
) -> Iterator[tuple[str, str, str]]:
    """Parent -> job -> child, or parent -> child where no job was."""
    for version in story["versions"]:
        if version["job"]:
            yield names[f"job {version['id']}"][0], names[version["id"]][0], "made"
    for edge in story["edges"]:
        target = names.get(f"job {edge['child']}") or names[edge["child"]]
        weight = f" {edge['weight']:g}" if edge["weight"] is not None else ""
        yield names[edge["parent"]][0], target[0], f"{edge['role'].replace('_', ' ')}{weight}"


_MERMAID = {ord(character): f"#{ord(character)};" for character in '"<>&#`|[]{}()\\'}
_MERMAID |= dict.fromkeys(range(32), " ")


def _dot_text(lines: Sequence[str]) -> str:
    parts = [line[:LABEL_LENGTH].replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return '"' + "\\n".join("".join(max(c, " ") for c in part) for part in parts) + '"'


def _time(text: str | None) -> str:
    return (text or "")[:16].replace("T", " ")
