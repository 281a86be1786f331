"""The server's settings come from known variables with sane values, or it does not start."""

import pytest

from zoo_sdk.errors import InvalidInput, UnknownName
from zoo_server.config.environment import read_environment


def test_defaults_need_no_variables():
    found = read_environment({})
    assert found.database["NAME"] == "zoo"
    assert (found.lease_seconds, found.store_quota_bytes, found.debug) == (60, None, False)


def test_a_misspelt_variable_names_the_nearest_one():
    with pytest.raises(UnknownName, match="ZOO_DATABASE_URL"):
        read_environment({"ZOO_DATABSE_URL": "postgresql://x/y"})


@pytest.mark.parametrize("value", ["lots", "-1", "0", "nan", "inf"])
def test_a_quota_that_is_no_positive_number_is_refused(value: str):
    with pytest.raises(InvalidInput, match="ZOO_STORE_QUOTA_GIB"):
        read_environment({"ZOO_STORE_QUOTA_GIB": value})


def test_a_quota_may_be_a_fraction():
    assert read_environment({"ZOO_STORE_QUOTA_GIB": "0.5"}).store_quota_bytes == 2**29


def test_another_database_than_postgresql_is_refused_without_showing_the_password():
    with pytest.raises(InvalidInput, match="not PostgreSQL") as caught:
        read_environment({"ZOO_DATABASE_URL": "mysql://root:secret@host/zoo"})
    assert "secret" not in str(caught.value)


def test_the_database_url_is_taken_apart():
    found = read_environment({"ZOO_DATABASE_URL": "postgresql://u:p%40ss@h:5433/n?sslmode=require"}).database
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["PORT"]) == ("u", "p@ss", "h", "5433")
    assert found["OPTIONS"] == {"sslmode": "require"}


def test_half_an_s3_store_is_refused_rather_than_ignored():
    with pytest.raises(InvalidInput, match="ZOO_S3_ACCESS_KEY_ID and ZOO_S3_SECRET_ACCESS_KEY are not"):
        read_environment({"ZOO_S3_BUCKET": "zoo", "ZOO_S3_ENDPOINT_URL": "http://s3:7070"})
    assert read_environment({"ZOO_S3_BUCKET": "", "ZOO_S3_REGION": "us-east-1"}).s3 is None


@pytest.mark.parametrize("value", ["_blobs", "/_blobs", "_blobs/", "/", "/../", "/a b/", "http://x/"])
def test_a_location_of_nginx_has_slashes_at_both_ends(value: str) -> None:
    with pytest.raises(InvalidInput, match="ZOO_X_ACCEL_PREFIX"):
        read_environment({"ZOO_X_ACCEL_PREFIX": value})


def test_without_a_location_the_registry_sends_downloads_itself() -> None:
    assert read_environment({"ZOO_X_ACCEL_PREFIX": ""}).x_accel_prefix is None
    assert read_environment({"ZOO_X_ACCEL_PREFIX": "/_blobs/"}).x_accel_prefix == "/_blobs/"
