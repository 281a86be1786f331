"""`python -m zoo_onebox up`: the room's commands without the client."""

import sys

import typer

from zoo_onebox.commands import admin_token, down, status, up
from zoo_sdk.errors import ZooError

EXIT_FAILED = 1

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="A whole Zoo on one machine."
)
app.command("up")(up)
app.command("down")(down)
app.command("status")(status)
app.command("admin-token")(admin_token)


def main() -> None:
    """Run the command line; an error of ours is told without a traceback."""
    try:
        app(prog_name="python -m zoo_onebox")
    except ZooError as error:
        sys.stderr.write(f"Error: {error.detail}\n{error.hint}\n")
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
