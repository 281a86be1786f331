"""Every route declares the scope that each of its methods needs; a route that does not is refused."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from zoo_sdk.vocabulary import Scope
from zoo_server.rest.principals import principal_of

if TYPE_CHECKING:  # DRF's views import this module while they are being imported
    from rest_framework.views import APIView

PUBLIC = "public"
"""For routes that need no credentials at all (health, sign in)."""

Declared = Scope | str | tuple[Scope, ...]
"""A scope, several of which one is enough, or :data:`PUBLIC`."""


class DeclaredScope(BasePermission):
    """Checks the caller against ``view.scopes``, for example ``{"GET": Scope.READ, "POST": Scope.SUBMIT}``.

    Anonymous callers hold ``read`` and see what is public; an object's own rules are checked in selectors and services.
    """

    message = "The token lacks the scope that this route needs."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        needed = declared_scope(view, request.method or "")
        if needed is None:
            return False
        if needed == PUBLIC:
            return True
        alternatives = needed if isinstance(needed, tuple) else (needed,)
        return any(principal_of(request).may(Scope(scope)) for scope in alternatives)


def declared_scope(view: "APIView | type[APIView]", method: str) -> Declared | None:
    """What a view declares for a method, or None when it declares nothing."""
    scopes = getattr(view, "scopes", {})
    if method in {"HEAD", "OPTIONS"}:
        method = "GET" if "GET" in scopes else next(iter(scopes), "")
    found: Declared | None = scopes.get(method)
    return found
