"""``zoo submit``: its input options are the ports of the operation, asked from the registry."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zoo_client.cli.commands import command, single
from zoo_client.cli.job_commands import job_facts, watch_job
from zoo_client.cli.operations import operation_help
from zoo_client.cli.output import fields
from zoo_client.cli.repositories import given
from zoo_client.cli.session import session_of
from zoo_client.parameters import typed_parameters
from zoo_client.submission import read_inputs, read_outputs
from zoo_sdk.errors import InvalidInput
from zoo_sdk.operations import MAX_GPUS

MAX_PARAMS_BYTES = 1024 * 1024
FIXED_OPTIONS = (
    "--param", "--params-file", "--output", "--team", "--seed", "--gpus", "--priority", "--max-attempts",
    "--time-limit", "--cache", "--no-cache", "--key", "--watch", "--json", "--url", "--token", "--help",
)  # fmt: skip

CacheChoice = Literal["use", "refresh", "off"]

submit = single()


@command(
    submit,
    "submit",
    "zoo submit torch.distill --help",
    "zoo submit torch.distill --student a/student@1 --teacher a/teacher@2 --teacher a/other@1=0.5 --data a/digits@1 "
    "--param temperature=4 --output a/student --watch",
    # --help must reach the operation: `zoo submit torch.distill --help` shows its ports and parameters
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def submit_command(  # noqa: PLR0913  one option for each field of the submission
    context: typer.Context,
    operation: Annotated[
        str | None, typer.Argument(help="For example torch.distill; `zoo operations` lists them.")
    ] = None,
    *,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="KEY=VALUE", help="May be repeated.")
    ] = None,
    params_file: Annotated[
        Path | None, typer.Option(help="JSON object of parameters; --param overrides it.", exists=True, dir_okay=False)
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option(metavar="TEAM/NAME", help="Model that gets the result; or PORT=TEAM/NAME.")
    ] = None,
    team: Annotated[str | None, typer.Option(help="Team that owns the job (default: found out from inputs).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, max=MAX_GPUS, help="GPUs of one worker (default: what the operation needs).")
    ] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="Higher is sooner.")] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1, help="Attempts, if workers are lost.")] = None,
    time_limit: Annotated[int | None, typer.Option(min=1, help="Seconds after which it is stopped.")] = None,
    cache: Annotated[
        CacheChoice, typer.Option(help="Take an equal job's result; run and keep (refresh); or just run (off).")
    ] = "use",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="The same as --cache off.")] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key answers the same job.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the job to its end.")] = False,
    wants_help: Annotated[bool, typer.Option("--help", help="Show the operation's ports and parameters.")] = False,
) -> None:
    """Submit a job.  Each input of the operation is an option: --PORT team/name@1, or --PORT team/name@1=WEIGHT."""
    session = session_of(context)
    if operation is None or operation.startswith("-"):
        _general_help(context, wants_help=wants_help)
    with session.client() as client:
        manifest = client.operations.manifest(str(operation))
        if wants_help:
            session.show(manifest.model_dump(mode="json"), context.get_help, "", lambda: operation_help(manifest))
            return
        params = _file_parameters(params_file) | typed_parameters(manifest.params_schema, param or ())
        job = client.jobs.submit(
            manifest.name,
            inputs=read_inputs(manifest, context.args, fixed_options=FIXED_OPTIONS),
            params=params,
            outputs=read_outputs(manifest, output or ()),
            idempotency_key=key,
            cache="off" if no_cache else cache,
            **given(team=team, seed=seed, gpus=gpus, priority=priority),
            **given(max_attempts=max_attempts, time_limit_seconds=time_limit),
        )
        if job.get("cached_from"):
            session.show(job, lambda: fields(job_facts(job)))
        elif watch:
            session.note(f"Job {job['id']} is queued on {job['queue']}.")
            if job["waiting_for"]:
                session.note(f"It waits for {job['waiting_for']}.")
            watch_job(session, client, job["id"])
        else:
            session.show(job, lambda: fields(job_facts(job)))
            session.note(f"`zoo jobs watch {job['id']}` follows it.")


def _general_help(context: typer.Context, *, wants_help: bool) -> None:
    typer.echo(context.get_help())
    if not wants_help:
        raise InvalidInput("No operation is named.", hint="`zoo operations` lists them.")
    raise typer.Exit


def _file_parameters(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    if path.stat().st_size > MAX_PARAMS_BYTES:
        raise InvalidInput(f"{path} is larger than {MAX_PARAMS_BYTES} bytes.")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{path} holds no JSON object.", hint='Write {"temperature": 4}.')
    return content
