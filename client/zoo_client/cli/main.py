"""The root of the ``zoo`` command: global options, commands loaded when they are called, errors as exit codes."""

import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from zoo_client import __version__
from zoo_client.cli.catalogue import COMMANDS
from zoo_client.cli.exits import EXIT_HELP, EXIT_INTERRUPTED, exit_code_of, tell
from zoo_client.cli.session import Session
from zoo_sdk.environment import check_environment
from zoo_sdk.errors import ZooError

ENTRY_POINT_GROUP = "zoo.commands"
GLOBAL_FLAGS = frozenset({"--json"})
GLOBAL_VALUES = frozenset({"--url", "--token"})


class RootGroup(TyperGroup):
    """Knows every command by name and summary, and imports one only to run it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *(name for name in _plugins() if name not in COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that has the name and the summary, for listings and completion."""
        if cmd_name in COMMANDS:
            entry = COMMANDS[cmd_name]
            return TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)
        if cmd_name in _plugins():
            summary = f"From {_origin(_plugins()[cmd_name])}."
            return TyperCommand(cmd_name, help=summary, rich_help_panel="Of other distributions")
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS:  # without a look at what is installed, which takes a tenth of a second
            return args[0], load(args[0]), args[1:]
        self.commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}  # for suggestions
        name, found, rest = super().resolve_command(ctx, args)
        return name, (load(name) if name and found is not None else None), rest


def load(name: str) -> Any:
    """The real command of that name."""
    if name in COMMANDS:
        module, _, attribute = COMMANDS[name].target.partition(":")
        app = getattr(import_module(f"zoo_client.cli.{module}"), attribute)
    else:
        point = _plugins()[name]
        try:
            app = point.load()
        except Exception as error:
            raise ZooError(
                f"The command {name!r} of {_origin(point)} cannot be loaded: {type(error).__name__}: {error}",
                hint="Reinstall that distribution, or remove it.",
            ) from error
    if not isinstance(app, typer.Typer):
        function, app = app, typer.Typer(add_completion=False)
        app.command(name)(function)
    command = typer.main.get_command(app)
    command.name = name
    return command


@cache
def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.value)}


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


app = typer.Typer(
    cls=RootGroup,
    name="zoo",
    help="Find, fetch, make, curate and audit models in a Zoo registry.",
    epilog=(
        "The options --json, --url and --token may stand anywhere. The registry is --url, else ZOO_URL, else that of "
        f"the last `zoo login`.\n\n{EXIT_HELP}\n\nExample:\n\n$ zoo pull vision/resnet50@production ./model"
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  Typer's callback protocol
    if wanted:
        sys.stdout.write(f"zoo {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output, for scripts.")] = False,
    url: Annotated[str | None, typer.Option(help="Address of the registry.")] = None,
    token: Annotated[str | None, typer.Option(help="Token to use.")] = None,
    version: Annotated[  # noqa: ARG001  its callback acts on it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find, fetch, make, curate and audit models in a Zoo registry."""
    context.obj = Session(as_json=json, url=url, token=token)


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Move the global options to the front, where the root command takes them; those of other distributions stay."""
    rest: list[str] = []
    front: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name = word.split("=", 1)[0]
        if word == "--":
            rest += [word, *words]
            break
        if word in GLOBAL_FLAGS or ("=" in word and name in GLOBAL_VALUES):
            front.append(word)
        elif word in GLOBAL_VALUES and words:
            front += [word, words.pop(0)]
        else:
            rest.append(word)
    command = next((word for word in rest if not word.startswith("-")), None)
    return [*front, *rest] if command is None or command in COMMANDS else list(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``zoo``; ends the process with the documented exit code."""
    words = hoisted(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        check_environment(os.environ)
        app(words, prog_name="zoo")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: the exit's flush must not fail
        sys.exit(0)
    except Exception as error:  # noqa: BLE001  people never see a traceback
        tell(error, as_json=as_json)
        sys.exit(exit_code_of(error))
