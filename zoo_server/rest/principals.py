"""Who is asking: the caller of a request, as services and permissions see it."""

from dataclasses import dataclass
from uuid import UUID

from rest_framework.request import Request

from zoo_sdk.vocabulary import Scope


@dataclass(frozen=True)
class Principal:
    """The caller: a user through a token or a browser session, nobody (anonymous), or the system itself.

    ``scopes`` is the most that this caller may do anywhere; the role in a team narrows it there.
    """

    name: str
    user_id: UUID | None = None
    token_id: UUID | None = None
    scopes: frozenset[Scope] = frozenset()
    is_superuser: bool = False
    address: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """True for a caller without any credentials."""
        return self.user_id is None

    def may(self, scope: Scope) -> bool:
        """Whether the caller's own scopes include ``scope`` (``admin``: all but ``worker``, ``write``: ``add``)."""
        if scope in self.scopes or (scope is Scope.ADD and Scope.WRITE in self.scopes):
            return True
        return Scope.ADMIN in self.scopes and scope is not Scope.WORKER


def anonymous(address: str | None = None) -> Principal:
    """A caller without credentials: may read what is public."""
    return Principal(name="anonymous", scopes=frozenset({Scope.READ}), address=address)


SYSTEM = Principal(name="system", scopes=frozenset(Scope), is_superuser=True)
"""The server's own chores."""


def principal_of(request: Request) -> Principal:
    """The caller of an authenticated request (see ``accounts.authentication``)."""
    if isinstance(request.auth, Principal):
        return request.auth
    return anonymous(address_of(request))


def address_of(request: Request) -> str | None:
    """The peer's address as the web server saw it; proxies are the web server's business."""
    return request.META.get("REMOTE_ADDR") or None
