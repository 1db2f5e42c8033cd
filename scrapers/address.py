"""Allows only addresses of the public web, and checks again on connecting where an address leads."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from nenrin.scrapers.errors import Unusable

_PORTS = {"http": 80, "https": 443}


def host_of(url: str, allowed: Collection[str] = ()) -> str:
    """The host of a web address. Raises `Unusable` for any other address, and for a private IP address.

    `allowed` names private servers, as "host:port", that may be used all the same.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise Unusable("is no address", url) from None
    if port is None or not host:
        raise Unusable("is no web address", shown(url))
    if parts.username or parts.password:
        raise Unusable("has a password in its address", f"{parts.scheme}://{host}")
    if f"{host}:{port}" not in allowed and _is_number(host) and not is_public(host):
        raise Unusable(f"is a private address: {host}", shown(url))
    return host


def server_of(url: str) -> str:
    """An address's server as "host:port"; empty where there is none."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}" if parts.hostname else ""


def is_public(number: str) -> bool:
    """Whether an IP address belongs to the public internet: not this machine, its network, or multicast."""
    address = ipaddress.ip_address(number.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1 is 127.0.0.1
    address = mapped or address
    return address.is_global and not address.is_multicast


def shown(url: str) -> str:
    """An address for people to read: without its query, which may hold a key."""
    return url.partition("?")[0]


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Checked:
    """A connection that is closed before anything is sent if it has led to a private address."""

    allowed: Collection[str] = ()
    host: str
    port: int

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        # A name may resolve to any address, and to another one the next time: what counts is the peer.
        peer = sock.getpeername()[0]
        if f"{self.host}:{self.port}" not in self.allowed and not is_public(peer):
            sock.close()
            raise Unusable(f"is a private address: {peer}", self.host)
        return sock


class PublicAdapter(HTTPAdapter):
    """Connects only to public addresses and those `allowed`, whatever name led there.

    The user's own proxy (`HTTPS_PROXY`) is trusted, even at a private address.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = frozenset(allowed)
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have the pools make checked connections."""
        super().init_poolmanager(*args, **kwargs)
        plain = type("_Plain", (_Checked, HTTPConnection), {"allowed": self._allowed})
        secure = type("_Secure", (_Checked, HTTPSConnection), {"allowed": self._allowed})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("_Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("_SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
