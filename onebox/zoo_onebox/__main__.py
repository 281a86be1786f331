"""`python -m zoo_onebox up`: the room's commands without the client."""

import typer

from zoo_onebox.commands import down, status, up

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A whole Zoo on one machine.")
app.command("up")(up)
app.command("down")(down)
app.command("status")(status)

if __name__ == "__main__":
    app(prog_name="python -m zoo_onebox")
