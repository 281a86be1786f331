"""What every command has: the global options, the client, and its voices on standard output and standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from zoo_client.client import Client
    from zoo_client.transfer.digests import Progress

KindChoice = Literal["model", "dataset"]


@dataclass
class Session:
    """The global options of one call of ``zoo``."""

    as_json: bool = False
    url: str | None = None
    token: str | None = None

    @contextmanager
    def client(self) -> "Iterator[Client]":
        """The registry that options, environment and login file name."""
        from zoo_client.client import Client

        with Client(self.url, self.token) as client:
            yield client

    def show(self, value: Any, *renderables: "RenderableType | Callable[[], RenderableType]") -> None:
        """The command's answer: ``value`` as JSON with ``--json``, else the renderables, made only if needed."""
        from zoo_client.cli.text import as_json, safe

        if self.as_json:
            sys.stdout.write(as_json(value) + "\n")
            return
        for renderable in renderables:
            made = renderable() if callable(renderable) else renderable
            if isinstance(made, str):
                sys.stdout.write(safe(made) + "\n")
            else:
                from zoo_client.cli.output import console

                console().print(made)

    def note(self, text: str) -> None:
        """A word for people, on standard error."""
        from zoo_client.cli.text import safe

        sys.stderr.write(safe(text) + "\n")

    @contextmanager
    def bytes_bar(self, title: str, total: int | None) -> "Iterator[Progress]":
        """A bar with rate and time left on standard error, if that is a terminal."""
        if not sys.stderr.isatty():
            from zoo_client.transfer.digests import ignore_progress

            yield ignore_progress
            return
        from zoo_client.cli.bars import bytes_bar

        with bytes_bar(title, total) as advance:
            yield advance


def session_of(context: typer.Context) -> Session:
    """The session that the root command made."""
    found = context.find_root().obj
    return found if isinstance(found, Session) else Session()


def kind_option(kind: KindChoice | None) -> Any:
    """``models`` or ``datasets`` for the client, None for either."""
    return f"{kind}s" if kind else None
