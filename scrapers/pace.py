"""The pace of requests: one at a time to a host, with the pause that it demands or that we set for it."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Mapping

from nenrin.scrapers.errors import TooMany

LONGEST_WAIT = 120.0  # seconds; a host that asks for more is left alone until the command is given again
_SLOWEST = 60.0  # seconds between two requests to a host that complained repeatedly
_WINDOW = 60.0  # seconds: period of a limit if the headers do not say (AniList's is by the minute)


class Pace:
    """Seconds between two requests to a host.

    `interval` is the least for any host, `hosts` for those named. The server's headers (`X-RateLimit-*`,
    `RateLimit-*`, `RateLimit`) can only make it longer: the remaining requests are spread evenly over the
    time until the limit resets.
    """

    def __init__(self, interval: float = 1.0, hosts: Mapping[str, float] | None = None) -> None:
        self._least = defaultdict(lambda: interval, hosts or {})
        self._interval: dict[str, float] = {}
        self._ready: dict[str, float] = {}  # by the monotonic clock

    def interval(self, host: str) -> float:
        """The current number of seconds between two requests."""
        return max(self._interval.get(host, 0.0), self._least[host])

    def wait(self, host: str) -> None:
        """Sleep until the next request is allowed. Raises `TooMany` if that exceeds `LONGEST_WAIT`."""
        seconds = self._ready.get(host, 0.0) - time.monotonic()
        if seconds > LONGEST_WAIT:
            raise TooMany(
                f"{host} asks to be left alone for {seconds:.0f} s: the same command goes on after that"
            )
        if seconds > 0:
            time.sleep(seconds)
        self._ready[host] = time.monotonic() + self.interval(host)

    def hold(self, host: str, seconds: float) -> None:
        """Leave the host alone for so long."""
        self._ready[host] = max(self._ready.get(host, 0.0), time.monotonic() + seconds)

    def require(self, host: str, interval: float) -> None:
        """Keep at least this interval, which the host demands (`Crawl-delay`)."""
        self._least[host] = max(self._least[host], interval)

    def slow_down(self, host: str) -> None:
        """After "too many requests": halve the rate for good, and wait for the new interval now."""
        self.require(host, min(2 * max(self.interval(host), 0.1), _SLOWEST))
        self.hold(host, self.interval(host))

    def observe(self, host: str, headers: Mapping[str, str]) -> None:
        """Apply the limit in a response's headers."""
        limit, remaining, reset = _told(headers)
        if remaining is not None and reset is not None:
            if remaining <= 0:
                self.hold(host, reset)
            self._interval[host] = reset / max(remaining, 1)
        elif limit:
            self._interval[host] = _WINDOW / limit


def _told(headers: Mapping[str, str]) -> tuple[float | None, float | None, float | None]:
    """The limit, what remains of it, and seconds until it resets; None where the headers do not say."""
    limit, remaining, reset = (
        _number(headers.get(f"X-RateLimit-{name}") or headers.get(f"RateLimit-{name}"))
        for name in ("Limit", "Remaining", "Reset")
    )
    if together := headers.get("RateLimit"):  # draft-ietf-httpapi-ratelimit-headers: "default";r=50;t=30
        remaining = _number(_parameter("r(?:emaining)?", together))
        reset = _number(_parameter("t|reset", together))
    if reset is not None and reset > 1e9:  # a timestamp instead of a duration
        reset -= time.time()
    return limit, remaining, None if reset is None else max(reset, 0.0)


def _parameter(name: str, header: str) -> str | None:
    match = re.search(rf"(?:^|[;,\s])(?:{name})=(\d+)", header)
    return match and match[1]


def _number(text: str | None) -> float | None:
    match = re.match(r"\s*(\d+(?:\.\d+)?)", text or "")
    return float(match[1]) if match else None
