"""Arguments and options that many commands share."""

from typing import Annotated

import typer

from zoo_client.cli.session import KindChoice

RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="team/name@3, team/name@alias, or team/name for the newest.")
]
KindOption = Annotated[
    KindChoice | None, typer.Option("--kind", help="model or dataset, where both have that name (default: the model).")
]
