"""What there must be before Gradio is imported: an address to listen at, and what Gradio reads then."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator

from nenrin.ground import UsageError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any that is free. `UsageError` where that cannot be."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port} ({error.strerror}): choose another --port or --host"
        ) from None


def is_loopback(listening: socket.socket) -> bool:
    """Whether this machine alone can reach it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


@contextlib.contextmanager
def quiet_gradio() -> Iterator[None]:
    """Gradio asks nobody, records nothing, and writes only into a folder of its own, which goes after."""
    with tempfile.TemporaryDirectory(prefix="nenrin-serve-") as folder:
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield
