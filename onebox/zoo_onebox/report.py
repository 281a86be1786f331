"""What `zoo up` tells: lines on the terminal for people, and the same in ``logs/zoo.log`` (never a secret)."""

import logging
from logging.handlers import RotatingFileHandler

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from zoo_onebox.home import Home


class Report:
    """The voice of a start; ``console`` is where people read."""

    def __init__(self, console: Console, home: Home) -> None:
        self.console = console
        self._log = logging.getLogger(f"zoo_onebox.{id(self)}")
        self._log.setLevel(logging.INFO)
        self._log.propagate = False  # the terminal has been told already
        handler = RotatingFileHandler(home.logs / "zoo.log", maxBytes=5_000_000, backupCount=3, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._log.addHandler(handler)

    def done(self, title: str, seconds: float) -> None:
        """A part is ready, or a step is done."""
        self.console.print(Text.assemble(("✔ ", "green"), f"{title:<26}", (f"{seconds:6.1f} s", "dim")))
        self._log.info("%s ready after %.1f s", title, seconds)

    def stopped(self, title: str, seconds: float) -> None:
        """A part has ended because we asked."""
        self.console.print(Text.assemble(("■ ", "dim"), f"{title:<26}", (f"{seconds:6.1f} s", "dim")))
        self._log.info("%s stopped after %.1f s", title, seconds)

    def say(self, text: str) -> None:
        """Something that is worth knowing."""
        self.console.print(Text(text))
        self._log.info("%s", text)

    def warn(self, text: str) -> None:
        """Something that went wrong and is being dealt with."""
        self.console.print(Text.assemble(("! ", "bold yellow"), text))
        self._log.warning("%s", text)

    def fail(self, text: str) -> None:
        """Something that went wrong and ends the start."""
        self.console.print(Text.assemble(("✘ ", "bold red"), text))
        self._log.error("%s", text)

    def welcome(self, *, url: str, mlflow_url: str, admin_user: str, admin_token: str | None, home: Home) -> None:
        """Where the Zoo is; on the first start also the administrator's token, here and nowhere else."""
        lines: list[Text] = [_line("Zoo", url), _line("MLflow", mlflow_url), _line("Home", str(home.root))]
        if admin_token:
            lines += [
                Text(),
                _line("Administrator", admin_user),
                _line("Token", admin_token, "bold yellow"),
                Text("The token is shown this once: only its hash is kept. Another one: zoo admin-token", style="dim"),
                Text(),
                _line("Next", f"zoo login --url {url}   (asks for the token)"),
            ]
        lines += [
            _line("Admin pages", f"{url}/admin/"),
            _line("API", f"{url}/api/docs"),
            _line("Stop", "Ctrl-C, or: zoo down"),
        ]
        title = "Zoo runs: first start" if admin_token else "Zoo runs"
        panel = Panel(Text("\n").join(lines), title=title, border_style="green", expand=False)
        # As wide as its longest line, whatever the terminal's width: a token that is cut is lost.
        before = self.console.width
        self.console.width = max(before, *(line.cell_len + 4 for line in lines))
        self.console.print(panel)
        self.console.width = before
        self._log.info("ready at %s, MLflow at %s", url, mlflow_url)

    def close(self) -> None:
        """Close the log."""
        for handler in list(self._log.handlers):
            handler.close()
            self._log.removeHandler(handler)


def _line(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name:<14}", "dim"), (value, style))
