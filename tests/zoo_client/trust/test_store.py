"""Whom a user trusts: a registry's keys on first use, then only what a trusted key vouches for."""

from pathlib import Path

import pytest

from zoo_client.trust.store import TrustStore, read_key_file
from zoo_sdk.errors import InvalidInput, NotFound

from .conftest import URL, Signer


@pytest.fixture
def store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "config" / "keys.json")


def test_the_first_look_trusts_what_a_registry_shows(store: TrustStore, signer: Signer):
    change = store.follow(URL, [signer.published("2026-01-01")])
    assert (change.first, change.added) == (True, [signer.id])
    assert store.trusted(URL) == {signer.id: signer.pem}
    assert store.trusted("https://other.example") == {}
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_a_trusted_one_endorses_is_trusted_over_several_rotations(store: TrustStore, signer: Signer):
    store.follow(URL, [signer.published("2026-01-01")])
    second, third = Signer(), Signer()
    rows = [third.published("2026-03-01", by=second), second.published("2026-02-01", by=signer, state="retired")]
    change = store.follow(URL, [*rows, signer.published("2026-01-01", state="retired")])
    assert (change.first, change.added, change.unknown) == (False, [second.id, third.id], [])
    assert set(store.trusted(URL)) == {signer.id, second.id, third.id}


def test_a_key_that_nothing_vouches_for_is_not_trusted(store: TrustStore, signer: Signer):
    store.follow(URL, [signer.published("2026-01-01")])
    stranger = Signer()
    for row in (
        stranger.published("2026-02-01"),
        stranger.published("2026-02-01", by=stranger),
        Signer().published("2026-02-01", by=signer) | {"id": stranger.id, "public_key": stranger.pem},
    ):
        change = store.follow(URL, [row, signer.published("2026-01-01")])
        assert (change.added, change.unknown) == ([], [stranger.id])
    assert set(store.trusted(URL)) == {signer.id}


def test_a_key_under_a_false_name_is_never_trusted(store: TrustStore, signer: Signer):
    other = Signer()
    assert store.follow(URL, [signer.published("2026-01-01") | {"public_key": other.pem}]).added == []
    assert store.trusted() == {}


def test_a_revoked_key_is_dropped_and_vouches_no_more(store: TrustStore, signer: Signer):
    store.follow(URL, [signer.published("2026-01-01")])
    new = Signer()
    rows = [new.published("2026-02-01", by=signer), signer.published("2026-01-01", state="revoked")]
    change = store.follow(URL, rows)
    assert (change.added, change.removed) == ([], [signer.id])
    assert change.unknown == [new.id]
    assert store.trusted(URL) == {}


def test_after_the_last_trusted_key_was_revoked_nothing_is_trusted_by_itself(store: TrustStore, signer: Signer):
    store.follow(URL, [signer.published("2026-01-01")])
    store.follow(URL, [signer.published("2026-01-01", state="revoked")])
    new = Signer()
    change = store.follow(URL, [new.published("2026-02-01"), signer.published("2026-01-01", state="revoked")])
    assert (change.first, change.added, change.unknown) == (False, [], [new.id])


def test_a_key_is_trusted_and_forgotten_by_hand(store: TrustStore, signer: Signer, tmp_path: Path):
    file = tmp_path / "key.pem"
    file.write_text(signer.pem)
    assert store.trust(URL, read_key_file(file)[1]) == signer.id
    assert store.owner_of(signer.id) == URL
    store.forget(signer.id)
    assert store.trusted() == {}
    with pytest.raises(NotFound):
        store.forget(signer.id)


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "key.pem"
    file.write_text(text)
    with pytest.raises(InvalidInput):
        read_key_file(file)


@pytest.mark.parametrize("text", ["[]", "{", '{"registries": {"x": {"y": 1}}}'])
def test_a_damaged_list_of_keys_is_an_error_and_not_an_empty_one(store: TrustStore, text: str):
    store.path.parent.mkdir(parents=True)
    store.path.write_text(text)
    with pytest.raises(InvalidInput, match="cannot be read"):
        store.trusted()
