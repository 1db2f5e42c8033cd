"""The polite client against a real server that misbehaves in every way that is known of servers."""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import nenrin
from nenrin.scrapers.address import is_public
from nenrin.scrapers.client import Client, Limits
from nenrin.scrapers.errors import Refused, TooMany, Unreachable, Unusable
from nenrin.scrapers.pace import Pace
from tests.web import Answer, Handler, Request, Route, Web, picture

LIMITS = Limits(size=100_000, seconds=30.0, connect=10.0, silence=10.0, backoff=0.02)
LATE = 20.0  # seconds that a busy machine may take where a wait of one or two was asked for


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        yield server


@pytest.fixture
def client(web: Web) -> Client:
    return Client(contact="ada@example.org", pace=Pace(0.0), limits=LIMITS, allowed=[web.host])


def times(n: int, before: Answer, after: Answer) -> Route:
    """One answer for the first `n` requests, another one from then on."""
    left = [n]

    def route(request: Request, handler: Handler) -> Answer:
        left[0] -= 1
        return before if left[0] >= 0 else after

    return route


def test_says_who_it_is_and_keeps_no_cookie(web: Web, client: Client) -> None:
    web.serve("/a", {}, **{"Set-Cookie": "track=1; Path=/"})
    for _ in range(2):
        assert client.json(f"{web.url}/a") == {}
    expected = f"nenrin/{nenrin.__version__} (ada@example.org) python-requests/{requests.__version__}"
    assert [request.headers["user-agent"] for request in web.asked] == [expected] * 2
    assert not any("cookie" in request.headers for request in web.asked)


def test_fetches_a_picture_whole_with_its_hash(web: Web, client: Client, tmp_path: Path) -> None:
    body = picture(1, 64)
    fetched = client.download(web.serve("/a.png", body), tmp_path / "x")
    assert (fetched.sha256, fetched.size) == (hashlib.sha256(body).hexdigest(), len(body))
    assert (tmp_path / "x").read_bytes() == body


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_asks_again_where_that_may_help(web: Web, client: Client, status: int) -> None:
    web.routes["/a"] = times(2, Answer(status=status), Answer(b"[1]", "application/json"))
    assert client.json(f"{web.url}/a") == [1]
    assert web.count("/a") == 3


@pytest.mark.parametrize("status", [429, 503])
def test_waits_as_long_as_it_is_asked_to(web: Web, client: Client, status: int) -> None:
    web.routes["/a"] = times(1, Answer(status=status, headers={"Retry-After": "1"}), Answer(b"[]"))
    start = time.monotonic()
    client.json(f"{web.url}/a")
    assert 1.0 <= time.monotonic() - start < LATE


def test_waits_until_a_date(web: Web, client: Client) -> None:
    when = email.utils.formatdate(time.time() + 2, usegmt=True)  # whole seconds
    web.routes["/a"] = times(1, Answer(status=503, headers={"Retry-After": when}), Answer(b"[]"))
    start = time.monotonic()
    client.json(f"{web.url}/a")
    assert 0.9 <= time.monotonic() - start < LATE


def test_a_wait_that_nobody_can_read_is_a_short_one(web: Web, client: Client) -> None:
    web.routes["/a"] = times(1, Answer(status=503, headers={"Retry-After": "soon"}), Answer(b"[]"))
    assert client.json(f"{web.url}/a") == []


def test_stops_rather_than_wait_for_an_hour(web: Web, client: Client) -> None:
    web.routes["/a"] = times(99, Answer(status=429, headers={"Retry-After": "3600"}), Answer())
    with pytest.raises(TooMany, match=r"asks to be left alone for 3600 s: the same command goes on"):
        client.json(f"{web.url}/a")
    assert web.count("/a") == 1


def test_429_without_end_slows_down_and_stops(web: Web, client: Client) -> None:
    web.routes["/a"] = times(99, Answer(status=429), Answer())
    start = time.monotonic()
    with pytest.raises(TooMany, match="asks for fewer requests"):
        client.json(f"{web.url}/a")
    assert web.count("/a") == LIMITS.attempts
    assert time.monotonic() - start > 0.2 + 0.4 + 0.8  # the interval doubled each time
    assert client.pace.interval("127.0.0.1") >= 1.6


def test_503_without_end(web: Web, client: Client) -> None:
    web.routes["/a"] = times(99, Answer(status=503), Answer())
    with pytest.raises(Unreachable, match=r"fails \(HTTP 503"):
        client.json(f"{web.url}/a")
    assert web.count("/a") == LIMITS.attempts


