"""What a start tells: the token is whole on any terminal, and never in the log."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from zoo_onebox.home import Home
from zoo_onebox.report import Report

TOKEN = "zoo_" + "x" * 60


@pytest.mark.parametrize("width", [20, 80, 300])
def test_the_token_is_shown_whole_on_any_terminal_and_not_logged(home: Path, width: int) -> None:
    place = Home.create(home)
    screen = io.StringIO()
    report = Report(Console(file=screen, width=width), place)
    url = "http://127.0.0.1:8080"
    report.welcome(url=url, mlflow_url="http://127.0.0.1:5000", admin_user="admin", admin_token=TOKEN, home=place)
    report.close()
    shown = screen.getvalue()
    for expected in (TOKEN, f"zoo login --url {url}", "zoo admin-token", f"{url}/admin/", f"{url}/api/docs", str(home)):
        assert expected in shown
    log = (place.logs / "zoo.log").read_text()
    assert url in log
    assert TOKEN not in log


def test_a_later_start_speaks_of_no_token(home: Path) -> None:
    place = Home.create(home)
    screen = io.StringIO()
    report = Report(Console(file=screen), place)
    report.welcome(url="http://a", mlflow_url="http://b", admin_user="admin", admin_token=None, home=place)
    report.close()
    assert "oken" not in screen.getvalue()
