"""The faces of one or more sets at one size, in a memory-mapped array for training and evaluation."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import logging
import mmap
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from nenrin.domains.align import frame_mask
from nenrin.domains.face import DOMAINS, GENDERS, GLASSES, SPLITS, Face, Split
from nenrin.domains.faceset import FaceSet
from nenrin.ground import NenrinError, UsageError, track

HELD = 2**28  # bytes of a map that a process may hold
AROUND = 2**16  # bytes that the system maps at least for each row that is read
_log = logging.getLogger(__name__)
_LABELS = ("age", "domain", "glasses", "gender", "identity", "view", "split", "source", "source_id")
_VERSION = "2"  # of the cache's layout and of how pictures are resized
_STRONGEST: tuple[Split, ...] = ("test", "judge", "val", "train")  # where two sets disagree on an identity


class Rows:
    """Some rows of a memory map. Indexing gives a NumPy array of the rows asked for; nothing else is read.

    Every `HELD` bytes the pages read are released to the system, so that a process does not grow to the size
    of its set. The system keeps them cached as long as it has room.
    """

    def __init__(self, base: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._base = base
        self._rows = rows
        self._read = 0  # bytes since pages were last released
        self.shape = (len(rows), *base.shape[1:])
        self.dtype = base.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        found = np.asarray(self._base[self._rows[index]])
        count = found.size // max(int(np.prod(self.shape[1:])), 1)
        self._read += max(found.nbytes, count * AROUND)
        if self._read > HELD and isinstance(self._base.base, mmap.mmap):
            self._base.base.madvise(mmap.MADV_DONTNEED)
            self._read = 0
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._base[self._rows], dtype=dtype)

    def take(self, index: NDArray[Any]) -> Rows:
        """A selection of the rows; nothing is read yet."""
        return Rows(self._base, self._rows[index])


@dataclasses.dataclass(kw_only=True, slots=True)
class FaceArray:
    """N faces with their labels. Unknown is NaN for the age, -1 for the others."""

    pixels: Rows  # (N, H, W, 3) uint8 RGB
    masks: Rows  # (N, H, W) uint8, 255 where the source picture has pixels
    ids: list[str]
    domains: tuple[str, ...]  # the vocabulary that `domain` indexes
    age: NDArray[np.float32]  # (N,) years
    domain: NDArray[np.int64]  # (N,)
    glasses: NDArray[np.int64]  # (N,) index into GLASSES
    gender: NDArray[np.int64]  # (N,) index into GENDERS
    identity: NDArray[np.int64]  # (N,) index into `identities`
    identities: tuple[str, ...]
    view: NDArray[np.int64]  # (N,) faces with the same number differ in age and glasses alone
    split: NDArray[np.str_]  # (N,)
    source: NDArray[np.str_]  # (N,)
    source_id: NDArray[np.str_]  # (N,) names the picture: a photograph and its drawing share it

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, index: Any) -> FaceArray:
        """These faces (integer indices, a slice or a boolean mask); their pixels stay on disk until read."""
        rows = np.arange(len(self))[index]
        picked = {name: getattr(self, name)[rows] for name in _LABELS}
        return dataclasses.replace(
            self,
            pixels=self.pixels.take(rows),
            masks=self.masks.take(rows),
            ids=[self.ids[i] for i in rows],
            **picked,
        )


def pack(
    sets: Sequence[FaceSet],
    *,
    size: int,
    splits: Collection[str] = SPLITS,
    cache: Path | None = None,
    every: bool = False,
) -> FaceArray:
    """The kept faces of these splits, at `size` pixels, in the order of the sets.

    Splits stay disjoint across sets: if two sets put an identity (or an identical face) in different splits,
    it is left out of the weaker one (`test` before `judge` before `val` before `train`), and the count is
    logged. The array is kept under `cache` (by default `arrays/` in the first set) and only mapped the next
    time. `every` takes all faces instead, also those set aside, and downsamples them in a third of the time,
    slightly softer: for looking at a set, not for training on it.
    """
    if not sets:
        raise UsageError("no set to read: name at least one")
    for faces in sets:
        if faces.meta.size < size:
            raise UsageError(
                f"{faces.path} holds faces of {faces.meta.size} px, {size} asked: build it with --size {size}"
            )
    labels = [faces.table() for faces in sets]
    rows = [np.arange(len(table)) for table in labels] if every else _choose(labels, splits)
    if not any(len(chosen) for chosen in rows):
        raise UsageError(
            f"no faces in the splits {', '.join(sorted(splits))} of {', '.join(str(s.path) for s in sets)}"
        )
    # Kept are the pixels, which the ids name, and the masks; labels are read anew each time.
    digest = hashlib.sha256(f"{_VERSION} {size} {every or ''}".rstrip().encode())
    for faces, table, chosen in zip(sets, labels, rows, strict=True):
        shown = table.select(["id", "frame"]).take(pa.array(chosen)).combine_chunks()
        stream = io.BytesIO()
        with pa.ipc.new_stream(stream, shown.schema) as writer:
            writer.write_table(shown)
        digest.update(f" {faces.meta.size} ".encode() + stream.getvalue())
    folder = (cache or sets[0].path / "arrays") / digest.hexdigest()[:16]
    if not folder.is_dir():
        try:
            _fill(folder, sets, rows, size, quick=every)
        except OSError as error:
            raise NenrinError(f"cannot write to {folder.parent}: {error.strerror or error}") from None
    table = pa.concat_tables(
        [table.take(pa.array(chosen)) for table, chosen in zip(labels, rows, strict=True)]
    )
    return _open(folder, table, _vocabulary(sets))


def _vocabulary(sets: Sequence[FaceSet]) -> tuple[str, ...]:
    """The domains of all sets, in the default vocabulary's order: the order of the sets does not matter."""
    words = {word for faces in sets for word in faces.meta.domains}
    return (*(word for word in DOMAINS if word in words), *sorted(words - set(DOMAINS)))


