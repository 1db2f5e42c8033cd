"""Follow a page of docs/: its blocks in their order, Python as files, commands as commands."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from nenrin.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
_BLOCK = re.compile(r"^```python\n(?P<python>(?:.*\n)*?)```$|^(?P<commands>(?: {4}.*\n)+)", re.M)


def blocks(name: str) -> Iterator[tuple[str, str]]:
    """("python" or "commands", text) of each block of docs/NAME, from the top."""
    for found in _BLOCK.finditer((DOCS / name).read_text()):
        assert found.lastgroup
        yield found.lastgroup, found[found.lastgroup]


def commands(text: str) -> list[str]:
    """The lines of a block that begin with `nenrin`, comments off, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.strip() for line in re.findall(r"^    nenrin ([^#\n]*)", joined, re.M)]


def run(line: str, *more: str) -> None:
    """Run one command as the page gives it, with words added that make it small."""
    words = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
    assert main([*words, *more]) == 0, line


def write(code: str) -> None:
    """Add a block to the module that its first line names, as if it stood in that file."""
    head = re.match(r"# (\w+(?:/\w+)*)\.py\n", code)
    assert head, code.splitlines()[0]
    name = f"nenrin.{head[1].replace('/', '.')}"
    if name not in sys.modules:
        sys.modules[name] = types.ModuleType(name)
    exec(compile(code, f"{head[1]}.py", "exec"), sys.modules[name].__dict__)
