"""``zoo provenance``: the whole story of a version, as text, JSON or a picture."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.session import kind_option, session_of
from zoo_client.cli.text import safe
from zoo_client.story import graphviz, mermaid, story_lines

provenance = single()


@command(
    provenance,
    "provenance",
    "zoo provenance vision/resnet50-slim@production",
    "zoo provenance vision/resnet50-slim@3 --format mermaid --output story.mmd",
    "zoo provenance vision/resnet50-slim@3 --format dot | dot -Tsvg > story.svg",
)
def provenance_command(
    context: typer.Context,
    ref: RefArgument,
    *,
    story_format: Annotated[
        Literal["text", "mermaid", "dot"], typer.Option("--format", help="Text, or a picture as Mermaid or Graphviz.")
    ] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it into this file.")] = None,
    kind: KindOption = None,
) -> None:
    """Tell how a version was made: from data sets and external weights over every job, with who decided what when."""
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        story = versions.provenance(version["reference"])
    picture = {"mermaid": mermaid, "dot": graphviz}.get(story_format)
    lines = [safe(line) for line in (picture(story).splitlines() if picture else story_lines(story))]
    if output is None:
        session.show(story, *lines)
        return
    output.write_text("\n".join(lines) + "\n", "utf-8")
    session.show({"file": str(output), "format": story_format}, f"The story is in {output}.")