def _choose(labels: Sequence[pa.Table], splits: Collection[str]) -> list[NDArray[np.int64]]:
    """For each set the indices of the rows to take."""
    sides: dict[str, set[str]] = {}
    for table in labels:
        for key, split in _keyed(table):
            sides.setdefault(key, set()).add(split)
    strongest = {
        key: next(s for s in _STRONGEST if s in found) for key, found in sides.items() if len(found) > 1
    }
    chosen, left_out = [], 0
    for table in labels:
        wanted = np.flatnonzero(
            pc.and_(
                pc.equal(table["verdict"], "keep"),
                pc.is_in(table["split"], pa.array(sorted(splits), pa.string())),
            ).to_numpy()
        )
        if strongest:
            weak = {
                i
                for i, (split, *keys) in enumerate(
                    zip(*(table[n].to_pylist() for n in ("split", "identity", "id")), strict=True)
                )
                if any(strongest.get(key, split) != split for key in keys)
            }
            kept = np.array([i for i in wanted if i not in weak], dtype=np.int64)
            left_out += len(wanted) - len(kept)
            wanted = kept
        chosen.append(wanted.astype(np.int64))
    if left_out:
        _log.warning("%d faces left out: their person is in another split of another set", left_out)
    return chosen


def _keyed(table: pa.Table) -> Iterator[tuple[str, str]]:
    """(identity, split) and (id, split) of the kept rows."""
    kept = table.filter(pc.equal(table["verdict"], "keep"))
    split = kept["split"].to_pylist()
    for column in ("identity", "id"):
        yield from (
            (key, s) for key, s in zip(kept[column].to_pylist(), split, strict=True) if key is not None
        )


