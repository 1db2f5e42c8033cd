"""Every finder by its name or its file, behind one interface (`find.Finder`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nenrin.domains.find import Finder, MTCNNFinder
from nenrin.ground import UsageError, suggest

OURS, MTCNN = "nenrin", "mtcnn"
AUTO = "auto"  # both finders together, the default
NOMINAL = "nominal"  # only for a build: no finder, but the source's own crop
FINDERS = (AUTO, OURS, MTCNN)
SUFFIXES = (".onnx", ".xml")  # files: a net, or a cascade of OpenCV 4


def check_finder(name: str, *others: str) -> str:
    """`name` if it is a finder, the file of one, or one of `others`; else `UsageError`."""
    if name in (*FINDERS, *others) or (Path(name).suffix.lower() in SUFFIXES and Path(name).is_file()):
        return name
    if Path(name).suffix.lower() in SUFFIXES:
        raise UsageError(
            f"{name} does not exist: a finder is {', '.join(FINDERS)}, or an ONNX or cascade file"
        )
    raise UsageError(
        f"unknown finder {name!r}; {suggest(name, (*FINDERS, *others, 'FILE.onnx', 'FILE.xml'))}"
    )


def open_finder(name: str = AUTO, *, smallest: float = 0.04, margin: float = 0.1) -> Finder:
    """The finder of that name, or in that file.

    Faces smaller than `smallest`, a fraction of a picture's longer side, are not looked for. `margin`, also a
    fraction, is added around the picture for faces that are cut off. Raises `UsageError` for any other name
    and for a file that is no detector.
    """
    check_finder(name)
    if name == MTCNN:
        return MTCNNFinder(smallest=max(smallest, 0.06), margin=margin)
    from nenrin.domains.finder.finder import NetFinder

    if name == OURS:
        return NetFinder(smallest=smallest, margin=margin)
    if name == AUTO:
        from nenrin.domains.finder.both import BothFinders

        return BothFinders(
            open_finder(MTCNN, smallest=smallest, margin=margin),
            NetFinder(smallest=smallest, margin=margin),
        )
    from nenrin.domains.external import CascadeFinder, OnnxFinder

    kind = CascadeFinder if Path(name).suffix.lower() == ".xml" else OnnxFinder
    return kind(Path(name), smallest=smallest)


def finder_digest(name: str) -> str:
    """A digest of the finder by content, not by its file's name, for a set's fingerprint."""
    from nenrin.domains.finder.close import CLOSE
    from nenrin.domains.finder.look import WEIGHTS

    paths = (WEIGHTS, CLOSE) if name in (OURS, AUTO) else (Path(name),)
    digest = name
    if all(path.is_file() for path in paths):
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    return f"{AUTO} {digest}" if name == AUTO else digest