@pytest.mark.parametrize("status", [401, 403, 451])
def test_a_refusal_is_final_and_says_why(web: Web, client: Client, status: int) -> None:
    body = b'{"success": false, "message": "wrong key"}'
    web.routes["/a"] = times(99, Answer(body, "application/json", status), Answer())
    with pytest.raises(Refused, match=f"^127.0.0.1 refuses \\(HTTP {status}: wrong key\\)$"):
        client.json(f"{web.url}/a")
    assert web.count("/a") == 1


@pytest.mark.parametrize("status", [204, 304, 400, 404, 410])
def test_what_is_not_there_is_asked_for_once(web: Web, client: Client, tmp_path: Path, status: int) -> None:
    web.routes["/a"] = times(99, Answer(status=status), Answer())
    with pytest.raises(Unusable, match=f"is not there: HTTP {status}"):
        client.download(f"{web.url}/a", tmp_path / "x")
    assert web.count("/a") == 1


def redirect(target: str) -> Route:
    return lambda request, handler: Answer(status=302, headers={"Location": target})


def test_follows_redirects(web: Web, client: Client, tmp_path: Path) -> None:
    web.serve("/c.png", picture())
    web.routes["/a.png"], web.routes["/b.png"] = redirect("/b.png"), redirect(f"{web.url}/c.png")
    client.download(f"{web.url}/a.png", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == picture()


@pytest.mark.parametrize("length", [1, 2, 30])
def test_redirects_in_a_circle_or_without_end(web: Web, client: Client, tmp_path: Path, length: int) -> None:
    for step in range(length):
        web.routes[f"/{step}"] = redirect(f"/{(step + 1) % length}")
    with pytest.raises(Unusable, match="leads in a circle"):
        client.download(f"{web.url}/0", tmp_path / "x")
    assert len(web.asked) <= LIMITS.redirects + 1


@pytest.mark.parametrize(
    "target",
    ["http://10.0.0.1/x", "http://169.254.169.254/latest", "http://[::1]/x", "http://192.168.1.1:8080/"],
)
def test_redirects_to_private_addresses(web: Web, client: Client, tmp_path: Path, target: str) -> None:
    web.routes["/a"] = redirect(target)
    with pytest.raises(Unusable, match="is a private address"):
        client.download(f"{web.url}/a", tmp_path / "x")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_redirects_to_another_server_of_this_machine(
    web: Web, client: Client, tmp_path: Path, name: str
) -> None:
    with Web() as other:
        other.serve("/secret", picture())
        web.routes["/a"] = redirect(f"http://{name}:{other.host.partition(':')[2]}/secret")
        with pytest.raises(Unusable, match=r"is a private address: (127\.0\.0\.1|::1)$"):
            client.download(f"{web.url}/a", tmp_path / "x")
        assert not other.asked


def test_a_name_that_leads_to_this_machine(web: Web, tmp_path: Path) -> None:
    web.serve("/a.png", picture())
    port = web.host.partition(":")[2]
    with pytest.raises(Unusable, match="is a private address"):
        Client(pace=Pace(0.0)).download(f"http://localhost:{port}/a.png", tmp_path / "x")
    assert not web.asked


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/x", "http://", "gopher://x", "no address", "http://[/"]
)
def test_only_web_addresses(client: Client, tmp_path: Path, url: str) -> None:
    with pytest.raises(Unusable, match=r"is no (web )?address"):
        client.download(url, tmp_path / "x")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "data:image/png;base64,AAAA"])
def test_redirects_out_of_the_web(web: Web, client: Client, tmp_path: Path, target: str) -> None:
    web.routes["/a"] = redirect(target)
    with pytest.raises(Unusable, match="is no web address"):
        client.download(f"{web.url}/a", tmp_path / "x")


