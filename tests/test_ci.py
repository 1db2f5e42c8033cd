"""Without a browser, CI fails, and anybody else is told that no page was tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UNTRIED = "NOT TRIED: there is no Chromium"


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment of programs without a browser, whose user may install none; `make` says that it ran."""
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    for name, said in (("id", "1000"), ("make", "made $NENRIN_BROWSER")):
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    return {"PATH": str(tmp_path)}


def _ci(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True)


def test_ci_fails_without_a_browser(bare: dict[str, str]) -> None:
    done = _ci({**bare, "CI": "1"})
    assert done.returncode == 1
    assert done.stdout == ""  # before anything is made
    assert done.stderr.startswith(UNTRIED)


def test_others_are_told_before_and_after(bare: dict[str, str]) -> None:
    done = _ci(bare)
    assert done.returncode == 0
    assert done.stdout == "made\n"
    assert done.stderr.count(UNTRIED) == 2


def test_with_a_browser_no_test_may_do_without(bare: dict[str, str]) -> None:
    shutil.copy(Path(bare["PATH"], "id"), Path(bare["PATH"], "chromium"))
    done = _ci({**bare, "CI": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "made required\n", "")


def test_pytest_stops_where_the_required_browser_is_not_there(bare: dict[str, str]) -> None:
    here = {**os.environ, **bare, "NENRIN_BROWSER": "required"}
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*words, "tests/test_visits.py"], cwd=ROOT, env=here, capture_output=True, text=True
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "there is no Chromium: apt-get install chromium" in done.stderr
