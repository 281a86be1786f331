"""What the upload routes take and answer."""

from typing import Any

from django.conf import settings
from rest_framework import serializers

from zoo_sdk.names import NAME_PATTERN, SHA256_PATTERN
from zoo_server.artifacts.models import Upload
from zoo_server.artifacts.s3_store import part_bytes
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


class PartSerializer(StrictSerializer):
    """A part that is to be sent: its number from 1, and the sha256 of its bytes."""

    number = serializers.IntegerField(min_value=1, max_value=10_000)
    checksum = serializers.RegexField(r"^[A-Za-z0-9+/]{43}=\Z", help_text="sha256 of the part's bytes, base64.")


class PartsSerializer(StrictSerializer):
    """``POST uploads/{id}/parts``."""

    parts = serializers.ListField(child=PartSerializer(), min_length=1, max_length=1000)


class OfferedPartSerializer(serializers.Serializer[Any]):
    """Where a part is PUT: exactly with these headers, within 15 minutes."""

    number = serializers.IntegerField()
    url = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField())


class OfferedPartsSerializer(serializers.Serializer[Any]):
    """The answer to ``POST uploads/{id}/parts``."""

    part_size = serializers.IntegerField(help_text="Bytes of each part but the last.")
    parts = OfferedPartSerializer(many=True)


class ArrivedPartSerializer(serializers.Serializer[Any]):
    """A part that the bucket has."""

    number = serializers.IntegerField()
    size = serializers.IntegerField()
    checksum = serializers.CharField(allow_null=True)


class ArrivedPartsSerializer(serializers.Serializer[Any]):
    """The answer to ``GET uploads/{id}/parts``."""

    part_size = serializers.IntegerField(help_text="Bytes of each part but the last.")
    parts = ArrivedPartSerializer(many=True)


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """An upload session.  ``format`` and ``findings`` are there once it is complete."""

    team = serializers.CharField(source="team.name", read_only=True)
    format = serializers.CharField(source="blob.format", default=None, read_only=True, allow_null=True)
    findings = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()), source="blob.findings", default=None, read_only=True
    )

    part_size = serializers.SerializerMethodField(
        help_text="Bytes of each part of a direct upload (`uploads/{id}/parts`); null: send the bytes with PATCH."
    )

    def get_part_size(self, upload: Upload) -> int | None:
        """Parts may go to the bucket while nothing has come by PATCH."""
        open_to_parts = settings.ZOO_S3 is not None and upload.state == Upload.State.OPEN and not upload.offset
        return part_bytes(upload.size) if open_to_parts else None

    class Meta:
        model = Upload
        fields = (
            "id",
            "team",
            "state",
            "size",
            "offset",
            "part_size",
            "sha256",
            "filename",
            "format",
            "findings",
            "created_at",
            "expires_at",
        )
        read_only_fields = fields
