"""Addresses of remote files: which ones may stand in a catalogue at all, and which ones this server will fetch.

A server that fetches what others name can be made to look into its own network.  So the host must be on the allow-list
(``ZOO_MIRROR_HOSTS``), every address that it resolves to must be public or in ``ZOO_MIRROR_NETWORKS``, and the
connection goes to the very address that was looked at.  Redirects go through the same checks.  Webhooks, whose hosts
nobody lists, use the checks of addresses with networks of their own (``ZOO_WEBHOOK_NETWORKS``).
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from django.conf import settings

from zoo_sdk.errors import InvalidInput, PermissionDenied, Unavailable

MAX_ADDRESS = 1000
PORTS = {"http": 80, "https": 443}


class Refused(PermissionDenied):
    """The server does not fetch from there."""

    code = "address-refused"


@dataclass(frozen=True)
class Target:
    """An address taken apart: where to connect, and what to ask for."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        """Host and, where it is not the scheme's own, port: the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def checked_address(address: str) -> Target:
    """The address taken apart; raises :class:`InvalidInput` unless it is an ``http(s)`` URL without credentials."""
    wrong = InvalidInput(
        f"{address[:200]!r} is not the address of a file.",
        hint="Write a URL such as https://example.org/models/net.h5, without user, password and fragment.",
        facts={"field": "address"},
    )
    if len(address) > MAX_ADDRESS or re.search(r"[^\x21-\x7e]", address):
        raise wrong
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or parts.fragment or port == 0:
        raise wrong
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, parts.hostname, port or PORTS[parts.scheme], path)


def allowed_addresses(target: Target) -> list[str]:
    """The IP addresses of the target's host, every one of them allowed.

    Raises:
        Refused: the host is not on the list, an address of it is not public, or the scheme is plain http.
        Unavailable: the name is not known at the moment.

    """
    if not any(fnmatchcase(target.host, pattern) for pattern in settings.ZOO_MIRROR_HOSTS):
        raise Refused(
            f"{target.host} is not among the hosts that this server fetches from.",
            hint="The operators allow hosts with ZOO_MIRROR_HOSTS.",
            facts={"host": target.host},
        )
    return public_addresses(target, settings.ZOO_MIRROR_NETWORKS, setting="ZOO_MIRROR_NETWORKS")


def public_addresses(target: Target, networks: Sequence[str], *, setting: str) -> list[str]:
    """The IP addresses of the target's host, every one of them public or in one of ``networks``.

    Raises:
        Refused: one of them is neither, or the scheme is plain http and it is not in ``networks``.
        Unavailable: the name is not known at the moment.

    """
    found = _resolved(target)
    for text in found:
        address = ip_address(text.partition("%")[0])
        if not _is_allowed(address, networks):
            raise Refused(
                f"{target.host} leads to {address}, which is not a public address.",
                hint=f"The operators allow networks of their own with {setting}.",
                facts={"host": target.host, "address": str(address)},
            )
        if target.scheme == "http" and not _in_networks(address, networks):
            raise Refused(
                f"http://{target.host} is not encrypted: anybody on the way could read and change what goes over it.",
                hint="Use an https address.",
                facts={"host": target.host},
            )
    return found


def _resolved(target: Target) -> list[str]:
    try:
        rows = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unavailable(f"The host {target.host} is not known at the moment: {error}.") from error
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def _is_allowed(address: IPv4Address | IPv6Address, networks: Sequence[str]) -> bool:
    inner = (
        (address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None))
        if isinstance(address, IPv6Address)
        else None
    )
    if inner is not None:  # an IPv4 address in IPv6 clothes leads to the IPv4 address
        return _is_allowed(inner, networks)
    is_public = address.is_global and not address.is_multicast
    return is_public or _in_networks(address, networks)


def _in_networks(address: IPv4Address | IPv6Address, networks: Sequence[str]) -> bool:
    return any(address in ip_network(network) for network in networks)
