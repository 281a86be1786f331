"""Runs the Zoo of a home from taking its lock to giving it back: clears up after a crash, starts, watches, stops."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import psutil
from rich.console import Console

from zoo_onebox.home import Home, HomeLock
from zoo_onebox.leftovers import end_leftovers
from zoo_onebox.network import checked_port
from zoo_onebox.parts import Options, Zoo
from zoo_onebox.postgres import find_server, forget_crash
from zoo_onebox.report import Report
from zoo_onebox.session import ManagerLost, Session
from zoo_onebox.signals import StopSignals
from zoo_sdk.errors import Conflict

MANAGER_LIVES = 3


@dataclass(frozen=True)
class Announcement:
    """How to tell that the Zoo is up: to people on ``console``, to a program as JSON, and to who waits (``ready``)."""

    console: Console
    as_json: bool
    ready: Callable[[], None]


def is_running(home: Home) -> bool:
    """Whether somebody holds the home's lock."""
    if not home.root.is_dir():
        return False
    lock = HomeLock(home)
    free = lock.acquire()
    lock.release()
    return not free


def serve(
    home: Home, options: Options, announcement: Announcement, assemble: Callable[[Home, Options], Zoo] = Zoo
) -> None:
    """Run the Zoo that ``assemble`` makes until a stop signal.

    Raises:
        Conflict: a Zoo runs on this home already, or a port is taken.
        StartFailed: a part did not come up.

    """
    lock = HomeLock(home)
    if not lock.acquire():
        raise _already_running(home)
    report = Report(announcement.console, home)
    try:
        clear_up(home, report)
        options = _with_ports(options)
        with StopSignals() as signals:
            _run(partial(assemble, home, options), signals, report, announcement)
    finally:
        home.clear_run()
        report.close()
        lock.release()


def clear_up(home: Home, report: Report) -> None:
    """End what a killed run left, and forget its sockets and process ids."""
    names = end_leftovers(home, _servers(home))
    if names:
        report.warn(f"ended what an earlier run had left: {', '.join(names)}")
    forget_crash(home)


def _run(assemble: Callable[[], Zoo], signals: StopSignals, report: Report, announcement: Announcement) -> None:
    for life in range(1, MANAGER_LIVES + 1):
        zoo = assemble()
        session = Session(zoo.home, zoo.tasks(), zoo.sockets, report)
        session.facts = {"url": zoo.url, "mlflow_url": zoo.mlflow_url}
        session.servers = partial(_servers, zoo.home)
        if life == 1:
            session.on_ready = partial(announce, zoo, report, announcement)
        try:
            session.run(signals)
        except ManagerLost as error:
            if life == MANAGER_LIVES or signals.count:
                raise
            report.warn(f"{error.detail} All is started again.")
            forget_crash(zoo.home)
        else:
            return


def _servers(home: Home) -> list[psutil.Process]:
    server = find_server(home)
    return [server] if server else []


def announce(zoo: Zoo, report: Report, announcement: Announcement) -> None:
    """Tell where the Zoo is; the administrator's token, if there is a new one, is told here and never again."""
    bootstrap = zoo.bootstrap
    if announcement.as_json:
        answer = {
            "url": zoo.url,
            "mlflow_url": zoo.mlflow_url,
            "pid": os.getpid(),
            "home": str(zoo.home.root),
        }
        answer |= {"admin_user": bootstrap.admin_user, "admin_token": bootstrap.admin_token}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    report.welcome(
        url=zoo.url,
        mlflow_url=zoo.mlflow_url,
        admin_user=bootstrap.admin_user,
        admin_token=None if announcement.as_json else bootstrap.admin_token,
        home=zoo.home,
    )
    announcement.ready()


def _with_ports(options: Options) -> Options:
    port = checked_port(options.host, options.port, "port")
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return replace(options, port=port)
    return replace(options, port=port, mlflow_port=checked_port("127.0.0.1", options.mlflow_port, "mlflow-port"))


def _already_running(home: Home) -> Conflict:
    note = home.read_note()
    where = f" at {note['url']}" if note.get("url") else ""
    who = f" (process {note['pid']})" if note.get("pid") else ""
    return Conflict(
        f"A Zoo runs on {home.root} already{where}{who}.", hint="Stop it by `zoo down`, or choose another --home."
    )