def _fill(
    folder: Path, sets: Sequence[FaceSet], rows: Sequence[NDArray[np.int64]], size: int, *, quick: bool
) -> None:
    """Decode and resize the chosen faces into `folder`, which appears whole or not at all.

    Of processes that want the same faces one does it, and the others wait.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".part-{folder.name}")
    with _alone(folder.with_name(f".lock-{folder.name}")):
        if folder.is_dir():
            return
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
        part.mkdir()
        try:
            _write(part, sets, rows, size, quick=quick)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait for the lock of this name, which is gone when it is given back."""
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("another process packs these faces: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.fstat(lock.fileno()).st_nlink:  # removed by who held it: it holds nobody back
                continue
            try:
                yield
            finally:
                path.unlink()
            return


def _write(
    part: Path, sets: Sequence[FaceSet], rows: Sequence[NDArray[np.int64]], size: int, *, quick: bool
) -> None:
    """The pixels and the masks."""
    count = sum(map(len, rows))
    pixels = np.lib.format.open_memmap(
        part / "pixels.npy", mode="w+", dtype=np.uint8, shape=(count, size, size, 3)
    )
    masks = np.lib.format.open_memmap(
        part / "masks.npy", mode="w+", dtype=np.uint8, shape=(count, size, size)
    )
    for file in (part / "pixels.npy", part / "masks.npy"):
        _reserve(file)
    faces = (face for source, chosen in zip(sets, rows, strict=True) for face in _rows_of(source, chosen))
    sizes = [source.meta.size for source, chosen in zip(sets, rows, strict=True) for _ in chosen]
    written = 0  # bytes since pages were last given back
    for i, (face, stored) in enumerate(zip(track(faces, "packing faces", count), sizes, strict=True)):
        pixels[i] = decode(face, size, quick=quick)
        written += pixels[i].nbytes
        if written > HELD // 8:  # what is written is the system's, and no longer this process's memory
            for array in (pixels, masks):
                if isinstance(array.base, mmap.mmap):
                    array.base.madvise(mmap.MADV_DONTNEED)
            written = 0
        if face.frame is None:
            masks[i] = 255
        else:
            masks[i] = frame_mask(face.frame[None] * np.float32(size / stored), size)[0]
    pixels.flush()
    masks.flush()


def _reserve(file: Path) -> None:
    """Reserve the file's space on the disk: writing to a map without enough space kills the process."""
    with file.open("rb+") as stream:
        os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)


def _rows_of(faces: FaceSet, chosen: NDArray[np.int64]) -> Iterator[Face]:
    wanted = set(chosen.tolist())
    yield from (face for i, face in enumerate(faces.faces()) if i in wanted)


def decode(face: Face, size: int, *, quick: bool = False) -> NDArray[np.uint8]:
    """The face's pixels, (size, size, 3) uint8 RGB, resized with Pillow's antialiased bicubic filter.

    `quick` leaves most of the downsampling to the JPEG decoder.
    """
    with Image.open(io.BytesIO(face.image)) as picture:
        if quick:
            picture.draft("RGB", (2 * size, 2 * size))
        rgb = picture.convert("RGB")
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(rgb)


def _open(folder: Path, table: pa.Table, domains: tuple[str, ...]) -> FaceArray:
    identities = tuple(sorted(set(table["identity"].drop_null().to_pylist())))
    every = np.arange(table.num_rows)
    return FaceArray(
        pixels=Rows(np.load(folder / "pixels.npy", mmap_mode="r"), every),
        masks=Rows(np.load(folder / "masks.npy", mmap_mode="r"), every),
        ids=table["id"].to_pylist(),
        domains=domains,
        age=np.array(table["age"].to_pylist(), dtype=np.float32),
        domain=_index(table["domain"], domains),
        glasses=_index(table["glasses"], GLASSES),
        gender=_index(table["gender"], GENDERS),
        identity=_index(table["identity"], identities),
        identities=identities,
        view=_index(table["view"], sorted(set(table["view"].drop_null().to_pylist()))),
        split=np.array(table["split"].to_pylist(), dtype=np.str_),
        source=np.array(table["source"].to_pylist(), dtype=np.str_),
        source_id=np.array(table["source_id"].to_pylist(), dtype=np.str_),
    )


def _index(column: pa.ChunkedArray, vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """Each word's place in the vocabulary, -1 where it is null or another."""
    place = {word: i for i, word in enumerate(vocabulary)}
    return np.array([place.get(word, -1) for word in column.to_pylist()], dtype=np.int64)
