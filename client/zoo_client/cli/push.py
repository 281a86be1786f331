"""``zoo push``: publish files as a new version of a model."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.output import fields
from zoo_client.cli.repositories import CardOption, NameArgument, card_text, given
from zoo_client.cli.session import session_of
from zoo_client.cli.versions import version_facts
from zoo_client.describing import collect_files, describe_artifacts, descriptions_of_pull
from zoo_client.publishing import Draft, publish
from zoo_sdk.artifacts import ArtifactDescription
from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_sdk.measures import MEASURES
from zoo_sdk.vocabulary import LineageRole, Precision, Visibility

MAX_DESCRIPTION_BYTES = 8 * 1024 * 1024

push = single()


@command(
    push,
    "push",
    "zoo push vision/resnet50 ./model --precision fp32 --metric top1=76.1 --seal",
    "zoo push vision/resnet50-slim model.onnx --base vision/resnet50@3 --parent teacher=vision/resnet152@1",
    "zoo push vision/resnet50 ./model --artifacts artifacts.json --notes 'retrained'",
)
def push_command(  # noqa: PLR0913  one option for each fact about the version
    context: typer.Context,
    name: NameArgument,
    sources: Annotated[list[Path], typer.Argument(metavar="FOLDER|FILE...", help="A folder, or files.")],
    *,
    artifacts: Annotated[
        Path | None,
        typer.Option(
            help="JSON list of artifact descriptions (default: by the files' suffixes).", dir_okay=False, exists=True
        ),
    ] = None,
    precision: Annotated[Precision | None, typer.Option(help="Precision of the artifacts found by suffix.")] = None,
    base: Annotated[str | None, typer.Option(help="The version that this was made from: team/name@3 or a URI.")] = None,
    parent: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=REF", help="Another parent: role=team/name@3 or role=URI; repeatable."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A metric that you report; may be repeated.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set of the reported metrics.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the reported metrics.")] = None,
    title: Annotated[str | None, typer.Option(help="Title, if the model is new.")] = None,
    task: Annotated[str | None, typer.Option(help="Task, if the model is new.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, if the model is new.")] = None,
    visibility: Annotated[Visibility | None, typer.Option(help="Who may read, if the model is new.")] = None,
    card: CardOption = None,
    notes: Annotated[str, typer.Option(help="What is new in this version.")] = "",
    seal: Annotated[bool, typer.Option("--seal", help="Seal it at once.")] = False,
) -> None:
    """Publish files as a new version.  The model is created if it does not exist.

    Bytes that your team has in the registry already are not sent again, and a broken upload goes on where it was.
    """
    session = session_of(context)
    files = collect_files(sources)
    described = _read_descriptions(artifacts) if artifacts else descriptions_of_pull(sources, files)
    about = given(dataset=dataset, split=split)
    draft = Draft(
        files=files,
        artifacts=described or describe_artifacts(files, precision),
        notes=notes,
        parents=[_parent("base", base)] * bool(base) + [_parent(*_pair(text, "--parent")) for text in parent or ()],
        metrics=[_metric(*_pair(text, "--metric"), about) for text in metric or ()],
        seal=seal,
        repository=given(title=title, task=task, licence=licence, visibility=visibility, card=card_text(card)),
    )
    size = sum(file.source.stat().st_size for file in files)
    with session.client() as client, session.bytes_bar(f"Publishing {name}", size) as progress:
        version = publish(client, "models", name, draft, progress=progress)
    session.show(version, lambda: fields(version_facts(version)))
    for item in version["artifacts"]:
        for text in item.get("contradictions", []):
            session.note(f"Note: {text}")
    if not draft.artifacts:
        session.note(
            "No file was recognised as a model; describe artifacts with --artifacts to let jobs use the version."
        )
    if not seal:
        session.note(f"It is a draft; `zoo seal {version['reference']}` makes it immutable and visible.")


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise InvalidInput(f"{option} {text!r} is not of the form NAME=VALUE.")
    return name, value


def _parent(role: str, value: str | None) -> dict[str, Any]:
    roles = [member.value for member in LineageRole]
    if role not in roles:
        raise UnknownName("lineage role", role, roles)
    return {"role": role, "external_uri" if "://" in (value or "") else "parent": value}


def _metric(name: str, value: str, about: dict[str, Any]) -> dict[str, Any]:
    if name not in MEASURES:
        raise UnknownName("metric", name, MEASURES)
    try:
        return {"name": name, "value": float(value), **about}
    except ValueError as error:
        raise InvalidInput(f"--metric {name}={value}: {value!r} is not a number.") from error


def _read_descriptions(path: Path) -> list[ArtifactDescription]:
    if path.stat().st_size > MAX_DESCRIPTION_BYTES:
        raise InvalidInput(f"{path} is larger than {MAX_DESCRIPTION_BYTES} bytes.")
    try:
        content = json.loads(path.read_text("utf-8"))
        return [
            ArtifactDescription.model_validate(item) for item in (content if isinstance(content, list) else [content])
        ]
    except ValueError as error:
        raise InvalidInput(f"{path} holds no artifact descriptions: {str(error)[:500]}") from error
