"""Where address and token come from."""

from pathlib import Path

import pytest

from zoo_client.credentials import DEFAULT_URL, LoginFile, resolve
from zoo_sdk.errors import InvalidInput, UnknownName


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_options_come_before_the_environment_before_the_login_file(environ: dict[str, str], tmp_path: Path) -> None:
    assert resolve(None, None, environ).url == DEFAULT_URL
    LoginFile(tmp_path / "zoo" / "login.json").keep("http://kept", "zoo_kept")
    assert (resolve(None, None, environ).url, resolve(None, None, environ).token) == ("http://kept", "zoo_kept")
    environ |= {"ZOO_URL": "http://env/", "ZOO_TOKEN": "zoo_env"}
    assert (resolve(None, None, environ).url, resolve(None, None, environ).token) == ("http://env", "zoo_env")
    found = resolve("http://option", "zoo_option", environ)
    assert (found.url, found.token, found.url_from) == ("http://option", "zoo_option", "--url")


def test_a_kept_token_is_never_sent_to_another_registry(environ: dict[str, str], tmp_path: Path) -> None:
    LoginFile(tmp_path / "zoo" / "login.json").keep("http://kept", "zoo_kept")
    assert resolve("http://other", None, environ).token is None


def test_the_login_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = LoginFile(tmp_path / "zoo" / "login.json")
    file.keep("http://kept", "zoo_kept")
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o077 == 0
    assert file.forget("http://kept")
    assert not file.forget("http://kept")
    assert file.token("http://kept") is None


def test_a_damaged_login_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "login.json"
    path.write_text("{")
    with pytest.raises(InvalidInput, match="sign in again"):
        LoginFile(path).current()


def test_an_unknown_variable_names_the_nearest(environ: dict[str, str]) -> None:
    with pytest.raises(UnknownName, match="ZOO_TOKEN"):
        resolve(None, None, environ | {"ZOO_TOKN": "x"})
