"""Which addresses may be asked: the public web. What an address leads to is checked again on connecting."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from nenrin.scrapers.errors import Unusable


def host_of(url: str, *, allow_private: bool) -> str:
    """The host of a web address. Raises `Unusable` for any other address, and for a private one by number."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Unusable("is no address", url) from None
    if parts.scheme not in ("http", "https") or not host:
        raise Unusable("is no web address", shown(url))
    if parts.username or parts.password:
        raise Unusable("has a password in its address", f"{parts.scheme}://{host}")
    if not allow_private and _is_number(host) and not is_public(host):
        raise Unusable(f"is a private address: {host}", shown(url))
    return host


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


def _checked(sock: socket.socket, host: str) -> socket.socket:
    # A name may lead anywhere, and elsewhere the second time it is looked up: what counts is who answered.
    peer = sock.getpeername()[0]
    if not is_public(peer):
        sock.close()
        raise Unusable(f"is a private address: {peer}", host)
    return sock


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.host)


class _SecureConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self.host)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class PublicAdapter(HTTPAdapter):
    """Connects to public addresses alone, whatever name led there; sends nothing to any other.

    A proxy of the user's own (`HTTPS_PROXY`) is trusted to be where it is.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have the pools make checked connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
