"""The record of what a scrape has seen, fetched and failed to fetch: one SQLite file in its folder.

Pictures are beside it under `pictures/`, named by their SHA-256. A row says "done" only after its picture has
been renamed into place. So whatever stops the program, no recorded picture is missing, and an unrecorded one
is fetched again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from nenrin.ground import NenrinError, UsageError
from nenrin.scrapers.download import sha256_of
from nenrin.scrapers.source import Item, Page

NAME = "scrape.sqlite"
_FORMAT = 1
_AT_RISK = timedelta(minutes=2)  # several times as long as Linux keeps written pages in memory
_SCHEMA = """
CREATE TABLE IF NOT EXISTS asked (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY,  -- in the order of the source
    source TEXT NOT NULL,
    source_id TEXT NOT NULL,
    url TEXT NOT NULL,
    item TEXT NOT NULL,  -- all that the source says of it, as JSON
    state TEXT NOT NULL,  -- wanted, done, failed
    reason TEXT,  -- why it failed
    file TEXT,  -- below the folder; several items may share one
    sha256 TEXT,
    retrieved TEXT,  -- UTC, ISO 8601
    UNIQUE (source, source_id)
);
CREATE INDEX IF NOT EXISTS by_state ON items (state, number);
CREATE INDEX IF NOT EXISTS by_url ON items (url);
CREATE INDEX IF NOT EXISTS by_sha256 ON items (sha256);
"""


@dataclasses.dataclass(kw_only=True, slots=True)
class Row:
    """An item with its number and, once it is done, its file and when that was fetched."""

    number: int
    item: Item
    file: str | None = None
    sha256: str | None = None
    retrieved: datetime | None = None


class Archive:
    """The record of one scrape, open for one process at a time."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def writing(cls, folder: Path, asked: Mapping[str, Any]) -> Iterator[Self]:
        """Open or create the record of a scrape, which is identified by `asked`.

        Raises `UsageError` if the folder holds anything else, or another process writes to it.
        """
        path = folder / NAME
        if not path.is_file() and folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds other files: choose a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        with _explained(path), _connected(path) as db:
            # The lock is held until the end: it keeps a second process away, and ends with this one.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_SCHEMA)
            archive = cls(folder, db)
            archive._agree({"format": _FORMAT, **asked})
            archive._forget_lost()
            try:
                yield archive
            finally:
                # Leave one plain file, which can be opened on a read-only disk.
                with contextlib.suppress(sqlite3.Error):
                    db.execute("PRAGMA journal_mode = DELETE")

    @classmethod
    @contextlib.contextmanager
    def reading(cls, folder: Path) -> Iterator[Self]:
        """Open a record as it is. `UsageError` where there is none, or while it is written."""
        path = folder / NAME
        if not path.is_file():
            raise UsageError(f"{folder} is no scrape: it has no {NAME}")
        with _explained(path), _connected(path) as db:
            yield cls(folder, db)

    def asked(self, name: str) -> Any:
        """A value of the scrape's query or of the listing's progress; None if there is none."""
        row = self._connection.execute("SELECT value FROM asked WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def add(self, page: Page) -> list[int]:
        """Record a page of a listing and the cursor to continue at, atomically.

        Returns the known items to try now because the source says something else of them than before.
        Unchanged ones keep their state, so that a page that repeats an item does not revive a failure. Those
        that are done stay as their pictures were fetched.
        """
        changed = []
        with self._together():
            for item in page.items:
                state = "wanted" if item.fault is None else "failed"
                text = json.dumps(item.known(), ensure_ascii=False)
                values = (item.url, text, state, item.fault, item.source, item.source_id)
                known = self._connection.execute(
                    "SELECT number, item, state FROM items WHERE source = ? AND source_id = ?", values[4:]
                ).fetchone()
                if known is None:
                    self._connection.execute(
                        "INSERT INTO items (url, item, state, reason, source, source_id)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        values,
                    )
                elif known[2] != "done" and known[1] != text:
                    self._connection.execute(
                        "UPDATE items SET url = ?, item = ?, state = ?, reason = ? WHERE number = ?",
                        (*values[:4], known[0]),
                    )
                    if state == "wanted":
                        changed.append(int(known[0]))
            self.set(cursor=page.cursor, listed=page.cursor is None)
        return changed

    def set(self, **values: Any) -> None:
        """Record the listing's progress."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO asked VALUES (?, ?)",
            [(name, json.dumps(value)) for name, value in values.items()],
        )

    def wanted(self, after: int) -> Row | None:
        """The next item that is neither done nor failed."""
        return next(self._rows("state = 'wanted' AND number > ? ORDER BY number LIMIT 1", (after,)), None)

    def fetched(self, url: str) -> Row | None:
        """An item that is done and has the same address."""
        return next(self._rows("url = ? AND state = 'done' LIMIT 1", (url,)), None)

    def finish(self, number: int, *, file: str, sha256: str, retrieved: datetime) -> bool:
        """Record that an item's picture is in place. True if no other item has the same picture."""
        known = self._connection.execute("SELECT 1 FROM items WHERE sha256 = ?", (sha256,)).fetchone()
        self._connection.execute(
            "UPDATE items SET state = 'done', file = ?, sha256 = ?, retrieved = ? WHERE number = ?",
            (file, sha256, retrieved.isoformat(timespec="seconds"), number),
        )
        return known is None

    def fail(self, number: int, reason: str) -> None:
        """Record that an item can never be fetched."""
        self._connection.execute(
            "UPDATE items SET state = 'failed', reason = ? WHERE number = ?", (reason, number)
        )

    def restart(self) -> None:
        """Start the listing again, and retry items that failed in fetching."""
        with self._together():
            self._connection.execute(
                "UPDATE items SET state = 'wanted', reason = NULL"
                " WHERE state = 'failed' AND json_extract(item, '$.fault') IS NULL"
            )
            self.set(cursor=None, listed=False)

    def pictures(self) -> Iterator[Row]:
        """Every picture once, in the order of the source, with the first item that showed it."""
        return self._rows(
            "number IN (SELECT min(number) FROM items WHERE state = 'done' GROUP BY sha256) ORDER BY number"
        )

    def count(self) -> int:
        """How many pictures there are."""
        (count,) = self._connection.execute("SELECT count(DISTINCT sha256) FROM items").fetchone()
        return int(count)

    def states(self) -> Counter[str]:
        """How many items are in each state; two items with one picture count as two."""
        return Counter(dict(self._connection.execute("SELECT state, count(*) FROM items GROUP BY state")))

    def failures(self) -> Counter[str]:
        """How many items failed, by reason without what follows a colon, which concerns one item."""
        rows = self._connection.execute(
            "SELECT reason, count(*) FROM items WHERE state = 'failed' GROUP BY 1"
        )
        counts: Counter[str] = Counter()
        for reason, count in rows:
            counts[(reason or "no reason given").split(":")[0]] += count
        return counts

    def _rows(self, condition: str, values: tuple[Any, ...] = ()) -> Iterator[Row]:
        columns = "number, item, file, sha256, retrieved"
        for number, item, file, sha256, at in self._connection.execute(
            f"SELECT {columns} FROM items WHERE {condition}", values
        ):
            yield Row(
                number=number,
                item=Item(**json.loads(item)),
                file=file,
                sha256=sha256,
                retrieved=None if at is None else datetime.fromisoformat(at).astimezone(UTC),
            )

    def _agree(self, asked: Mapping[str, Any]) -> None:
        # A scrape that has listed nothing yet holds nothing that could be mixed up.
        begun = self._connection.execute("SELECT 1 FROM items LIMIT 1").fetchone() is not None
        for name, value in asked.items():
            before = self.asked(name)
            if begun and before != value:
                raise UsageError(
                    f"{self.folder} holds a scrape with the {name} {before!r}, not {value!r}: "
                    "choose another folder"
                )
            self.set(**{name: value})

    def _forget_lost(self) -> None:
        """Fetch again what somebody removed, and what a loss of power kept from reaching the disk.

        Syncing each picture to the disk takes longer than fetching it. Instead, those that may not have been
        written out when the last run ended are read and checked here.
        """
        (last,) = self._connection.execute("SELECT max(retrieved) FROM items").fetchone()
        safe = (datetime.fromisoformat(last) - _AT_RISK).isoformat() if last else ""
        rows = self._connection.execute(
            "SELECT DISTINCT file, sha256, retrieved FROM items WHERE state = 'done'"
        )
        lost = [
            (file,)
            for file, sha256, retrieved in rows
            if not (self.folder / file).is_file()
            or (retrieved > safe and sha256_of(self.folder / file) != sha256)
        ]
        self._connection.executemany(
            "UPDATE items SET state = 'wanted', file = NULL, sha256 = NULL WHERE file = ?", lost
        )

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _connected(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
        if "locked" in text:
            raise UsageError(f"another scrape is writing to {path.parent}: wait for it") from None
        raise NenrinError(f"{path} cannot be used ({text}): restore it, or remove the folder") from None
