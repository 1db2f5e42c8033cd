"""The browser in which pages are tried: the Chromium that is installed."""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REQUIRED = os.environ.get("NENRIN_BROWSER") == "required"  # as .ci/run says: then nothing is skipped
needed = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED,
    reason="no Chromium on this machine, so no page is opened: apt-get install chromium",
)


def check() -> None:
    """Stop the tests where a browser is required and not there."""
    if CHROMIUM is None and REQUIRED:
        raise pytest.UsageError("NENRIN_BROWSER=required, and there is no Chromium: apt-get install chromium")