@pytest.mark.parametrize(
    ("number", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("fe80::1%eth0", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_public_addresses(number: str, public: bool) -> None:
    assert is_public(number) == public


def test_a_key_stays_with_its_host(web: Web) -> None:
    with Web() as other:
        web.routes["/a"] = redirect(f"{other.url}/b")
        other.serve("/b", {})
        client = Client(pace=Pace(0.0), limits=LIMITS, allowed=[web.host, other.host])
        client.json(f"{web.url}/a", {"q": "1"}, auth=("ada", "secret"))
        assert web.asked[0].headers["authorization"].startswith("Basic ")
        assert "authorization" not in other.asked[0].headers


def test_a_key_in_the_address_is_not_shown(web: Web, client: Client) -> None:
    web.routes["/a"] = times(99, Answer(status=404), Answer())
    with pytest.raises(Unusable) as caught:
        client.json(f"{web.url}/a", {"api_key": "secret"})
    assert "secret" not in str(caught.value)


def raw(*parts: bytes, pause: float = 0.0) -> Route:
    """Bytes as they are, the connection closed after them."""

    def route(request: Request, handler: Handler) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(pause)

    return route


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize(
    "half",
    [
        HEAD + b"Content-Length: 1000\r\n\r\nhalf",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n40\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Ty",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["length", "chunked", "headers", "nonsense", "nothing"],
)
def test_a_body_that_stops_half_way(web: Web, client: Client, tmp_path: Path, half: bytes) -> None:
    web.routes["/a"] = raw(half)
    with pytest.raises(Unreachable, match=r"stopped half-way|cannot be reached|gave nothing") as caught:
        client.download(f"{web.url}/a", tmp_path / "x")
    assert "\n" not in str(caught.value)
    assert web.count("/a") == LIMITS.attempts
    whole, left = picture(), [2]

    def at_last(request: Request, handler: Handler) -> Answer | None:
        left[0] -= 1
        return raw(half)(request, handler) if left[0] >= 0 else Answer(whole)

    web.routes["/b"] = at_last
    assert client.download(f"{web.url}/b", tmp_path / "x").size == len(whole)
    assert (tmp_path / "x").read_bytes() == whole


def endless(head: bytes, part: bytes, pause: float) -> Route:
    def route(request: Request, handler: Handler) -> None:
        handler.wfile.write(head)
        for _ in range(10_000):
            handler.wfile.write(part)
            handler.wfile.flush()
            time.sleep(pause)

    return route


def test_a_body_that_never_ends(web: Web, client: Client, tmp_path: Path) -> None:
    web.routes["/fast"] = endless(HEAD + b"\r\n", bytes(50_000), 0.0)
    with pytest.raises(Unusable, match="is too large: above 0 MB"):
        client.download(f"{web.url}/fast", tmp_path / "x")
    assert (tmp_path / "x").stat().st_size <= LIMITS.size


@pytest.mark.parametrize(
    ("head", "part"),
    [(HEAD + b"\r\n", b"x"), (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")],
    ids=["plain", "chunked"],
)
def test_a_body_that_trickles(web: Web, tmp_path: Path, head: bytes, part: bytes) -> None:
    web.routes["/slow"] = endless(head, part, 0.05)
    client = Client(pace=Pace(0.0), limits=Limits(seconds=1.0), allowed=[web.host])
    start = time.monotonic()
    with pytest.raises(Unusable, match="does not end: after 1 s"):
        client.download(f"{web.url}/slow", tmp_path / "x")
    assert time.monotonic() - start < LATE


def test_a_refusal_that_never_ends(web: Web, client: Client) -> None:
    web.routes["/a"] = endless(b"HTTP/1.1 403 No\r\nContent-Type: application/json\r\n\r\n", b"[", 0.01)
    with pytest.raises(Refused, match="HTTP 403"):
        client.json(f"{web.url}/a")


def test_a_server_that_says_nothing(web: Web, tmp_path: Path) -> None:
    web.routes["/a"] = raw(b"", pause=1.0)
    limits = Limits(silence=0.1, attempts=2, backoff=0.02)
    with pytest.raises(Unreachable, match="does not answer in time"):
        Client(pace=Pace(0.0), limits=limits, allowed=[web.host]).download(f"{web.url}/a", tmp_path / "x")


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
    client = Client(pace=Pace(0.0), limits=LIMITS, allowed=[host])
    with pytest.raises(Unreachable, match=r"cannot be reached \(Connection refused\)$"):
        client.download(f"http://{host}/a", tmp_path / "x")


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "video/mp4"])
def test_a_wrong_content_type(web: Web, client: Client, tmp_path: Path, kind: str) -> None:
    web.routes["/a"] = lambda request, handler: Answer(picture(), kind)
    with pytest.raises(Unusable, match=f"is no picture: {kind.partition(';')[0]}"):
        client.download(f"{web.url}/a", tmp_path / "x")


def test_a_decompression_bomb(web: Web, client: Client, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < LIMITS.size
    encoded = {"Content-Encoding": "gzip"}
    web.routes["/a"] = lambda request, handler: Answer(bomb, "application/json", headers=encoded)
    web.routes["/b"] = lambda request, handler: Answer(bomb, headers=encoded)
    with pytest.raises(Unusable, match="is too large"):
        client.json(f"{web.url}/a")
    with pytest.raises(Unusable, match="is too large"):
        client.download(f"{web.url}/b", tmp_path / "x")
    assert (tmp_path / "x").stat().st_size <= LIMITS.size


def test_an_encoding_that_is_none(web: Web, client: Client, tmp_path: Path) -> None:
    web.routes["/a"] = lambda request, handler: Answer(picture(), headers={"Content-Encoding": "gzip"})
    with pytest.raises(Unusable, match="is damaged"):
        client.download(f"{web.url}/a", tmp_path / "x")


def test_something_else_than_json(web: Web, client: Client) -> None:
    web.serve("/a", "<html>Just a moment...</html>", "text/html")
    with pytest.raises(Unusable, match="gave no JSON"):
        client.json(f"{web.url}/a")


def test_robots(web: Web, client: Client, tmp_path: Path) -> None:
    web.serve("/robots.txt", "User-agent: *\nDisallow: /*.gif$\nDisallow: /private/\nCrawl-delay: 0.5\n")
    for path in ("/a.png", "/private/b.png", "/c.gif"):
        web.serve(path, picture())
    client.download(f"{web.url}/a.png", tmp_path / "x", robots=True)
    for path in ("/private/b.png", "/c.gif"):
        with pytest.raises(Unusable, match="is closed to programs by its host"):
            client.download(web.url + path, tmp_path / "x", robots=True)
        assert web.count(path) == 0
    assert web.count("/robots.txt") == 1
    assert client.pace.interval("127.0.0.1") == 0.5
    # What an interface has handed out is asked for as it says.
    client.download(f"{web.url}/private/b.png", tmp_path / "x")


def test_a_redirect_into_what_robots_close(web: Web, client: Client, tmp_path: Path) -> None:
    web.serve("/robots.txt", "User-agent: nenrin\nDisallow: /private/\n")
    web.serve("/private/b.png", picture())
    web.routes["/a"] = redirect("/private/b.png")
    with pytest.raises(Unusable, match="closed to programs"):
        client.download(f"{web.url}/a", tmp_path / "x", robots=True)


@pytest.mark.parametrize(("status", "open_"), [(404, True), (403, True), (503, False)])
def test_robots_that_cannot_be_had(
    web: Web, client: Client, tmp_path: Path, status: int, open_: bool
) -> None:
    web.serve("/a.png", picture())
    web.routes["/robots.txt"] = lambda request, handler: Answer(status=status)
    if open_:
        client.download(f"{web.url}/a.png", tmp_path / "x", robots=True)
    else:
        with pytest.raises(Unreachable):
            client.download(f"{web.url}/a.png", tmp_path / "x", robots=True)
        assert web.count("/a.png") == 0


def test_the_pace_of_a_host(web: Web) -> None:
    web.serve("/a", {})
    client = Client(pace=Pace(0.0, {"127.0.0.1": 0.2}), limits=LIMITS, allowed=[web.host])
    start = time.monotonic()
    for _ in range(4):
        client.json(f"{web.url}/a")
    assert time.monotonic() - start >= 0.6


@pytest.mark.parametrize(
    ("headers", "interval"),
    [
        ({"X-RateLimit-Limit": "30"}, 2.0),  # by the minute
        ({"X-RateLimit-Limit": "90", "X-RateLimit-Remaining": "10", "X-RateLimit-Reset": "5"}, 0.5),
        ({"RateLimit-Limit": "100", "RateLimit-Remaining": "50", "RateLimit-Reset": "25"}, 0.5),
        ({"RateLimit": '"default";r=50;t=100'}, 2.0),
        ({"RateLimit": "limit=10, remaining=5, reset=5"}, 1.0),
        ({"X-RateLimit-Limit": "many"}, 0.25),
        ({}, 0.25),
    ],
)
def test_the_pace_follows_the_headers(headers: dict[str, str], interval: float) -> None:
    pace = Pace(0.25)
    pace.observe("example.org", requests.structures.CaseInsensitiveDict(headers))
    assert pace.interval("example.org") == pytest.approx(interval)
    assert pace.interval("other.example") == 0.25


def test_waits_until_the_count_starts_anew(web: Web, client: Client) -> None:
    when = time.time() + 1
    web.serve("/a", {}, **{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{when:.3f}"})
    client.json(f"{web.url}/a")
    web.serve("/a", {})
    client.json(f"{web.url}/a")
    assert -0.1 <= time.time() - when < LATE
