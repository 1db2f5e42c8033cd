"""Who is there, and what each has open. It is held in memory alone, and goes when the visitor does."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time

from nenrin.ground import NenrinError
from nenrin.web.studio import Aged, Opened

IDLE = 20 * 60.0  # seconds after which a visitor who does nothing is taken to have gone
MOST = 32  # visits held at once; the longest idle makes room


@dataclasses.dataclass(kw_only=True, slots=True)
class Visit:
    """One open page and what is on it."""

    session: str  # Gradio's name for the page
    # What the page's own addresses carry, so that nobody else can ask for its pictures.
    token: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(16))
    arrived: bytes | None = None  # an upload that is not yet opened
    opened: Opened | None = None
    aged: Aged | None = None
    years: float = 70.0  # the age beside the input
    used: float = dataclasses.field(default_factory=time.monotonic)

    def face(self) -> tuple[Opened, Aged]:
        """What is open. `NenrinError` where nothing is."""
        if self.opened is None or self.aged is None:
            raise NenrinError("there is no face yet: drop a picture first")
        return self.opened, self.aged


class Visits:
    """All visits, by session and by token."""

    def __init__(self) -> None:
        self._visits: dict[str, Visit] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def begin(self, session: str) -> Visit:
        """A fresh visit; what the session had is dropped."""
        visit = Visit(session=session)
        with self._lock:
            self._visits.pop(session, None)
            while len(self._visits) >= MOST:
                del self._visits[min(self._visits.values(), key=lambda held: held.used).session]
            self._visits[session] = visit
        return visit

    def of(self, session: str) -> Visit:
        """A session's visit. `NenrinError` where it has ended."""
        return self._find(self._visits.get(session))

    def by_token(self, token: str) -> Visit:
        """The visit with that token. `NenrinError` where there is none, or none any more."""
        with self._lock:
            held = list(self._visits.values())
        return self._find(
            next((v for v in held if secrets.compare_digest(v.token.encode(), token.encode())), None)
        )

    def end(self, session: str) -> None:
        """Drop all that a session had."""
        with self._lock:
            self._visits.pop(session, None)

    def forget(self) -> None:
        """Drop the visits that have been idle for long."""
        with self._lock:
            for visit in list(self._visits.values()):
                if time.monotonic() - visit.used > IDLE:
                    del self._visits[visit.session]

    def _find(self, visit: Visit | None) -> Visit:
        if visit is None:
            raise NenrinError("this page was left alone for long, and its picture is gone: load it again")
        visit.used = time.monotonic()
        return visit
