"""The first tab: a picture in, its faces at other ages out."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import anyio
import gradio as gr
from PIL import Image

from nenrin.domains.face import GENDERS
from nenrin.ground import NenrinError
from nenrin.web import markup
from nenrin.web.examples import draw_examples
from nenrin.web.studio import Opened, Studio, Wish, encode
from nenrin.web.visits import Visit, Visits

YOUNGEST, OLDEST = 1, 90  # years, on the slider
WAITING = 64  # events that may wait for the ager; who comes after them is asked to come again
Outputs = dict[Any, Any]


class AgeTab:
    """The components of the tab and what each of them does. Made inside a `gradio.Blocks`."""

    def __init__(self, studio: Studio, visits: Visits) -> None:
        self._studio, self._visits = studio, visits
        self._turn = anyio.CapacityLimiter(1)  # one event at a time, in the order in which they came
        self._examples = draw_examples()
        self._small = {name: markup.data_uri(_small(picture)) for name, picture in self._examples.items()}
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        scripts = [
            (files("nenrin.web") / name).read_text(encoding="utf-8") for name in ("drop.js", "years.js")
        ]
        with gr.Row(elem_classes="nn-work"):
            with gr.Column(scale=2, min_width=280):
                self.zone = gr.HTML(js_on_load="".join(scripts) + markup.PICK, elem_id="nn-zone")
                self.trouble = gr.HTML(elem_id="nn-trouble", js_on_load=None)
                self.stage = gr.HTML(js_on_load=markup.PICK, elem_id="nn-stage")
            with gr.Column(scale=3, min_width=280, visible=False) as self.side:
                self.compare = gr.HTML(js_on_load=None, elem_id="nn-compare")
                self.years = gr.Slider(
                    YOUNGEST, OLDEST, 70, step=1, label="Age (years)", elem_id="nn-years", buttons=[]
                )
                self.glasses = gr.Radio(
                    ["keep", "none", "clear", "dark"], value="keep", label="Glasses", elem_id="nn-glasses"
                )
                self.from_age = gr.Number(
                    None,
                    label="Age in the picture (empty: guessed; say it of drawn faces)",
                    elem_id="nn-from",
                    placeholder="guessed",
                )
                self.domain = gr.Radio(
                    list(self._studio.ager.domains),
                    label="Drawn as (read off the picture; change it if wrong)",
                    elem_id="nn-domain",
                )
                self.gender = gr.Radio(
                    ["auto", *GENDERS],
                    value="auto",
                    label="Aged as (auto: read off the picture)",
                    elem_id="nn-gender",
                )
        with gr.Column(visible=False) as self.below:
            self.strip = gr.HTML(js_on_load=None, elem_id="nn-strip")
            self.keep = gr.HTML(js_on_load=None, elem_id="nn-keep")
            self.paste = gr.Button("Paste back into the picture", size="md", elem_id="nn-paste")
            self.pasted = gr.HTML(js_on_load=None, elem_id="nn-pasted")

    def _connect(self) -> None:
        aged = {
            self.trouble, self.stage, self.side, self.compare, self.domain, self.gender, self.below,
            self.strip, self.keep, self.pasted,
        }  # fmt: skip
        everything = {*aged, self.from_age}
        once: dict[str, Any] = {
            "api_visibility": "private",
            # Gradio's queue answers through a stream that ends when all is answered. What the page asks for
            # before it has heard of that end is answered into no stream: the page waits, and sends no more.
            "queue": False,
            "show_progress": "minimal",
            # Gradio's own check fails with a traceback where the box of the age is empty or says too much.
            "preprocess": False,
        }
        # What says itself what was chosen is handled click by click, in order: "once" drops what is clicked
        # while an earlier click is handled, and "always_last" sends the data of the first click again.
        each: dict[str, Any] = {**once, "trigger_mode": "multiple"}
        wishes = [self.years, self.glasses]
        self.zone.submit(self._guarded(self._received), wishes, everything, **each)
        self.zone.select(self._guarded(self._example), wishes, everything, **each)
        self.stage.select(self._guarded(self._pick), wishes, everything, **each)
        # Each sends its own value alone: the others may be those of the face before.
        choices = {"glasses": self.glasses, "domain": self.domain, "gender": self.gender}
        for name, choice in choices.items():
            choice.input(self._guarded(functools.partial(self._redo, name)), choice, aged, **each)
        typed: dict[str, Any] = {**once, "trigger_mode": "always_last"}
        told = self._guarded(functools.partial(self._redo, "from_age"))
        self.from_age.input(told, self.from_age, aged, **typed)
        moved = {self.trouble, self.compare, self.keep, self.pasted}
        self.years.input(
            self._guarded(self._slide), self.years, moved, **{**typed, "show_progress": "hidden"}
        )
        self.paste.click(self._guarded(self._paste), None, {self.trouble, self.pasted}, **once)

    def _guarded(self, work: Callable[..., Outputs]) -> Callable[..., Awaitable[Outputs]]:
        """An event's function: waits for its turn, finds the visit, and turns what fails into a sentence."""

        def take(request: gr.Request, event: gr.EventData, *values: Any) -> Outputs:
            try:
                visit = self._visits.of(str(request.session_hash))
                said = getattr(event, "_data", None)
                if isinstance(said, dict):
                    if said.get("error"):  # the page itself knows what is wrong
                        raise NenrinError(str(said["error"]))
                    said = said.get("pick")
                picked = "" if said is None else str(said)
                return {self.trouble: "", **work(visit, picked, *values)}
            except NenrinError as error:
                return {self.trouble: markup.trouble(str(error))}
            except Exception:
                traceback.print_exc(file=sys.stderr)
                return {
                    self.trouble: markup.trouble("this did not work; the reason is in the server's terminal")
                }

        @functools.wraps(work)
        async def run(request: gr.Request, event: gr.EventData, *values: Any) -> Outputs:
            if self._turn.statistics().tasks_waiting >= WAITING:
                return {self.trouble: markup.trouble("too many are waiting: try again in a while")}
            return await anyio.to_thread.run_sync(take, request, event, *values, limiter=self._turn)

        # Gradio tells by the annotations what it shall pass beside the inputs.
        run.__annotations__ = {"request": gr.Request, "event": gr.EventData}
        del run.__wrapped__
        return run

    def begin(self, request: gr.Request) -> str:
        """A page was loaded: the drop zone, which carries the visit's token."""
        return markup.drop_zone(self._visits.begin(str(request.session_hash)).token, self._small)

    def end(self, request: gr.Request) -> None:
        """A page was closed."""
        self._visits.end(str(request.session_hash))

    def _received(self, visit: Visit, picked: str, years: float | None, glasses: str) -> Outputs:
        if visit.arrived is None:  # an earlier event took the newer picture; what it said stays
            return {self.trouble: gr.skip()}
        data, visit.arrived = visit.arrived, None
        began = time.perf_counter()
        opened = self._open(visit, data)
        if opened.main is None:
            return {
                **self._closed(),
                self.stage: markup.stage(opened, -1),
                self.trouble: markup.trouble(
                    "no face was found; if the picture is one upright face, take the whole picture"
                ),
            }
        return self._begin(visit, Wish(face=opened.main, glasses=glasses), years, began)

    def _example(self, visit: Visit, picked: str, years: float | None, glasses: str) -> Outputs:
        if picked not in self._examples:
            return {}
        began = time.perf_counter()
        opened = self._open(visit, encode(self._examples[picked], "PNG"))
        # Twins are drawn as one face that fills the picture; not every finder sees them.
        face = opened.main if picked == "astronaut" else None
        return self._begin(visit, Wish(face=face, glasses=glasses), years, began)

    def _pick(self, visit: Visit, picked: str, years: float | None, glasses: str) -> Outputs:
        opened = visit.opened
        if opened is None or not (
            picked == "whole" or (picked.isdigit() and int(picked) < len(opened.found))
        ):
            return {}
        face = None if picked == "whole" else int(picked)
        return self._begin(
            visit, Wish(face=face, glasses=glasses), years, time.perf_counter(), "after the choice"
        )

    def _redo(self, name: str, visit: Visit, picked: str, value: str | float | None) -> Outputs:
        _, aged = visit.face()
        changed: dict[str, Any] = {name: value}
        wish = dataclasses.replace(aged.wish, **changed)
        return self._age(visit, wish, visit.years, time.perf_counter(), "after the choice")

    def _slide(self, visit: Visit, picked: str, years: float | None) -> Outputs:
        return {} if years is None else self._show(visit, years)

    def _paste(self, visit: Visit, picked: str) -> Outputs:
        began = time.perf_counter()
        picture = self._studio.paste(*visit.face(), visit.years)
        return {self.pasted: markup.pasted(picture, visit.token, visit.years, time.perf_counter() - began)}

    def _open(self, visit: Visit, data: bytes) -> Opened:
        opened = self._studio.open(data)  # where this fails, what was there before stays
        visit.opened, visit.aged = opened, None
        return opened

    def _begin(self, visit: Visit, wish: Wish, years: float | None, began: float, *since: str) -> Outputs:
        """Another face, of which nothing was said yet. Only here is the box of its age written into, as an
        answer that comes while somebody types would replace what is typed."""
        return {**self._age(visit, wish, years, began, *since), self.from_age: None}

    def _age(
        self,
        visit: Visit,
        wish: Wish,
        years: float | None,
        began: float,
        since: str = "from picture to strip",
    ) -> Outputs:
        assert visit.opened is not None
        visit.aged = self._studio.age(visit.opened, wish)
        shown = self._show(visit, years)
        return {
            **shown,
            self.stage: markup.stage(visit.opened, wish.face),
            self.side: gr.update(visible=True),
            self.below: gr.update(visible=True),
            self.domain: gr.update(value=visit.aged.strip.domain),
            self.gender: gr.update(value=wish.gender),
            self.strip: markup.strip(visit.aged, time.perf_counter() - began, since),
        }

    def _show(self, visit: Visit, years: float | None) -> Outputs:
        """The face at an age; at the one it had where none is said."""
        opened, aged = visit.face()
        if years is not None:
            visit.years = min(max(float(years), float(YOUNGEST)), float(OLDEST))
        after = self._studio.at(opened, aged, visit.years)
        return {
            self.compare: markup.compare(aged.before, after, visit.years),
            self.keep: markup.downloads(visit.token),
            self.pasted: "",
        }

    def _closed(self) -> Outputs:
        """No face on the page."""
        return {self.side: gr.update(visible=False), self.below: gr.update(visible=False), self.pasted: ""}


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((112, 112), Image.Resampling.LANCZOS)
    return small
