"""How commands are written: a Typer with our defaults, an example for each command, groups that list by default."""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class ListingGroup(TyperGroup):
    """``zoo models --task x`` means ``zoo models list --task x``, as does ``zoo versions a/b``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help") or "/" in args[0]:
            args = ["list", *args]
        return super().parse_args(ctx, args)


def group(summary: str) -> typer.Typer:
    """A group of commands with a default ``list``."""
    return typer.Typer(cls=ListingGroup, help=summary, add_completion=False)


def single() -> typer.Typer:
    """A command that stands alone (``zoo pull``)."""
    return typer.Typer(add_completion=False)


def command(app: typer.Typer, name: str, *examples: str, **settings: Any) -> Callable[[FunctionT], FunctionT]:
    """Register a command whose help ends with examples; the docstring is its help."""
    lines = "\n\n".join(f"$ {example}" for example in examples)
    return app.command(name, epilog=f"Examples:\n\n{lines}", **settings)
