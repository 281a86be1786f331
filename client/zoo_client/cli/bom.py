"""``zoo bom``: a version's bill of materials."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.options import KindOption, RefArgument
from zoo_client.cli.session import kind_option, session_of
from zoo_client.cli.text import as_json

bom = single()


@command(
    bom,
    "bom",
    "zoo bom vision/resnet50@4 > resnet50.cdx.json",
    "zoo bom vision/resnet50@4 --format spdx --output resnet50.spdx.json",
)
def bom_command(
    context: typer.Context,
    ref: RefArgument,
    *,
    bom_format: Annotated[
        Literal["cyclonedx", "spdx"],
        typer.Option("--format", help="CycloneDX 1.6 ML-BOM, or SPDX 3.0.1 with the AI profile."),
    ] = "cyclonedx",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it into this file.")] = None,
    kind: KindOption = None,
) -> None:
    """Print what a version is made of: files, ancestors, data sets, licence, metrics; always as JSON."""
    session = session_of(context)
    with session.client() as client:
        versions, version = client.find(ref, kind_option(kind))
        document = versions.bom(version["reference"], bom_format)
    text = as_json(document)
    if output is None:
        sys.stdout.write(text + "\n")  # whole, with and without --json
        return
    output.write_text(text + "\n", "utf-8")
    session.show({"file": str(output), "format": bom_format}, f"The {bom_format} document is in {output}.")
