"""Pieces of the page, as HTML that escapes whatever it is given."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup
from PIL import Image

from nenrin.domains.face import GENDERS
from nenrin.models.condition import UNKNOWN
from nenrin.web.studio import MOST_BYTES, Aged, Opened, encode

# Clicks on anything that names a choice become one Gradio event with that name.
PICK = (
    "element.addEventListener('click', (event) => {"
    " const chosen = event.target.closest('[data-pick]');"
    " if (chosen) trigger('select', {pick: chosen.dataset.pick}); });"
)


def data_uri(picture: Image.Image, quality: int = 88) -> str:
    """A picture inside its address: it is on the page alone, and in no file."""
    data = base64.b64encode(encode(picture, "WEBP", quality=quality, method=2)).decode()
    return f"data:image/webp;base64,{data}"


def drop_zone(token: str, examples: Mapping[str, str]) -> Markup:
    """Where a picture is dropped, and examples (name -> address of a small picture) below it."""
    tried = _join(
        Markup('<button type="button" data-pick="{}" title="{}"><img src="{}" alt="{}"></button>').format(
            name, name, small, name
        )
        for name, small in examples.items()
    )
    return Markup(
        '<label class="nn-drop" data-visit="{}" data-most="{}">'
        '<input type="file" accept="image/*" aria-label="Choose a picture">'
        "<strong>Drop a picture here</strong><span>or choose or paste one: photograph, painting, manga</span>"
        '</label><p class="nn-trouble" role="alert" hidden></p>'
        '<div class="nn-examples"><span>or try</span>{}</div>'
        '<p class="nn-said">Pictures stay in the memory of the machine that serves this page, in no file, '
        "and go when the page is closed.</p>"
    ).format(token, MOST_BYTES, tried)


def trouble(sentence: str) -> Markup:
    """What went wrong, in one sentence; nothing for an empty one."""
    if not sentence:
        return Markup("")
    return Markup('<p class="nn-trouble" role="alert">{}</p>').format(
        sentence[:1].upper() + sentence[1:].rstrip(".") + "."
    )


def hint(sentence: str | Markup) -> Markup:
    """What could be done here."""
    return Markup('<p class="nn-hint">{}</p>').format(sentence)


def stage(opened: Opened, chosen: int | None) -> Markup:
    """The picture with a numbered box about each face, and the faces to choose from."""
    width, height = opened.picture.size
    boxes = _join(
        Markup(
            '<g class="{}" data-pick="{}"><rect x="{:.0f}" y="{:.0f}" width="{:.0f}" height="{:.0f}"/>'
            '<text x="{:.0f}" y="{:.0f}" font-size="{:.0f}">{}</text></g>'
        ).format(
            "nn-chosen" if number == chosen else "",
            number,
            left,
            top,
            right - left,
            bottom - top,
            left + width / 120,
            top + width / 24,
            width / 25,
            number + 1,
        )
        for number, (left, top, right, bottom) in enumerate(one.box.tolist() for one in opened.found)
    )
    faces = _join(
        Markup(
            '<button type="button" data-pick="{}" aria-pressed="{}" aria-label="face {}">'
            '<img src="{}" alt=""><span>{}</span></button>'
        ).format(number, str(number == chosen).lower(), number + 1, data_uri(face), number + 1)
        for number, face in enumerate(opened.faces)
    )
    whole = Markup(
        '<button type="button" class="nn-whole" data-pick="whole" aria-pressed="{}">whole picture</button>'
    ).format(str(chosen is None).lower())
    count = len(opened.found)
    said = "1 face found" if count == 1 else f"{count} faces found: pick one" if count else "No face found"
    return Markup(
        '<figure class="nn-stage"><div><img src="{}" alt="the picture that you dropped">'
        '<svg viewBox="0 0 {} {}">{}</svg></div></figure>'
        '<p class="nn-said">{}. {}</p><div class="nn-faces">{}{}</div>'
    ).format(data_uri(opened.picture, 80), width, height, boxes, said, opened.note, faces, whole)


def compare(before: Image.Image, after: Image.Image, years: float) -> Markup:
    """Two pictures of one face, one over the other, with a slider between them."""
    return Markup(
        '<div class="nn-compare" style="--at:50%"><img src="{}" alt="the face as it is">'
        '<img class="nn-after" src="{}" alt="the face at {}">'
        '<span class="nn-left">input</span><span class="nn-right">{}</span>'
        '<input type="range" min="0" max="100" value="50" aria-label="how much of each is shown" '
        "oninput=\"this.parentNode.style.setProperty('--at', this.value + '%')\"></div>"
    ).format(data_uri(before), data_uri(after), _years(years), _years(years))


def strip(aged: Aged, seconds: float, since: str) -> Markup:
    """The face at every age of the strip, `seconds` after what `since` says; a click shows one large."""
    cells = _join(
        Markup(
            '<button type="button" data-pick="{:g}" aria-label="{:g} years"><img src="{}" alt="">'
            "<span>{:g}</span></button>"
        ).format(years, years, data_uri(picture), years)
        for years, picture in aged.outputs.items()
    )
    age, gender = aged.strip.from_age, int(aged.strip.labels[0].gender)
    taken = [
        aged.strip.domain,
        None if gender == UNKNOWN else GENDERS[gender],
        None if age is None else f"about {_years(round(age))} old",
    ]
    known = ", ".join(word for word in taken if word is not None)
    read = f"Taken for {known}" if known else "Taken as it is"
    return Markup(
        '<div class="nn-strip">{}</div><p class="nn-said" data-seconds="{:.3f}">{}. {:.1f} s {}.</p>'
    ).format(cells, seconds, read, seconds, since)


def downloads(token: str) -> Markup:
    """Links to what can be kept."""
    names = (
        ("strip.png", "Strip (PNG)"),
        ("ages.gif", "Animation (GIF)"),
        ("ages.webp", "Animation (WebP)"),
    )
    return Markup('<div class="nn-keep">{}</div>').format(
        _join(
            Markup('<a href="keep/{}/{}" download>{}</a>').format(token, name, said) for name, said in names
        )
    )


def pasted(picture: Image.Image, token: str, years: float, seconds: float) -> Markup:
    """The whole picture with the aged face in its place, reduced to fit, and a link to all of it."""
    small = picture.copy()
    small.thumbnail((1280, 1280), Image.Resampling.LANCZOS)
    return Markup(
        '<figure class="nn-pasted"><img src="{}" alt="the whole picture, its face at {}">'
        "<figcaption>{} x {} pixels, at {}, {:.1f} s</figcaption></figure>"
        '<div class="nn-keep"><a href="keep/{}/picture.png" download>Picture (PNG)</a></div>'
    ).format(data_uri(small, 85), _years(years), *picture.size, _years(years), seconds, token)


def facts(rows: Sequence[tuple[str, object]]) -> Markup:
    """Names and values."""
    cells = _join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in rows)
    return Markup('<dl class="nn-facts">{}</dl>').format(cells)


def _years(years: float) -> str:
    return f"{years:g} year" + ("" if years == 1 else "s")


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
