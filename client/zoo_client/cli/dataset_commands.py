"""``zoo datasets``: the commands of every kind, and ``push`` that recognises a data set on disk."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo_client.cli.commands import command
from zoo_client.cli.output import fields
from zoo_client.cli.repositories import CardOption, NameArgument, card_text, given, repository_commands
from zoo_client.cli.session import session_of
from zoo_client.cli.versions import version_facts
from zoo_client.datasets import describe_dataset
from zoo_client.describing import collect_files
from zoo_client.publishing import Draft, publish
from zoo_sdk.errors import InvalidInput
from zoo_sdk.vocabulary import Visibility

MAX_CLASSES_BYTES = 8 * 1024 * 1024

datasets = repository_commands("datasets", "List, show, create, edit and publish data sets.")


@command(
    datasets,
    "push",
    "zoo datasets push vision/fashion-mnist ./fashion-mnist --classes shirt,trouser,pullover",
    "zoo datasets push vision/digits digits.npz --format npz",
    "zoo datasets push vision/pets ./pets --format image-folder",
)
def push_command(  # noqa: PLR0913  one option for each fact about the data set
    context: typer.Context,
    name: NameArgument,
    sources: Annotated[list[Path], typer.Argument(metavar="FOLDER|FILE...", help="A folder, or files.")],
    *,
    format_name: Annotated[
        Literal["idx", "npz", "image-folder"] | None, typer.Option("--format", help="Default: found out by the names.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of the classes in the order of the labels, with commas.")
    ] = None,
    classes_file: Annotated[
        Path | None, typer.Option(help="Or a text file with one class on each line.", exists=True, dir_okay=False)
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title, if the data set is new.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, if the data set is new.")] = None,
    visibility: Annotated[Visibility | None, typer.Option(help="Who may read, if the data set is new.")] = None,
    card: CardOption = None,
    notes: Annotated[str, typer.Option(help="What is new in this version.")] = "",
    seal: Annotated[bool, typer.Option("--seal/--draft", help="Seal it, so that jobs may use it.")] = True,
) -> None:
    """Publish a new version of a data set: IDX pairs, npz archives, or folders of images by split and class."""
    session = session_of(context)
    files = collect_files(sources)
    description = describe_dataset(files, format_name=format_name, classes=_classes(classes, classes_file))
    draft = Draft(
        files=files,
        dataset=description,
        notes=notes,
        seal=seal,
        repository=given(
            title=title, licence=licence, visibility=visibility, card=card_text(card), task=description.task
        ),
    )
    size = sum(file.source.stat().st_size for file in files)
    with session.client() as client, session.bytes_bar(f"Publishing {name}", size) as progress:
        version = publish(client, "datasets", name, draft, progress=progress)
    session.show(version, lambda: fields(version_facts(version)))


def _classes(text: str | None, file: Path | None) -> list[str]:
    if text and file:
        raise InvalidInput("Both --classes and --classes-file are given.", hint="Give one of them.")
    if file:
        if file.stat().st_size > MAX_CLASSES_BYTES:
            raise InvalidInput(f"{file} is larger than {MAX_CLASSES_BYTES} bytes.")
        return [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
    return [part.strip() for part in text.split(",")] if text else []
