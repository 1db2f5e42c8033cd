"""How fetching fails: this address alone, for now, or because somebody said no."""

from __future__ import annotations

from nenrin.ground import NenrinError


class Unusable(NenrinError):
    """The address gives nothing to use, now or later: gone, no picture, too large, private. Others may.

    `what` says it without the address, the kind before a colon: "is no picture: text/html".
    """

    def __init__(self, what: str, url: str = "") -> None:
        super().__init__(f"{url} {what}".strip())
        self.what = what


class Unreachable(NenrinError):
    """The address gives nothing for now, after all attempts. The same call may succeed later."""


class Refused(NenrinError):
    """The server says no: to this client, this key, or to more for now. Nothing further is asked of it."""


class TooMany(Refused):
    """The server has had enough for now: the same call goes on later."""
