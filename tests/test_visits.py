"""Visits of the page: each its own, and none for longer than it is used."""

from __future__ import annotations

import pytest

from nenrin.ground import NenrinError
from nenrin.web import visits
from nenrin.web.visits import Visits


def test_a_token_leads_to_its_visit_alone() -> None:
    held = Visits()
    mine, other = held.begin("mine"), held.begin("other")
    assert held.of("mine") is held.by_token(mine.token) is mine
    assert mine.token != other.token
    held.end("mine")
    with pytest.raises(NenrinError, match="load it again"):
        held.by_token(mine.token)
    assert held.of("other") is other
    with pytest.raises(NenrinError, match="drop a picture first"):
        other.face()


def test_a_page_that_is_loaded_again_starts_afresh() -> None:
    held = Visits()
    first = held.begin("page")
    first.arrived = b"a picture"
    assert held.begin("page").arrived is None
    with pytest.raises(NenrinError):
        held.by_token(first.token)


def test_the_idle_are_forgotten_and_the_longest_idle_make_room() -> None:
    held = Visits()
    for number in range(visits.MOST):
        held.begin(str(number))
    held.of("0")
    held.begin("one more")
    assert held.of("0")
    with pytest.raises(NenrinError):
        held.of("1")
    assert len(held) == visits.MOST
    held.of("2").used -= visits.IDLE + 1
    held.forget()
    assert len(held) == visits.MOST - 1
    with pytest.raises(NenrinError):
        held.of("2")
