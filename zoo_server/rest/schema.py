"""Pieces of the OpenAPI document that routes share."""

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers


def page_of(item: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """The schema of a list route's answer (see :mod:`zoo_server.rest.pagination`)."""
    return inline_serializer(
        name=f"{item.__name__.removesuffix('Serializer')}Page",
        fields={"results": item(many=True), "next": serializers.CharField(allow_null=True)},
    )
