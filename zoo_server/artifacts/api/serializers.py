"""What the upload routes take and answer."""

from typing import Any

from rest_framework import serializers

from zoo_sdk.names import NAME_PATTERN, SHA256_PATTERN
from zoo_server.artifacts.models import Upload
from zoo_server.rest.serializers import StrictSerializer

LARGEST_UPLOAD = 2**43
"""8 TiB: above every model, and below every file system's limit."""


class DigestField(serializers.RegexField):
    """``sha256:`` and 64 hexadecimal digits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            SHA256_PATTERN, error_messages={"invalid": "Write sha256: and 64 hexadecimal digits."}, **options
        )


class BytesSerializer(StrictSerializer):
    """The bytes that are to come; the digest, if given, allows to answer that they are here already."""

    size = serializers.IntegerField(min_value=0, max_value=LARGEST_UPLOAD, help_text="Bytes.")
    sha256 = DigestField(required=False, default="")
    filename = serializers.CharField(required=False, default="", max_length=400, allow_blank=True)


class NewUploadSerializer(BytesSerializer):
    """``POST uploads``."""

    team = serializers.RegexField(NAME_PATTERN, max_length=96)


class CompletionSerializer(StrictSerializer):
    """``POST uploads/{id}/complete``."""

    sha256 = DigestField()


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """An upload session.  ``format`` and ``findings`` are there once it is complete."""

    team = serializers.CharField(source="team.name", read_only=True)
    format = serializers.CharField(source="blob.format", default=None, read_only=True, allow_null=True)
    findings = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()), source="blob.findings", default=None, read_only=True
    )

    class Meta:
        model = Upload
        fields = (
            "id",
            "team",
            "state",
            "size",
            "offset",
            "sha256",
            "filename",
            "format",
            "findings",
            "created_at",
            "expires_at",
        )
        read_only_fields = fields
