"""Turns a set of photographs into its drawn counterpart, row for row with the same labels and splits.

After any interruption, the same call continues to the same set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nenrin.domains.align import OUTSIDE, frame_mask
from nenrin.domains.array import decode
from nenrin.domains.decisions import Decisions
from nenrin.domains.face import Face, face_id
from nenrin.domains.faceset import FORMAT_VERSION, FaceSet, SetWriter
from nenrin.domains.pipeline import encode
from nenrin.domains.resume import clear, finished, gather, process, workplace
from nenrin.domains.storage import STORED, load_row, store_row
from nenrin.domains.stylizer import Pixels, Stylizer, StylizerSpec
from nenrin.domains.weights import Contract, known_by, obtain
from nenrin.domains.workers import Job, write_rows
from nenrin.ground import UsageError

_BATCH = 8  # faces drawn at a time

_stylizers: dict[StylizerSpec, Stylizer] = {}  # of this worker, kept so that nets are loaded once


@dataclasses.dataclass(kw_only=True, slots=True)
class Sheet:
    """One row group of a shard, and the file of its drawn faces."""

    path: Path
    shard: Path
    group: int
    count: int
    size: int
    spec: StylizerSpec
    domain: str
    decisions: Decisions

    def __len__(self) -> int:
        return self.count

    def run(self) -> None:
        """Draw the faces and write them."""
        if self.spec not in _stylizers:
            _stylizers[self.spec] = Stylizer(self.spec)
        stored = pq.ParquetFile(self.shard).read_row_group(self.group).to_pylist()
        faces = [self.decisions.apply(load_row(row)) for row in stored]
        rows = []
        for start in range(0, len(faces), _BATCH):
            some = faces[start : start + _BATCH]
            drawn = _stylizers[self.spec].draw(np.stack([decode(face, self.size) for face in some]))
            rows += [
                store_row(_counterpart(face, image, self.spec, self.domain))
                for face, image in zip(some, drawn, strict=True)
            ]
        write_rows(self.path, rows, STORED)


def stylize(
    photos: str | Path,
    out: str | Path,
    *,
    weights: str = "whitebox",
    sha256: str | None = None,
    channels: str | None = None,
    value_range: tuple[float, float] | None = None,
    side: int | None = None,
    licence: str | None = None,
    domain: str = "cartoon",
    workers: int = 2,
    cache: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FaceSet:
    """Draw every face of the set `photos`; labels, identity, split, points and frame are carried over, with
    what a person decided in a review.

    `weights` is the path of a TensorFlow Lite or ONNX image-to-image net, an address (with its `sha256`) or a
    name of `weights.KNOWN`. The other arguments say what its file does not (defaults in brackets): `channels`
    rgb or bgr (rgb), `value_range` of black and white (-1 to 1), `side` in pixels (the set's), `licence`.
    `domain` is the drawings' domain. Raises `UsageError` for a wrong call, before anything is written.
    """
    faces = FaceSet.open(photos)
    if not faces.meta.complete:
        raise UsageError(f"{faces.path} is unfinished: run the command that builds it again, to its end")
    if not domain:
        raise UsageError("--domain needs a word for what the drawings are, such as cartoon")
    spec = _spec(weights, sha256, channels, value_range, side, licence, cache)
    size = faces.meta.size
    Stylizer(spec).draw(np.full((1, size, size, 3), OUTSIDE, dtype=np.uint8))  # a wrong net fails here
    out, fingerprint = Path(out), _fingerprint(faces, spec, domain)
    done = finished(out, fingerprint)
    if done is None:
        with workplace(out, fingerprint) as folder:
            process(
                lambda: _sheets(faces, folder, spec, domain),
                len(faces),
                workers=workers,
                label="drawing",
                on_progress=on_progress,
            )
            done = _assemble(folder, out, faces, spec, domain, fingerprint)
    clear(out)
    return done


def _spec(
    weights: str,
    sha256: str | None,
    channels: str | None,
    value_range: tuple[float, float] | None,
    side: int | None,
    licence: str | None,
    cache: Path | None,
) -> StylizerSpec:
    """The given options, else those known for the file, else the defaults."""
    path, found = obtain(weights, sha256=sha256, cache=cache)
    known = known_by(found)
    contract = known.contract if known else Contract()
    if channels is not None:
        contract = dataclasses.replace(contract, channels=channels)
    if value_range is not None:
        contract = dataclasses.replace(contract, low=value_range[0], high=value_range[1])
    if side is not None:
        contract = dataclasses.replace(contract, side=side)
    return StylizerSpec(
        path=path,
        sha256=found,
        contract=contract,
        name=known.name if known else path.stem,
        licence=licence or (known.licence if known else None),
    )


def _fingerprint(faces: FaceSet, spec: StylizerSpec, domain: str) -> str:
    """A hash of all that determines the result: the faces by content, their labels, the net, its options."""
    options = [FORMAT_VERSION, faces.meta.size, domain, spec.sha256, spec.name, spec.licence]
    if len(faces.decisions):
        options.append("as decided")  # releases that ignored decisions made another set of the same rows
    digest = hashlib.sha256(json.dumps([*options, dataclasses.asdict(spec.contract)]).encode())
    labels = faces.table()
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, labels.schema) as writer:
        writer.write_table(labels.combine_chunks())
    digest.update(stream.getbuffer())
    return digest.hexdigest()[:32]


def _sheets(faces: FaceSet, folder: Path, spec: StylizerSpec, domain: str) -> Iterator[Job]:
    number = 0
    for shard in faces.shards:
        metadata = pq.read_metadata(shard)
        for group in range(metadata.num_row_groups):
            yield Sheet(
                path=folder / f"{number:06d}.parquet",
                shard=shard,
                group=group,
                count=metadata.row_group(group).num_rows,
                size=faces.meta.size,
                spec=spec,
                domain=domain,
                decisions=faces.decisions,
            )
            number += 1


def _counterpart(face: Face, drawn: Pixels, spec: StylizerSpec, domain: str) -> Face:
    """The drawn face: `source_id` still names the picture; `source` and licence also name the net."""
    if face.frame is not None:  # the net has also drawn outside the picture
        drawn = np.where(
            frame_mask(face.frame[None], len(drawn))[0, :, :, None] > 0, drawn, np.uint8(OUTSIDE)
        )
    return dataclasses.replace(
        face,
        id=face_id(drawn),
        image=encode(drawn),
        domain=domain,
        source=f"{face.source}+{spec.name}",
        licence=f"{face.licence or 'not stated'}; drawn by {spec.name}: {spec.licence or 'not stated'}",
    )


def _assemble(
    folder: Path, out: Path, faces: FaceSet, spec: StylizerSpec, domain: str, fingerprint: str
) -> FaceSet:
    note = f"The faces of the set {faces.meta.name}, drawn by {spec.name} (SHA-256 {spec.sha256})."
    writer = SetWriter(
        out,
        name=out.name,
        size=faces.meta.size,
        domains=(domain,),
        note=note,
        build=fingerprint,
        replace=True,
    )
    with writer:
        gather(folder, writer)
    return FaceSet.open(out)
