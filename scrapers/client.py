"""One polite client for every source: it identifies itself, asks slowly, stops when refused, trusts nothing.

It does not pose as a browser, keep cookies, run scripts, or work around a refusal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions
from protego import Protego
from urllib3.util import Retry

import nenrin
from nenrin.scrapers.address import PublicAdapter, host_of, server_of, shown
from nenrin.scrapers.errors import Refused, TooMany, Unreachable, Unusable
from nenrin.scrapers.pace import Pace

T = TypeVar("T")
_BLOCK = 2**16  # bytes read at a time
_BUSY = frozenset({429, 500, 502, 503, 504})  # worth another attempt
_NO = frozenset({401, 403, 407, 451})
_BYTES = ("application/octet-stream", "binary/octet-stream")  # types of servers that do not know the type


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits on the time and size of one request."""

    size: int = 64 * 2**20  # bytes, once decoded
    seconds: float = 120.0  # for the body, so that an endless trickle is given up
    connect: float = 10.0  # seconds
    silence: float = 30.0  # seconds between two packets
    redirects: int = 5
    attempts: int = 4
    backoff: float = 1.0  # seconds before the second attempt, doubled for each further one


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file that was fetched whole."""

    sha256: str
    size: int  # bytes


class _Failed(Exception):
    """An attempt failed in a way that a retry may fix; `error` is raised after the last attempt."""

    def __init__(self, error: Exception, response: requests.Response | None = None) -> None:
        self.error = error
        self.response = response


class Client:
    """Fetches JSON and files. `contact` is an address (e-mail or web) where its user can be reached.

    Every method raises `Unusable`, `Unreachable` or `Refused`, each in one line. `allowed` names servers of
    this machine or its network, as "host:port", that may be used; no other is, whatever address leads there.
    """

    def __init__(
        self,
        *,
        contact: str | None = None,
        pace: Pace | None = None,
        limits: Limits | None = None,
        allowed: Collection[str] = (),
    ) -> None:
        self.pace = pace or Pace()
        self._limits = limits or Limits()
        self._allowed = frozenset(allowed)
        self._robots: dict[str, Protego] = {}
        self._settings: dict[str, Any] = {}  # proxies and certificates of the user's environment, by server
        self._session = requests.Session()
        self._session.headers["User-Agent"] = " ".join(
            # Wikimedia's form, which the others understand: client/version (contact) library/version.
            [
                f"nenrin/{nenrin.__version__}",
                *([f"({contact})"] if contact else []),
                f"python-requests/{requests.__version__}",
            ]
        )
        self._session.auth = lambda request: request  # use no keys from ~/.netrc, only the source's own
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, PublicAdapter(self._allowed))

    def json(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Any:
        """An API's response to a GET, or to a POST of `body`, as parsed JSON."""

        def once() -> Any:
            method = "GET" if body is None else "POST"
            with self._answer(method, url, params=params, json=body, auth=auth) as response:
                text = b"".join(self._blocks(response))
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                raise Unusable("gave no JSON: has its interface changed?", shown(url)) from None

        return self._attempt(url, once)

    def download(self, url: str, path: Path, *, robots: bool = False, picture: bool = True) -> Fetched:
        """Fetch a file to `path`, which is overwritten and is complete only when this returns.

        `robots` checks the host's robots.txt first, for addresses that no API has returned. `picture` refuses
        what is declared to be anything else.
        """

        def once() -> Fetched:
            digest, size = hashlib.sha256(), 0
            # A picture is already compressed; another layer would only hide its size.
            headers = {"Accept-Encoding": "identity"}
            with self._answer("GET", url, robots=robots, headers=headers) as response:
                kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                if picture and kind and not kind.startswith("image/") and kind not in _BYTES:
                    raise Unusable(f"is no picture: {kind}", shown(url))
                with path.open("wb") as sink:
                    for block in self._blocks(response):
                        digest.update(block)
                        size += len(block)
                        sink.write(block)
                if not size:
                    raise _Failed(Unreachable(f"{shown(url)} gave nothing"))
            return Fetched(sha256=digest.hexdigest(), size=size)

        return self._attempt(url, once)

    def _attempt(self, url: str, once: Callable[[], T]) -> T:
        """Call `once` until it works, after waits that the server asks for or that grow; then give up."""
        host, limits = host_of(url, self._allowed), self._limits
        retry = Retry(
            total=limits.attempts - 1, backoff_factor=limits.backoff, backoff_jitter=limits.backoff / 4
        )
        while True:
            try:
                return once()
            except _Failed as failed:
                try:
                    retry = retry.increment("GET", shown(url), error=failed)
                except urllib3.exceptions.MaxRetryError:
                    raise failed.error from None
                asked = None
                if failed.response is not None:
                    with contextlib.suppress(urllib3.exceptions.InvalidHeader):
                        asked = retry.get_retry_after(failed.response.raw)
                self.pace.hold(host, asked or max(retry.get_backoff_time(), limits.backoff))

    @contextlib.contextmanager
    def _answer(
        self, method: str, url: str, *, robots: bool = False, **request: Any
    ) -> Iterator[requests.Response]:
        """The answer at the end of all redirects, each of them checked as the first address is."""
        first, seen = url, set[str]()
        while True:
            host = host_of(url, self._allowed)
            if robots:
                self._ask_robots(url, host)
            seen.add(url)
            self.pace.wait(host)
            with contextlib.closing(self._send(method, url, request)) as response:
                self.pace.observe(host, response.headers)
                if response.status_code == 429:
                    self.pace.slow_down(host)
                if not response.is_redirect:
                    self._judge(response, host)
                    yield response
                    return
                target = urljoin(url, response.headers["Location"])
            if target in seen or len(seen) > self._limits.redirects:
                raise Unusable("leads in a circle, or elsewhere without end", shown(first))
            if request.pop("json", None) is not None:
                raise Unusable(f"has moved: {shown(target)}", shown(first))
            request.pop("params", None)  # the new address is complete
            if urlsplit(target).netloc != urlsplit(url).netloc or not target.startswith("https:"):
                request.pop("auth", None)  # a key is for the host it was given for
            url = target

    def _send(self, method: str, url: str, request: Mapping[str, Any]) -> requests.Response:
        timeout = (self._limits.connect, self._limits.silence)
        try:
            prepared = self._session.prepare_request(requests.Request(method, url, **request))
            server = server_of(url)
            if server not in self._settings:  # reading the environment takes as long as a request
                self._settings[server] = self._session.merge_environment_settings(url, {}, True, None, None)
            return self._session.send(
                prepared, allow_redirects=False, timeout=timeout, **self._settings[server]
            )
        except requests.Timeout:
            raise _Failed(Unreachable(f"{shown(url)} does not answer in time")) from None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise _Failed(Unreachable(f"{shown(url)} cannot be reached ({_root(error)})")) from None
        except requests.RequestException as error:
            raise Unusable(f"cannot be asked for: {_root(error)}", shown(url)) from None

    def _judge(self, response: requests.Response, host: str) -> None:
        """Raise the error for a status other than success."""
        status = response.status_code
        if status == 200:
            return
        what = f"HTTP {status}{self._words(response)}"
        if status == 429:
            raise _Failed(TooMany(f"{host} asks for fewer requests ({what})"), response)
        if status in _BUSY:
            raise _Failed(Unreachable(f"{shown(response.url)} fails ({what})"), response)
        if status in _NO:
            raise Refused(f"{host} refuses ({what})")
        raise Unusable(f"is not there: {what}", shown(response.url))

    def _words(self, response: requests.Response) -> str:
        """An API's message about its refusal: ": You cannot search for more than 2 tags at a time"."""
        with contextlib.suppress(Exception):  # a refusal may be malformed in any way
            start = next(self._blocks(response), b"")
            said = json.loads(start)
            said = said.get("message") or said["errors"][0]["message"] if isinstance(said, dict) else None
            if isinstance(said, str):
                return f": {said[:200]}"
        return ""

    def _blocks(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it comes, decoded, within the limits of size and time."""
        size, url = 0, shown(response.url)
        deadline = time.monotonic() + self._limits.seconds
        if (response.raw.length_remaining or 0) > self._limits.size:
            raise Unusable(f"is too large: above {self._limits.size / 2**20:.0f} MB", url)
        while True:
            try:
                # Take whatever has arrived: waiting for a full block would let a trickle exceed the limit.
                block = response.raw.read1(_BLOCK, decode_content=True)
            except urllib3.exceptions.DecodeError:
                raise Unusable("is damaged: not encoded as it says", url) from None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise _Failed(Unreachable(f"{url} stopped half-way ({_root(error)})")) from None
            if not block:
                return
            size += len(block)
            if size > self._limits.size:
                raise Unusable(f"is too large: above {self._limits.size / 2**20:.0f} MB", url)
            if time.monotonic() > deadline:
                raise Unusable(f"does not end: after {self._limits.seconds:.0f} s", url)
            yield block

    def _ask_robots(self, url: str, host: str) -> None:
        """Raise `Unusable` where the host's robots.txt (RFC 9309) forbids the address; keep its pace."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        if origin not in self._robots:
            try:
                with self._answer("GET", f"{origin}/robots.txt") as response:
                    text = b"".join(self._blocks(response)).decode(errors="replace")
            except TooMany:
                raise
            except (Unusable, Refused):  # a host without one allows everything
                text = ""
            self._robots[origin] = Protego.parse(text)
            if delay := self._robots[origin].crawl_delay("nenrin"):
                self.pace.require(host, float(delay))
        if not self._robots[origin].can_fetch(url, "nenrin"):
            raise Unusable("is closed to programs by its host's robots.txt", shown(url))


def _root(error: BaseException) -> str:
    """What went wrong in a few words; the text of connection errors contains a chain of objects."""
    inner: Any = error
    while True:
        chain = (getattr(inner, "reason", None), *inner.args, inner.__cause__)
        following = next((each for each in chain if isinstance(each, BaseException)), None)
        if following is None:
            return str(getattr(inner, "strerror", None) or type(inner).__name__)
        inner = following
