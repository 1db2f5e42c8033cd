"""The second tab: the page of `nenrin review`, inside this one."""

from __future__ import annotations

from markupsafe import Markup

from nenrin.review.server import ReviewServer
from nenrin.web import markup
from nenrin.web.runs_tab import HINT


def view_review(server: ReviewServer | None, owner: bool) -> Markup:
    """The suspects' page for the owner, a hint for others and where no set was named."""
    if not owner:
        return markup.hint(HINT)
    if server is None:
        return markup.hint(
            Markup(
                "Name a set that <code>nenrin clean</code> has scored: <code>nenrin serve --set SET</code>."
            )
        )
    return Markup(
        '<p class="nn-said">Click into it once, then one key decides on each face. '
        '<a href="{}" target="_blank" rel="noopener">In a window of its own</a></p>'
        '<iframe class="nn-frame" title="suspects" src="{}"></iframe>'
    ).format(server.address, server.address)
