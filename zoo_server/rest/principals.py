"""Who is asking: the caller of a request, as services and permissions see it."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
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


def address_of(request: Request | HttpRequest) -> str | None:
    """The address of the connection's other end; where that is a proxy of ours, the one that it names.

    ``X-Forwarded-For`` is read from its end, for as long as the address so far is one of ``ZOO_PROXIES``: what stands
    before was written by the caller.
    """
    found = request.META.get("REMOTE_ADDR") or None
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while found and hops and any(ip_address(found) in ip_network(proxy) for proxy in settings.ZOO_PROXIES):
        try:
            found = str(ip_address(hops.pop().strip()))
        except ValueError:
            break
    return found
