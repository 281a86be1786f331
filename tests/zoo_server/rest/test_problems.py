"""Errors become problem documents (RFC 9457) with a stable code, the field and a hint."""

import json

import pytest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404
from pydantic import BaseModel
from rest_framework import exceptions, serializers

from zoo_sdk import errors
from zoo_server.rest.problems import Gone, InsufficientStorage, TooLarge, problem_response
from zoo_server.rest.serializers import StrictSerializer, validated


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.InvalidInput("x"), 422, "invalid-input"),
        (errors.UnknownName("format", "onx", ["onnx"]), 422, "unknown-name"),
        (errors.IntegrityError("x"), 422, "integrity"),
        (errors.NotFound("x"), 404, "not-found"),
        (errors.PermissionDenied("x"), 403, "permission-denied"),
        (errors.LeaseLost("x"), 409, "lease-lost"),
        (errors.Unavailable("x"), 503, "unavailable"),
        (Gone("x"), 410, "gone"),
        (TooLarge("x"), 413, "too-large"),
        (InsufficientStorage("x"), 507, "insufficient-storage"),
        (Http404(), 404, "not-found"),
        (DjangoPermissionDenied(), 403, "permission-denied"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method-not-allowed"),
        (exceptions.ParseError(), 400, "parse-error"),
        (exceptions.UnsupportedMediaType("x/y"), 415, "unsupported-media-type"),
    ],
)
def test_an_error_has_its_status_and_code(error, status, code):
    answer = problem_response(error, {})
    assert answer is not None
    assert (answer.status_code, answer.data["status"], answer.data["code"]) == (status, status, code)
    assert answer.data["type"] == f"urn:zoo:problem:{code}"
    assert {"title", "detail"} <= answer.data.keys()


def test_hint_and_facts_are_told():
    answer = problem_response(errors.Conflict("x", hint="do y", facts={"offset": 3}), {})
    assert answer is not None
    assert (answer.data["hint"], answer.data["facts"], answer.data["retryable"]) == ("do y", {"offset": 3}, False)


def test_an_unexpected_error_stays_one():
    assert problem_response(RuntimeError("x"), {}) is None


class Inner(StrictSerializer):
    size = serializers.IntegerField(min_value=1)


class Outer(StrictSerializer):
    name = serializers.CharField()
    parts = Inner(many=True, required=False)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"name": "x", "prats": []}, "prats", "Did you mean 'parts'?"),
        ({"name": "x", "zzz": 1}, "zzz", "Known: name, parts."),
        ({"name": "x", "parts": [{"size": 1}, {"size": 0}]}, "parts.1.size", "greater than or equal to 1"),
        ({"name": "x", "parts": [{"size": 1, "sizes": 2}]}, "parts.0.sizes", "Did you mean 'size'?"),
        ({}, "name", "required"),
        ([], "", "Expected a dictionary"),
    ],
)
def test_a_wrong_key_or_value_is_named_by_its_path(body, field, message):
    with pytest.raises(serializers.ValidationError) as caught:
        validated(Outer, body)
    answer = problem_response(caught.value, {})
    assert answer is not None
    assert answer.status_code == 422
    (error,) = [item for item in answer.data["errors"] if item["field"] == field]
    assert message in error["message"]
    json.dumps(answer.data)


def test_pydantic_errors_name_the_field_and_show_the_value():
    class Body(BaseModel):
        size: int

    with pytest.raises(ValueError, match="size") as caught:
        Body.model_validate({"size": "much"})
    answer = problem_response(caught.value, {})
    assert answer is not None
    assert answer.data["errors"] == [
        {"field": "size", "message": answer.data["errors"][0]["message"], "value": "much"},
    ]
