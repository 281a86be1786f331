"""The root of the command: help, global options, exit codes, errors, commands of other distributions."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import typer

from tests.zoo_client.byte_server import PREFIX, ByteServer
from tests.zoo_client.conftest import Zoo
from zoo_client.cli import main as root
from zoo_client.cli.catalogue import COMMANDS
from zoo_client.cli.exits import EXIT_HELP


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield name, command
    for child, found in (children or {}).items():
        yield from leaves(found, f"{name} {child}")


ALL = [leaf for name in COMMANDS for leaf in leaves(root.load(name), name)]


def test_the_help_names_every_command_and_the_exit_codes(zoo: Zoo) -> None:
    found = zoo("--help")
    assert found.code == 0
    assert all(name in found.out for name in COMMANDS)
    flat = " ".join(found.out.split())
    assert EXIT_HELP[:40] in flat


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_command_has_help_with_an_example_that_calls_it(name: str, command: Any, zoo: Zoo) -> None:
    assert command.help
    assert "Example" in command.epilog
    assert f"$ zoo {name.removesuffix(' list')}" in command.epilog
    found = zoo(*name.split(), "--help")
    assert found.code == 0
    assert "Example" in found.out


def test_the_help_imports_no_http_library() -> None:
    program = "import sys\nfrom zoo_client.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    program += "print([name for name in ('httpx', 'pydantic', 'zoo_sdk.operations') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "hoisted"),
    [
        (["models", "list", "--json"], ["--json", "models", "list"]),
        (["models", "--url", "http://a", "list", "--token=t"], ["--url", "http://a", "--token=t", "models", "list"]),
        (["push", "a/b", "--", "--json"], ["push", "a/b", "--", "--json"]),
        (["foreign", "--json"], ["foreign", "--json"]),
        (["--json"], ["--json"]),
    ],
)
def test_global_options_may_stand_anywhere(words: list[str], hoisted: list[str]) -> None:
    assert root.hoisted(words) == hoisted


def test_a_misspelt_command_and_a_misspelt_variable_name_the_nearest(zoo: Zoo) -> None:
    found = zoo("modells")
    assert found.code == 2
    assert "models" in found.err
    found = zoo("whoami", ZOO_TOKKEN="x")
    assert found.code == 2
    assert "ZOO_TOKEN" in found.err


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (401, "not-authenticated", 3),
        (403, "permission-denied", 3),
        (404, "not-found", 4),
        (410, "gone", 4),
        (409, "conflict", 1),
        (422, "invalid-input", 2),
        (500, "error", 1),
    ],
)
def test_exit_codes_tell_problems_apart(zoo: Zoo, server: ByteServer, status: int, code: str, exit_code: int) -> None:
    server.faults.statuses = [status]
    server.faults.code = code
    found = zoo("whoami", "--json", ZOO_URL=server.url)
    assert found.code == exit_code
    assert found.json["error"]["code"] == code
    assert found.err.startswith(f"Error: told to answer {status}")


def test_an_unreachable_registry_is_exit_code_5_with_the_next_step(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_client.api.FIRST_WAIT_SECONDS", 0.001)
    found = zoo("whoami", "--url", "http://127.0.0.1:1")
    assert found.code == 5
    assert "Hint: Is it running (`zoo up`)?" in found.err


def test_a_fault_of_our_own_is_told_without_a_traceback_which_is_kept(
    zoo: Zoo, server: ByteServer, own_home: Any
) -> None:
    server.answers[PREFIX + "whoami"] = ["not", "an", "object"]
    found = zoo("whoami", ZOO_URL=server.url)
    assert found.code == 1
    assert "a fault of its own" in found.err
    assert "Traceback" in (own_home / "cache" / "zoo" / "last-fault.txt").read_text()


def test_what_others_wrote_cannot_steer_the_terminal(zoo: Zoo, server: ByteServer) -> None:
    server.answers[PREFIX + "whoami"] = {"username": "\x1b]0;evil\x07[red]ada", "scopes": [], "teams": []}
    found = zoo("whoami", ZOO_URL=server.url)
    assert "\x1b" not in found.out
    assert "[red]ada" in found.out


def plugins(monkeypatch: pytest.MonkeyPatch, **targets: str) -> None:
    points = {name: EntryPoint(name, target, root.ENTRY_POINT_GROUP) for name, target in targets.items()}
    monkeypatch.setattr(root, "_plugins", lambda: points)


def greet(name: str) -> None:
    """Say hello."""
    typer.echo(f"hello {name}")


sub = typer.Typer()
sub.command("one")(greet)
sub.command("two")(greet)


def test_functions_and_typers_of_other_distributions_become_commands(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins(monkeypatch, greet=f"{__name__}:greet", group=f"{__name__}:sub")
    assert zoo("greet", "ada").out == "hello ada\n"
    assert zoo("group", "two", "bob").out == "hello bob\n"
    assert "greet" in zoo("--help").out


def test_a_broken_command_of_another_distribution_breaks_only_itself(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins(monkeypatch, broken="no.such.module:thing", models="no.such.module:thing")
    assert zoo("--help").code == 0
    assert zoo("models", "--help").code == 0
    found = zoo("broken")
    assert found.code == 1
    assert "cannot be loaded: ModuleNotFoundError" in found.err


def test_an_interrupted_command_ends_with_130(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo_client.accounts.Accounts.whoami", interrupt)
    assert zoo("whoami").code == 130
