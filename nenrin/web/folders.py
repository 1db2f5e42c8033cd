"""Runs and reports under the folders that the command named, and nothing outside them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nenrin.ground import NenrinError, read_toml


class Folder:
    """The entries of one folder, by name. A name is looked up among those that are there, never joined to a
    path, and an entry that is a link to somewhere else is none."""

    def __init__(self, path: Path, holds: str) -> None:
        """`holds` is the file that makes a folder an entry; entries may lie one in another."""
        self.path = path.resolve()
        self._holds = holds

    def names(self) -> list[str]:
        """What there is, newest first."""
        return list(self._entries())

    def find(self, name: str) -> Path:
        """The file that makes an entry. `NenrinError` where there is none of that name."""
        found = self._entries().get(name)
        if found is None:
            raise NenrinError("there is nothing of that name any more: load the page again")
        return found

    def _entries(self) -> dict[str, Path]:
        found = [
            path
            for path in self.path.rglob(self._holds)
            if path.is_file() and path.resolve().is_relative_to(self.path)
        ]
        found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        return {str(path.parent.relative_to(self.path)): path for path in found}


class RunFolder:
    """A run, read while it may still be written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def settings(self) -> dict[str, Any]:
        """Its config.toml, flat."""
        return {name: value for name, value in read_toml(self.path / "config.toml").items() if value != ""}

    def rows(self) -> list[dict[str, float]]:
        """Its metrics; a last line that is half written is left out."""
        file = self.path / "metrics.jsonl"
        rows = []
        for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def stopped(self) -> str:
        """What the watchdog said when it stopped the run; nothing if it did not."""
        file = self.path / "stopped.txt"
        return file.read_text(encoding="utf-8").strip() if file.is_file() else ""

    def samples(self) -> list[Path]:
        """Its sample grids, oldest first."""
        folder = (self.path / "samples").resolve()
        if not folder.is_dir() or not folder.is_relative_to(self.path.resolve()):
            return []
        return sorted(p for p in folder.iterdir() if re.fullmatch(r"\d+\.png", p.name) and not p.is_symlink())
