"""How the OpenAPI document describes the ways to prove who one is."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class BearerTokenScheme(OpenApiAuthenticationExtension):
    """``Authorization: Bearer zoo_...``."""

    target_class = "zoo_server.accounts.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "zoo_ and 43 characters"}


class BrowserSessionScheme(OpenApiAuthenticationExtension):
    """The cookie of a signed-in browser; writing needs the CSRF token too."""

    target_class = "zoo_server.accounts.authentication.BrowserSession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
