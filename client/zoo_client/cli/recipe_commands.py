"""``zoo recipe``: validate, plan, run, watch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zoo_client.cli.commands import command
from zoo_client.cli.output import fields
from zoo_client.cli.pipeline_commands import pipeline_sections, watch_pipeline
from zoo_client.cli.plans import parameters_view, plan_view
from zoo_client.cli.session import session_of
from zoo_client.client import Client
from zoo_client.pipelines import Filling, RecipeText, typed_text
from zoo_client.records import CheckedRecipe
from zoo_sdk.errors import InvalidInput, NotFound

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The recipe, a YAML file.", exists=True, dir_okay=False, readable=True)
]
SetOption = Annotated[str | None, typer.Option("--set", "-s", help="A parameter set of the recipe, such as small.")]
InputOption = Annotated[
    list[str] | None, typer.Option("--input", "-i", metavar="NAME=REF", help="A version for an input of the recipe.")
]
ValueOption = Annotated[
    list[str] | None,
    typer.Option("--value", "-v", metavar="NAME=VALUE", help="Replaces a value of the recipe, or NAME.MEMBER of it."),
]
AxisOption = Annotated[
    list[str] | None, typer.Option("--axis", "-a", metavar="NAME=V,V", help="Replaces the values of an axis.")
]
TeamOption = Annotated[str | None, typer.Option(help="Team that owns the jobs and models (default: your only one).")]
CacheOption = Annotated[
    Literal["use", "refresh", "off"], typer.Option(help="As for a job: take equal results, run and keep, or just run.")
]

recipe = typer.Typer(help="Check, plan, run and watch a recipe.", add_completion=False, no_args_is_help=True)


@command(recipe, "validate", "zoo recipe validate recipes/resnet50-distill.yaml", "zoo recipe validate recipes/*.yaml")
def validate_command(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Recipes.", exists=True, dir_okay=False, readable=True)
    ],
) -> None:
    """Check recipes.  Mistakes are printed as file:line:column: key: message, all at once; exit code 2."""
    session = session_of(context)
    checked: list[CheckedRecipe] = []
    faults: list[InvalidInput] = []
    with session.client() as client:
        for path in files:
            try:
                checked.append(client.recipes.validate(RecipeText.read(path)))
            except InvalidInput as error:
                faults.append(error)
    if faults:
        raise faults[0] if len(faults) == 1 else _together(faults, len(files))
    session.show(checked[0] if len(files) == 1 else checked, *(lambda row=row: fields(_facts(row)) for row in checked))


def _together(faults: Sequence[InvalidInput], files: int) -> InvalidInput:
    errors = [item for fault in faults for item in fault.facts.get("errors", [{"message": str(fault), "key": ""}])]
    return InvalidInput(f"{len(faults)} of {files} recipes are wrong.", facts={"errors": errors})


def _facts(row: CheckedRecipe) -> list[tuple[str, object]]:
    return [
        ("recipe", row["name"]),
        ("summary", row["summary"]),
        ("inputs", _names(row["inputs"])),
        ("sets", _names(row["sets"])),
        ("axes", _names(row["axes"])),
        ("steps", [f"{step['name']} ({step['operation']})" for step in row["steps"]]),
        ("outputs", _names(row["outputs"])),
    ]


def _names(value: Any) -> list[str]:
    """Names of a mapping's entries, or of a list of rows with names."""
    return [str(item["name"]) if isinstance(item, dict) else str(item) for item in value or ()]


@command(
    recipe,
    "plan",
    "zoo recipe plan recipes/resnet50-distill.yaml --set small --input data=vision/fashion-mnist@1",
    "zoo recipe plan recipes/resnet50-distill.yaml --params",
)
def plan_command(  # noqa: PLR0913  one option for each field of the request, and one for what is shown
    context: typer.Context,
    file: FileArgument,
    *,
    parameter_set: SetOption = None,
    inputs: InputOption = None,
    values: ValueOption = None,
    axes: AxisOption = None,
    team: TeamOption = None,
    cache: CacheOption = "use",
    params: Annotated[bool, typer.Option("--params", help="Show each step's parameters, as merged.")] = False,
) -> None:
    """Show the graph, what the result cache has of it, and what the rest will cost; nothing is started."""
    session = session_of(context)
    filling = read_filling(parameter_set, team, inputs=inputs, values=values, axes=axes, cache=cache)
    with session.client() as client:
        plan = client.recipes.plan(RecipeText.read(file), **filling)
    session.show(plan, lambda: plan_view(plan), *((lambda: parameters_view(plan),) if params else ()))


