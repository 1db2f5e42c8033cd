"""How fetching fails: for this address, for now, or because the server refuses."""

from __future__ import annotations

from nenrin.ground import NenrinError


class Unusable(NenrinError):
    """This address is unusable for good: gone, no picture, too large, private. Other addresses may work.

    `what` says why without the address, with the kind before a colon: "is no picture: text/html".
    """

    def __init__(self, what: str, url: str = "") -> None:
        super().__init__(f"{url} {what}".strip())
        self.what = what


class Unreachable(NenrinError):
    """The address does not answer for now, after all attempts. The same call may succeed later."""


class Refused(NenrinError):
    """The server refuses this client, this key, or more for now. No further requests are sent to it."""


class TooMany(Refused):
    """The server's limit is reached for now; the same call continues later."""
