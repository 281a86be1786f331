"""JSON bodies: bounded in size and depth, and refused as a problem document."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from zoo_server.rest.problems import body_too_large


class BoundedJSONParser(JSONParser):
    """Refuses a body above ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes (413) or nested deeper than Python parses (400)."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The body's value; the length is the one that the web server lets through."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        length = int((parser_context or {})["request"].META.get("CONTENT_LENGTH") or 0)
        if limit is not None and length > limit:
            raise body_too_large()
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("The JSON body is nested too deeply.") from error