@command(
    recipe,
    "run",
    "zoo recipe run recipes/resnet50-distill.yaml --set small --input data=vision/fashion-mnist@1",
    "zoo recipe run recipes/resnet50-slim.yaml -s full -i data=vision/imagenet@1 --value training.epochs=120 --detach",
)
def run_command(  # noqa: PLR0913  one option for each field of the request
    context: typer.Context,
    file: FileArgument,
    *,
    parameter_set: SetOption = None,
    inputs: InputOption = None,
    values: ValueOption = None,
    axes: AxisOption = None,
    team: TeamOption = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="Of its jobs; higher is sooner.")] = None,
    cache: CacheOption = "use",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="The same as --cache off.")] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key answers the same pipeline.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for its end.")] = False,
) -> None:
    """Run a recipe and follow all its steps to the end; exit code 1 if it fails or a gate stops it."""
    session = session_of(context)
    mode = "off" if no_cache else cache
    filling = read_filling(parameter_set, team, inputs=inputs, values=values, axes=axes, cache=mode)
    with session.client() as client:
        pipeline = client.pipelines.start(RecipeText.read(file), priority=priority, idempotency_key=key, **filling)
        if detach:
            session.show(pipeline, *pipeline_sections(pipeline))
            session.note(f"`zoo pipelines watch {pipeline['id']}` follows it.")
        else:
            watch_pipeline(session, client, pipeline["id"])


@command(
    recipe,
    "watch",
    "zoo recipe watch recipes/resnet50-distill.yaml",
    "zoo recipe watch 0198f0c2-...",
)
def watch_command(
    context: typer.Context,
    which: Annotated[str, typer.Argument(metavar="FILE|PIPELINE", help="A recipe: its newest pipeline; or an id.")],
) -> None:
    """Follow a pipeline to its end; exit code 1 if it fails or a gate stops it."""
    session = session_of(context)
    with session.client() as client:
        pipeline = _newest_of(client, Path(which)) if Path(which).is_file() else which
        watch_pipeline(session, client, pipeline)


def _newest_of(client: Client, path: Path) -> str:
    name = client.recipes.validate(RecipeText.read(path))["name"]
    found = client.pipelines.list(name=name, limit=1)["results"]
    if not found:
        raise NotFound(f"There is no pipeline of the recipe {name}.", hint=f"`zoo recipe run {path}` starts one.")
    return str(found[0]["id"])


def read_filling(
    parameter_set: str | None,
    team: str | None,
    *,
    inputs: Sequence[str] | None,
    values: Sequence[str] | None,
    axes: Sequence[str] | None,
    cache: str,
) -> Filling:
    """The options as the routes take them."""
    filling: Filling = {
        "set": parameter_set,
        "team": team,
        "inputs": _pairs("--input", "data=team/name@1", inputs),
        "values": _nested(_pairs("--value", "epochs=3", values)),
        "axes": {name: _axis(text) for name, text in _pairs("--axis", "seed=0,1,2", axes).items()},
    }
    if cache != "use":
        filling["cache"] = cache
    return filling


def _nested(texts: Mapping[str, str]) -> dict[str, Any]:
    """Values by name; ``training.epochs`` is the member of a value that is a mapping, the others of which stay."""
    found: dict[str, Any] = {}
    for path, text in texts.items():
        name, dot, member = path.partition(".")
        if not dot:
            found[name] = typed_text(text)
        elif any(path.startswith(f"{other}.") for other in texts):
            raise InvalidInput(f"--value gives both {name} and {path}.", hint="Give the whole value, or its members.")
        else:
            found.setdefault(name, {})[member] = typed_text(text)
    return found


def _axis(text: str) -> list[Any]:
    whole = typed_text(text)
    return whole if isinstance(whole, list) else [typed_text(part.strip()) for part in text.split(",")]


def _pairs(option: str, example: str, texts: Sequence[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInput(f"{option} {text!r} is not of the form name=value.", hint=f"Write {option} {example}.")
        if name in found:
            raise InvalidInput(f"{option} names {name!r} twice.", hint="Give each name once.")
        found[name] = value
    return found
