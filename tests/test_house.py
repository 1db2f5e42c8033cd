"""The house stands: imports point one way, what is written is shipped, nothing of one machine is in it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import nenrin

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("scrapers", "domains", "models", "eval", "nenrin")  # data flows from left to right
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _sources(room: str) -> list[Path]:
    # rglob does not follow the links in nenrin/, which lead to the other rooms.
    return sorted(p for p in (ROOT / room).rglob("*.py") if not any(up.is_symlink() for up in p.parents))


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions; `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_rooms_to_their_left(room: str) -> None:
    seen = 0
    for path in _sources(room):
        for name in _imports(path):
            if name.split(".")[0] != "nenrin" or (room == "nenrin" and path.name != "ground.py"):
                continue
            seen += 1
            part = name.split(".")[1] if "." in name else ""
            left = (*ROOMS[: ROOMS.index(room) + 1], "ground", "__version__", "")
            allowed = ("",) if path.name == "ground.py" else left
            assert part in allowed, f"{path.relative_to(ROOT)} imports {name}"
    # scrapers may be empty and ground.py imports nothing of ours; the others do import each other.
    assert seen or room in ("scrapers", "nenrin")


@pytest.mark.parametrize("room", ROOMS[:-1])
def test_only_the_front_door_knows_the_command_line(room: str) -> None:
    for path in _sources(room):
        front = {"typer", "click", "gradio", "argparse"} & {name.split(".")[0] for name in _imports(path)}
        assert not front, f"{path.relative_to(ROOT)} imports {front}"


@pytest.mark.parametrize("room", ROOMS[:-1])
def test_links_lead_to_the_rooms(room: str) -> None:
    link = ROOT / "nenrin" / room
    assert link.is_symlink()
    assert link.readlink() == Path("..") / room
    assert link.resolve() == ROOT / room


def _packages() -> dict[str, Path]:
    """Import name -> folder, for every folder with an `__init__.py`."""
    found = {}
    for room in ROOMS:
        for path in _sources(room):
            if path.name == "__init__.py":
                folder = path.parent.relative_to(ROOT)
                name = ".".join(folder.parts if room == "nenrin" else ("nenrin", *folder.parts))
                found[name] = folder
    return found


def test_every_package_is_listed() -> None:
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == set(_packages())


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_of_code_is_a_package(room: str) -> None:
    for path in _sources(room):
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for name, folder in _packages().items():
        data = (
            "*.py",
            "*.j2",
            "*.html",
            "*.css",
            "*.js",
            "py.typed",
            "weights/*",
            "weights/*/*",
            "canon/*.toml",
        )
        files = [file for pattern in data for file in (ROOT / folder).glob(pattern) if file.is_file()]
        expected |= {f"{name.replace('.', '/')}/{file.relative_to(ROOT / folder)}" for file in files}
    assert inside == expected
    assert "nenrin/py.typed" in inside


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][\w.+]*", line) for line in lines)
    pinned = dict(line.split("==") for line in lines)
    extras = PROJECT["project"]["optional-dependencies"].values()
    for line in [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned[requirement.name]), line


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert nenrin.__version__ == version
    assert f"version = {{{version}}}" in (ROOT / "README.md").read_text()
    newest = re.search(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert newest[1] == version


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages.append(ROOT / "docs" / "first-hour.ipynb")
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([\w./:-]+)[^)\s]*\)", page.read_text())
    ]
    assert len(links) > 20
    for page, link in links:
        assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_nothing_of_one_machine_is_in_the_files() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert len(files) > 50
    machine = re.compile(
        r"(?<![\w.])/(?:work|root|home|Users)/\w|https?://\S+/simple\b|--(?:extra-)?index-url"
    )
    for path in files:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        hit = machine.search(text)
        assert hit is None, f"{path.relative_to(ROOT)}: {hit.group()}"


def test_nothing_reports_to_anybody(tmp_path: Path) -> None:
    """Left to itself, onnxruntime writes down a number for the machine as soon as it is imported."""
    environment = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment |= dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), str(tmp_path))
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    code = "import nenrin, onnxruntime; onnxruntime.get_available_providers()"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_the_page_of_scores_explains_every_protocol() -> None:
    from nenrin.eval.suite import PROTOCOLS

    page = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    assert set(PROTOCOLS) <= named
