"""Each service in the shape that it documents: what of it becomes an item, what a label, what a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from nenrin.ground import NenrinError, UsageError
from nenrin.scrapers import anilist, commons, danbooru, gelbooru, tags, wikidata
from nenrin.scrapers.client import Client, Limits
from nenrin.scrapers.errors import Refused
from nenrin.scrapers.pace import Pace
from nenrin.scrapers.source import Item, Search, Source, listing, resolve
from nenrin.scrapers.sources import SOURCES
from tests.web import POST, Answer, Handler, Request, Web

KEYS = dict.fromkeys(("DANBOORU_LOGIN", "DANBOORU_API_KEY", "GELBOORU_USER_ID", "GELBOORU_API_KEY"), "mine")


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        yield server


def search(web: Web, source: Source, query: str, **options: str) -> Search:
    client = Client(pace=Pace(0.0), limits=Limits(backoff=0.01), allowed=[web.host])
    return Search(client=client, query=query, options=resolve(source, options), keys=KEYS)


def items(asked: Search, source: Source, cursor: str | None = None) -> dict[str, Item]:
    found = [item for page in listing(source, asked, cursor) for item in page.items]
    assert len({item.source_id for item in found}) == len(found)
    return {item.source_id: item for item in found}


def answers(web: Web, path: str, choose: Any) -> None:
    """Answer a path with the JSON that `choose` makes of the query."""

    def route(request: Request, handler: Handler) -> Answer:
        return Answer(json.dumps(choose(request.query)).encode(), "application/json")

    web.routes[path] = route


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_every_source_says_what_it_is(source: Source) -> None:
    assert source.summary and source.query and source.example
    assert (source.web and bool(source.intervals)) or source.name == "local"
    for name, option in source.options.items():
        assert name.isidentifier() and option.help
    if "base" in source.options:
        assert source.options["base"].default.startswith("https://")


class TestCommons:
    def file(self, title: str, **changes: Any) -> dict[str, Any]:
        known = {
            "LicenseShortName": "CC BY-SA 4.0",
            "License": "cc-by-sa-4.0",
            "Artist": '<a href="//commons.wikimedia.org/wiki/User:Ada" title="User:Ada">Ada&nbsp;L.</a>',
            "DateTimeOriginal": "2012-05-01 10:00:00",
            "Categories": "Portraits of women|Quality images",
        } | changes.pop("known", {})
        path = title.removeprefix("File:").replace(" ", "_")
        info = {
            "mime": "image/jpeg",
            "url": f"https://upload.example/{path}",
            "thumburl": f"https://upload.example/thumb/{path}/1280px-{path}",
            "descriptionurl": f"https://commons.example/wiki/File:{path}",
            "extmetadata": {name: {"value": value, "source": "x"} for name, value in known.items()},
        } | changes
        return {"pageid": 1, "ns": 6, "title": title, "imageinfo": [info]}

    def test_category(self, web: Web) -> None:
        def choose(query: Mapping[str, str]) -> Any:
            assert query["gcmtitle"] == "Category:Portraits" and query["formatversion"] == "2"
            if "gcmcontinue" not in query:
                pages = [self.file("File:A b.jpg"), {"title": "File:Later.jpg", "ns": 6}]
                return {"continue": {"gcmcontinue": "file|2", "continue": "x"}, "query": {"pages": pages}}
            return {"batchcomplete": True, "query": {"pages": [self.file("File:Later.jpg", thumburl=None)]}}

        answers(web, "/w/api.php", choose)
        asked = search(web, commons.SOURCE, "Category:Portraits", base=f"{web.url}/w/api.php")
        found = items(asked, commons.SOURCE)
        item = found["File:A b.jpg"]
        assert item.url == "https://upload.example/thumb/A_b.jpg/1280px-A_b.jpg"
        assert item.page == "https://commons.example/wiki/File:A_b.jpg"
        assert (item.author, item.licence, item.date) == ("Ada L.", "CC BY-SA 4.0", "2012-05-01 10:00:00")
        assert (item.title, item.tags) == ("A b", ["Portraits of women", "Quality images"])
        assert item.fault is None
        assert found["File:Later.jpg"].url == "https://upload.example/Later.jpg"
        # Stopped after the first page, it goes on with the second.
        cursor = next(commons.SOURCE.pages(asked, None)).cursor
        assert list(items(asked, commons.SOURCE, cursor)) == ["File:Later.jpg"]

    def test_search(self, web: Web) -> None:
        seen: list[Mapping[str, str]] = []
        answers(web, "/w/api.php", lambda query: seen.append(query) or {"batchcomplete": True})
        asked = search(web, commons.SOURCE, "old woman portrait", base=f"{web.url}/w/api.php")
        assert items(asked, commons.SOURCE) == {}
        assert seen[0]["gsrsearch"] == "old woman portrait filetype:bitmap"
        assert seen[0]["gsrnamespace"] == "6"

    def test_missing_fields(self, web: Web) -> None:
        pages = [
            self.file("File:1.svg", mime="image/svg+xml"),
            {"title": "File:2.jpg", "imageinfo": [{"mime": "image/jpeg", "url": "https://x.example/2"}]},
            {"title": "File:3.jpg", "missing": True},
            {"ns": 6},
        ]
        answers(web, "/w/api.php", lambda query: {"query": {"pages": pages}})
        found = items(search(web, commons.SOURCE, "x", base=f"{web.url}/w/api.php"), commons.SOURCE)
        assert {name: item.fault for name, item in found.items()} == {
            "File:1.svg": "is no picture: image/svg+xml",
            "File:2.jpg": "is not freely licensed: no licence stated",
            "File:3.jpg": "is not given out",
        }

    def test_errors(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(commons, "_WAIT", 0.05)
        lag = {"error": {"code": "maxlag", "info": "Waiting for db1: 6 seconds lagged."}}
        replies = [lag, lag, {"batchcomplete": True}]
        answers(web, "/w/api.php", lambda query: replies.pop(0))
        asked = search(web, commons.SOURCE, "x", base=f"{web.url}/w/api.php")
        assert items(asked, commons.SOURCE) == {}
        replies += [lag] * 9
        with pytest.raises(NenrinError, match="Waiting for db1"):
            items(asked, commons.SOURCE)
        answers(web, "/w/api.php", lambda query: {"error": {"code": "invalidcategory", "info": "No such."}})
        with pytest.raises(NenrinError, match="says: No such"):
            items(asked, commons.SOURCE)
        answers(web, "/w/api.php", lambda query: [])
        with pytest.raises(NenrinError, match="answered in an unknown shape"):
            items(asked, commons.SOURCE)
        with pytest.raises(UsageError, match="unknown licence 'nc'"):
            items(search(web, commons.SOURCE, "x", licence="nc"), commons.SOURCE)
        with pytest.raises(UsageError, match="width is a number of pixels"):
            items(search(web, commons.SOURCE, "x", width="wide"), commons.SOURCE)

    @pytest.mark.parametrize(
        ("licence", "short", "free"),
        [
            ("cc-by-sa-4.0", "CC BY-SA 4.0", True),
            ("cc-by-2.0", "CC BY 2.0", True),
            ("cc0", "CC0", True),
            ("pd", "Public domain", True),
            ("", "Public domain", True),
            ("", "CC BY 3.0 us", True),
            ("gfdl", "GFDL", True),
            ("", "No restrictions", True),
            ("cc-by-nc-2.0", "CC BY-NC 2.0", False),
            ("cc-by-nd-4.0", "CC BY-ND 4.0", False),
            ("", "CC BY-NC-SA 4.0", False),
            ("", "All rights reserved", False),
            ("", "Fair use", False),
            ("", "", False),
        ],
    )
    def test_free(self, licence: str, short: str, free: bool) -> None:
        known = {"License": licence, "LicenseShortName": short}
        assert commons.is_free(known) == free
        assert not commons.is_free({**known, "NonFree": "true"})


class TestWikidata:
    def binding(self, **values: str) -> dict[str, Any]:
        mona = {
            "work": "http://www.wikidata.org/entity/Q12418",
            "workLabel": "Mona Lisa",
            "image": "http://commons.wikimedia.org/wiki/Special:FilePath/Mona%20Lisa.jpg",
            "kind": "http://www.wikidata.org/entity/Q3305213",
            "sitter": "http://www.wikidata.org/entity/Q208015",
            "sitterLabel": "Lisa del Giocondo",
            "sex": "http://www.wikidata.org/entity/Q6581072",
            "death": "1542-07-15T00:00:00Z",
            "birth": "1479-06-15T00:00:00Z",
            "birthPrecision": "11",
            "made": "1503-01-01T00:00:00Z",
            "madePrecision": "9",
        }
        known = {**mona, **values}
        return {name: {"type": "literal", "value": value} for name, value in known.items() if value}

    def ask(self, web: Web, bindings: Sequence[Any], query: str = "Leonardo da Vinci") -> dict[str, Item]:
        asked: list[Mapping[str, str]] = []

        def sparql(query: Mapping[str, str]) -> Any:
            asked.append(query)
            assert query["format"] == "json"
            return {"head": {}, "results": {"bindings": bindings}}

        def files(query: Mapping[str, str]) -> Any:
            if query["action"] == "wbsearchentities":
                assert query["search"] == "Leonardo da Vinci"
                return {"search": [{"id": "Q762", "label": "Leonardo da Vinci"}], "success": 1}
            titles = query["titles"].split("|")
            return {"query": {"pages": [TestCommons().file(title) for title in titles]}}

        answers(web, "/sparql", sparql)
        answers(web, "/w/api.php", files)
        bases = {"base": f"{web.url}/sparql"} | dict.fromkeys(("wiki", "commons"), f"{web.url}/w/api.php")
        found = items(search(web, wikidata.SOURCE, query, **bases), wikidata.SOURCE)
        assert "VALUES ?about { wd:Q762 }" in asked[0]["query"]
        return found

    def test_mona_lisa_is_24(self, web: Web) -> None:
        (item,) = self.ask(web, [self.binding()]).values()
        assert (item.source_id, item.title, item.domain) == ("Q12418", "Mona Lisa", "painting")
        assert (item.age, item.age_source) == (24.0, "dated")
        assert (item.gender, item.identity, item.date) == ("female", "wikidata/Q208015", "1503")
        assert item.url.endswith("/1280px-Mona_Lisa.jpg")
        assert item.licence == "CC BY-SA 4.0"
        assert item.fault is None

    def test_a_number_needs_no_look_up(self, web: Web) -> None:
        assert len(self.ask(web, [self.binding()], query="Q762")) == 1
        assert not any(request.query.get("action") == "wbsearchentities" for request in web.asked)

    @pytest.mark.parametrize(
        ("changes", "fault"),
        [
            ({"madePrecision": "8"}, "is not dated to the year"),
            ({"birthPrecision": "7"}, "is not dated to the year"),
            ({"made": ""}, "is not dated to the year"),
            ({"birth": "t1234"}, "is not dated to the year"),
            ({"made": "1602-01-01T00:00:00Z"}, "was made after the sitter's death"),
            ({"made": "1602-01-01T00:00:00Z", "death": ""}, "has an impossible age: 123"),
            ({"made": "1470-01-01T00:00:00Z"}, "has an impossible age: -9"),
        ],
    )
    def test_no_age(self, web: Web, changes: dict[str, str], fault: str) -> None:
        (item,) = self.ask(web, [self.binding(**changes)]).values()
        assert item.age is None
        assert item.fault is not None and item.fault.startswith(fault)

    def test_several_people_and_several_dates(self, web: Web) -> None:
        both = [self.binding(), self.binding(sitter="http://www.wikidata.org/entity/Q2")]
        (item,) = self.ask(web, both).values()
        assert item.fault == "shows several people: 2"
        years = [self.binding(made=f"{year}-01-01T00:00:00Z") for year in (1503, 1506)]
        (item,) = self.ask(web, years).values()
        assert item.age == 25.5  # 1505, the middle of both, less 1479.5
        years.append(self.binding(made="1519-01-01T00:00:00Z"))
        (item,) = self.ask(web, years).values()
        assert item.age is None and item.fault

    def test_missing_fields(self, web: Web) -> None:
        bare = {"work": {"value": "http://www.wikidata.org/entity/Q1"}}
        (item,) = self.ask(web, [bare]).values()
        assert item.fault is not None

    def test_pages_of_works(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wikidata, "_PER_PAGE", 2)
        works = [f"http://www.wikidata.org/entity/Q{number}" for number in range(1, 6)]

        def sparql(query: Mapping[str, str]) -> Any:
            offset = int(query["query"].partition("OFFSET ")[2].split()[0])
            return {"results": {"bindings": [self.binding(work=work) for work in works[offset : offset + 2]]}}

        answers(web, "/sparql", sparql)
        pages = [TestCommons().file("File:Mona Lisa.jpg")]
        answers(web, "/w/api.php", lambda query: {"query": {"pages": pages}})
        bases = {"base": f"{web.url}/sparql", "commons": f"{web.url}/w/api.php"}
        asked = search(web, wikidata.SOURCE, "Q762", **bases)
        assert list(items(asked, wikidata.SOURCE)) == ["Q1", "Q2", "Q3", "Q4", "Q5"]
        assert list(items(asked, wikidata.SOURCE, "2")) == ["Q3", "Q4", "Q5"]

    def test_nothing_of_that_name(self, web: Web) -> None:
        answers(web, "/w/api.php", lambda query: {"search": []})
        with pytest.raises(UsageError, match="knows no creator, sitter or collection called 'Xyzzy'"):
            items(search(web, wikidata.SOURCE, "Xyzzy", wiki=f"{web.url}/w/api.php"), wikidata.SOURCE)

    def test_something_else(self, web: Web) -> None:
        answers(web, "/sparql", lambda query: {"results": []})
        with pytest.raises(NenrinError, match="wikidata answered in an unknown shape"):
            items(search(web, wikidata.SOURCE, "Q762", base=f"{web.url}/sparql"), wikidata.SOURCE)

    @pytest.mark.parametrize(
        ("value", "precision", "year"),
        [
            ("1503-01-01T00:00:00Z", "9", 1503.5),
            ("+1503-00-00T00:00:00Z", "9", 1503.5),
            ("1479-06-15T00:00:00Z", "11", 1479.45),
            ("1479-06-00T00:00:00Z", "10", 1479.45),
            ("1479-02-30T00:00:00Z", "11", 1479.5),
            ("1503-01-01T00:00:00Z", "8", None),
            ("-0044-03-15T00:00:00Z", "11", None),
            (None, None, None),
        ],
    )
    def test_dates(self, value: str | None, precision: str | None, year: float | None) -> None:
        assert wikidata.moment(value, precision) == (year if year is None else pytest.approx(year, abs=0.01))


class TestDanbooru:
    def test_pages_and_the_key(self, web: Web) -> None:
        def choose(query: Mapping[str, str]) -> Any:
            assert query["tags"] == "conan rating:g,s" and query["limit"] == "200"
            numbers = {None: (9, 8), "b8": (5,)}.get(query.get("page"), ())
            return [{**POST, "id": n, "large_file_url": f"https://cdn.example/{n}.jpg"} for n in numbers]

        answers(web, "/posts.json", choose)
        asked = search(web, danbooru.SOURCE, "conan", base=web.url, rating="general, sensitive")
        found = items(asked, danbooru.SOURCE)
        assert list(found) == ["9", "8", "5"]
        assert found["9"].url == "https://cdn.example/9.jpg"
        assert found["9"].page == f"{web.url}/posts/9"
        assert web.asked[0].headers["authorization"] == "Basic bWluZTptaW5l"

    def test_what_it_says_when_it_refuses(self, web: Web) -> None:
        said = {"success": False, "message": "You cannot search for more than 2 tags at a time."}
        for status, error in ((422, NenrinError), (403, Refused)):
            answer = Answer(json.dumps(said).encode(), "application/json", status)
            web.routes["/posts.json"] = lambda request, handler, answer=answer: answer  # type: ignore[misc]
            with pytest.raises(error, match="You cannot search for more than 2 tags"):
                items(search(web, danbooru.SOURCE, "a b c", base=web.url), danbooru.SOURCE)

    def test_something_else(self, web: Web) -> None:
        answers(web, "/posts.json", lambda query: {"posts": []})
        with pytest.raises(NenrinError, match="answered in an unknown shape"):
            items(search(web, danbooru.SOURCE, "x", base=web.url), danbooru.SOURCE)

    def test_a_server_that_does_not_understand_the_cursor(self, web: Web) -> None:
        posts = [{**POST, "id": 1, "file_url": "https://cdn.example/1.png"}]
        answers(web, "/posts.json", lambda query: posts)
        pages = list(listing(danbooru.SOURCE, search(web, danbooru.SOURCE, "x", base=web.url), None))
        assert [page.cursor for page in pages] == ["1", None]

    @pytest.mark.parametrize(
        ("changes", "fault"),
        [
            ({}, None),
            ({"rating": "q"}, "is rated otherwise: questionable"),
            ({"rating": None}, "is rated otherwise: not rated"),
            ({"file_ext": "mp4"}, "is no picture: mp4"),
            ({"is_banned": True}, "is not given out"),
            ({"file_url": None}, "is not given out"),
            ({"tag_string_general": "loli"}, "is never fetched: sexualised children"),
        ],
    )
    def test_what_is_left_alone(self, web: Web, changes: dict[str, Any], fault: str | None) -> None:
        posts = [{**POST, "id": 1, "file_url": "https://cdn.example/1.png", **changes}]
        answers(web, "/posts.json", lambda query: [] if "page" in query else posts)
        (item,) = items(search(web, danbooru.SOURCE, "x", base=web.url), danbooru.SOURCE).values()
        assert item.fault == fault


class TestTags:
    def label(self, text: str, *characters: str) -> Item:
        item = Item(source_id="1", url="")
        tags.label(item, text.split(), characters)
        return item

    @pytest.mark.parametrize(
        ("words", "domain"),
        [
            ("1girl solo", "manga"),
            ("1girl solo realistic", "cartoon"),
            ("1boy oil_painting_(medium)", "painting"),
            ("cosplay_photo photo_(medium)", "photo"),
        ],
    )
    def test_domain(self, words: str, domain: str) -> None:
        assert self.label(words).domain == domain

    @pytest.mark.parametrize(
        ("words", "glasses"),
        [
            ("solo glasses", "clear"),
            ("solo semi-rimless_eyewear", "clear"),
            ("solo sunglasses glasses", "dark"),
            ("solo glasses eyewear_on_head", "none"),
            ("solo glasses eyewear_hang", "none"),
            ("solo sunglasses eyewear_on_headwear", "none"),
            ("solo no_eyewear", "none"),
            ("solo", None),
            ("solo " + " ".join(f"word_{n}" for n in range(20)), "none"),
            ("2girls glasses", None),
        ],
    )
    def test_glasses(self, words: str, glasses: str | None) -> None:
        assert self.label(words).glasses == glasses

    @pytest.mark.parametrize("hint", ["aged_up", "child", "old_man", "old_woman", "aged_down"])
    def test_age_hints_are_kept_and_no_age_is_made_of_them(self, hint: str) -> None:
        item = self.label(f"1boy solo {hint}", "kudou_shin'ichi")
        assert item.attributes[hint] is True
        assert item.age is None
        assert item.identity == "character/kudou_shin'ichi"

    @pytest.mark.parametrize(
        ("words", "characters"),
        [
            ("2girls", ["a"]),
            ("1girl 1boy", ["a"]),
            ("solo", ["a", "b"]),
            ("solo multiple_views", ["a"]),
            ("1boy age_progression", ["a"]),
            ("1girl", ["a_(cosplay)"]),
            ("no_humans", ["a"]),
        ],
    )
    def test_several_faces_have_no_name(self, words: str, characters: list[str]) -> None:
        assert self.label(words, *characters).identity is None

    @pytest.mark.parametrize(
        ("words", "gender"), [("1girl", "female"), ("1boy solo", "male"), ("1other", None), ("solo", None)]
    )
    def test_gender(self, words: str, gender: str | None) -> None:
        assert self.label(words).gender == gender

    @pytest.mark.parametrize(
        ("words", "rating", "left"),
        [
            ("child", "general", False),
            ("child", "explicit", True),
            ("loli", "general", True),
            ("old_man", "explicit", False),
        ],
    )
    def test_never(self, words: str, rating: str, left: bool) -> None:
        fault = tags.fault(words.split(), rating, tags.RATINGS)
        assert (fault is not None) == left


class TestGelbooru:
    def test_posts_and_kinds_of_tags(self, web: Web) -> None:
        post = {
            "id": 7,
            "created_at": "Sat Mar 02 10:00:00 -0600 2024",
            "rating": "general",
            "tags": "1boy solo glasses edogawa_conan kudou_shin&#039;ichi_(x) aoyama_goushou",
            "file_url": "https://img3.example/a.png",
            "sample_url": "",
        }
        video = {**post, "id": 6, "file_url": "https://video.example/b.mp4"}
        kinds = {"edogawa_conan": 4, "aoyama_goushou": 1, "kudou_shin'ichi_(x)": 3}

        def choose(query: Mapping[str, str]) -> Any:
            assert (query["user_id"], query["api_key"], query["json"]) == ("mine", "mine", "1")
            if query["s"] == "tag":
                names = query["names"].split()
                return {"tag": [{"name": n.replace("'", "&#039;"), "type": kinds.get(n, 0)} for n in names]}
            without = "-rating:sensitive -rating:questionable -rating:explicit"
            if "id:<6" in query["tags"]:
                return {"@attributes": {"limit": 100, "offset": 0, "count": 0}}
            assert query["tags"] == f"conan {without} sort:id:desc"
            return {"@attributes": {"limit": 100, "offset": 0, "count": 2}, "post": [post, video]}

        answers(web, "/index.php", choose)
        found = items(search(web, gelbooru.SOURCE, "conan", base=web.url), gelbooru.SOURCE)
        item = found["7"]
        assert (item.url, item.author) == ("https://img3.example/a.png", "aoyama_goushou")
        assert (item.identity, item.gender, item.glasses) == ("character/edogawa_conan", "male", "clear")
        assert item.page == f"{web.url}/index.php?page=post&s=view&id=7"
        assert "edogawa_conan" not in item.attributes
        assert found["6"].fault == "is no picture: mp4"

    def test_missing_fields(self, web: Web) -> None:
        def choose(query: Mapping[str, str]) -> Any:
            return {"post": {"id": 3}} if "id:<" not in query["tags"] else {}

        answers(web, "/index.php", choose)
        (item,) = items(search(web, gelbooru.SOURCE, "x", base=web.url), gelbooru.SOURCE).values()
        assert item.fault == "is rated otherwise: not rated"
        answers(web, "/index.php", lambda query: ["no"])
        with pytest.raises(NenrinError, match="answered in an unknown shape"):
            items(search(web, gelbooru.SOURCE, "x", base=web.url), gelbooru.SOURCE)


class TestAniList:
    def character(self, number: int, **changes: Any) -> dict[str, Any]:
        return {
            "id": number,
            "name": {"full": "Conan Edogawa", "native": "江戸川コナン"},
            "age": "7",
            "gender": "Male",
            "image": {"large": f"https://s4.example/{number}.png"},
            "siteUrl": f"https://anilist.co/character/{number}",
            **changes,
        }

    def graphql(self, web: Web, choose: Any) -> None:
        def route(request: Request, handler: Handler) -> Answer:
            body = json.loads(request.body)
            assert request.method == "POST" and "query" in body["query"]
            return Answer(json.dumps(choose(body["variables"])).encode(), "application/json")

        web.routes["/"] = route

    def test_characters_of_a_title(self, web: Web) -> None:
        def choose(variables: Mapping[str, Any]) -> Any:
            assert variables["search"] == "Detective Conan"
            page = variables["page"]
            nodes = [self.character(page)] if page < 3 else [self.character(3, age=None, gender=None)]
            characters = {"pageInfo": {"hasNextPage": page < 3}, "nodes": nodes}
            return {"data": {"Page": {"media": [{"id": 235, "characters": characters}]}}}

        self.graphql(web, choose)
        found = items(search(web, anilist.SOURCE, "Detective Conan", base=web.url), anilist.SOURCE)
        assert list(found) == ["1", "2", "3"]
        item = found["1"]
        assert (item.title, item.age, item.age_source) == ("Conan Edogawa", 7.0, "canon")
        assert (item.gender, item.domain, item.identity) == ("male", "manga", "anilist/1")
        assert (found["3"].age, found["3"].age_source, found["3"].gender) == (None, None, None)
        assert anilist.SOURCE.limit == 100

    def test_by_name_and_with_missing_fields(self, web: Web) -> None:
        odd = [
            {"id": 5},
            {"id": None},
            None,
            self.character(6, image={"large": "https://s4.example/default.jpg"}),
        ]
        page = {"pageInfo": {"hasNextPage": False}, "characters": odd}
        self.graphql(web, lambda variables: {"data": {"Page": page}})
        found = items(search(web, anilist.SOURCE, "Conan", base=web.url, what="character"), anilist.SOURCE)
        assert {name: item.fault for name, item in found.items()} == dict.fromkeys(
            ("5", "6"), "has no portrait"
        )

    def test_errors(self, web: Web) -> None:
        asked = search(web, anilist.SOURCE, "x", base=web.url)
        self.graphql(web, lambda variables: {"data": {"Page": {"media": []}}})
        with pytest.raises(UsageError, match="knows no title 'x'"):
            items(asked, anilist.SOURCE)
        self.graphql(
            web, lambda variables: {"data": None, "errors": [{"message": "Bad query.", "status": 400}]}
        )
        with pytest.raises(NenrinError, match="anilist says: Bad query"):
            items(asked, anilist.SOURCE)
        self.graphql(web, lambda variables: {"data": {"Page": None}})
        with pytest.raises(NenrinError, match="anilist answered in an unknown shape"):
            items(asked, anilist.SOURCE)
        with pytest.raises(UsageError, match="unknown what 'series'"):
            items(search(web, anilist.SOURCE, "x", what="series"), anilist.SOURCE)

    @pytest.mark.parametrize(
        ("text", "age"),
        [
            ("17", 17.0),
            (" 17 ", 17.0),
            ("16-17", 16.5),
            ("16–18", 17.0),
            ("15-25", None),
            ("18-16", None),
            ("7 (physically), 17", None),
            ("20s", None),
            ("1000", None),
            ("500", None),
            ("Unknown", None),
            ("", None),
            (None, None),
        ],
    )
    def test_ages(self, text: str | None, age: float | None) -> None:
        assert anilist.age_of(text) == age
