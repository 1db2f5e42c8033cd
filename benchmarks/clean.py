"""How many planted faults are among the faces shown first: python benchmarks/clean.py SET... -o FOLDER

300 faults of all kinds are planted among the kept faces of the sets, which become one set; `nenrin clean` is
run on it; counted is what lies in the 2% that are shown first. With --cleanvision PYTHON (an interpreter
that has cleanvision) its result on the same pictures stands beside. `--style develop` and another seed are
for working on the checks, `--style measure` for the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.plant import KINDS, Planter, fits
from nenrin.commands.clean import embedding
from nenrin.domains.checks.checks import CHECKS
from nenrin.domains.checks.verdicts import SUSPICION
from nenrin.domains.clean import clean
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.ground import write_text

SHOWN = 0.02
# Runs in the interpreter that has cleanvision: the lowest of a picture's scores, and whether it is a copy.
_CLEANVISION = """
import sys, json, warnings
warnings.simplefilter("ignore")
from cleanvision import Imagelab
lab = Imagelab(data_path=sys.argv[1])
lab.find_issues(n_jobs=1)
issues = lab.issues
scores = issues[[c for c in issues.columns if c.endswith("_score")]]
json.dump({path.rsplit("/", 1)[1]: row.to_dict() for path, row in scores.iterrows()}, open(sys.argv[2], "w"))
"""


def plant(sets: list[FaceSet], out: Path, *, count: int, style: str, seed: int, every: int) -> dict[int, str]:
    """Write the set with faults to `out`; row -> kind."""
    rng = np.random.default_rng(seed)
    rows = [(s, i) for s, faces in enumerate(sets) for i in range(len(faces))]
    tables = [faces.table().to_pylist() for faces in sets]
    for table in tables:
        for row in table:
            row.update(scores={}, attributes={})
    labels = [_bare(tables[s][i]) for s, i in rows]
    quota = Counter(KINDS[i % len(KINDS)] for i in range(count))
    kinds: dict[int, str] = {}
    for kind, number in quota.items():
        free = [
            i
            for i in rng.permutation(len(rows)).tolist()
            if i % every == 0 and i not in kinds and fits(labels[i], kind)
        ]
        kinds |= dict.fromkeys(free[:number], kind)
    domains = tuple(dict.fromkeys(word for faces in sets for word in faces.meta.domains))
    planter = Planter(rng=rng, style=style, things=_things(style))
    truth: dict[int, str] = {}
    written = 0
    size = sets[0].meta.size
    with SetWriter(out, name=out.name, size=size, domains=domains, replace=True) as writer:
        for number, face in enumerate(face for faces in sets for face in faces.faces()):
            if face.verdict != "keep" or number % every:
                continue
            kind = kinds.get(number)
            if kind is None or kind == "near_duplicate":
                writer.add(face)
                written += 1
            if kind is not None:
                spoilt = planter.spoil(face, kind, domains)
                # A spoilt face stays the picture that it was: what is learned about it must not come from
                # its own drawing in another of the sets. A copy is a picture of its own.
                name = f"{number}.jpg" if kind == "near_duplicate" else face.source_id
                writer.add(dataclasses.replace(spoilt, source_id=name))
                truth[written] = kind
                written += 1
    return truth


def _bare(row: dict[str, object]) -> object:
    """A row's labels, for `fits`."""
    return argparse.Namespace(**row)


def _things(style: str) -> list[Image.Image]:
    """scikit-image's pictures of other things; each style has its own."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    names = {
        "develop": ("coffee.png", "brick.png", "chelsea.png", "text.png", "hubble_deep_field.jpg"),
        "measure": (
            "rocket.jpg",
            "motorcycle_left.png",
            "grass.png",
            "page.png",
            "coins.png",
            "ihc.png",
            "horse.png",
        ),
    }[style]
    return [Image.open(folder / name).convert("RGB") for name in names]


def in_first(worst: NDArray[np.floating], truth: dict[int, str]) -> dict[str, tuple[int, int]]:
    """Kind -> (found, planted): which lie among the `SHOWN` of the rows with the lowest values."""
    shown = set(np.argsort(worst, kind="stable")[: round(SHOWN * len(worst))].tolist())
    return {
        kind: (
            sum(row in shown for row, k in truth.items() if k == kind),
            sum(k == kind for k in truth.values()),
        )
        for kind in KINDS
    }


def scores_of(faces: FaceSet, name: str) -> NDArray[np.float64]:
    """One score of all rows; 1 where it is missing."""
    column = faces.stored(["scores"])["scores"].to_pylist()
    return np.array([{e["key"]: e["value"] for e in row}.get(name, 1.0) for row in column])


def cleanvision(faces: FaceSet, python: str, folder: Path) -> NDArray[np.float64]:
    """cleanvision's lowest score of each row, each first made a rank among its kind so that they compare."""
    pictures = folder / "pictures"
    answer = folder / "cleanvision.json"
    if not answer.is_file():
        pictures.mkdir(exist_ok=True)
        for row, face in enumerate(faces.faces()):
            (pictures / f"{row}.jpg").write_bytes(face.image)
        subprocess.run(
            [python, "-c", _CLEANVISION, str(pictures), str(answer)], check=True, stdout=subprocess.DEVNULL
        )
    stored = json.loads(answer.read_text())
    names = sorted(next(iter(stored.values())))
    table = np.array([[stored[f"{row}.jpg"][name] for name in names] for row in range(len(faces))])
    ranks = table.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") / len(table)
    return np.where(table < 1, ranks, 1.0).min(1)


def main() -> None:
    """Plant, clean, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--style", choices=("develop", "measure"), default="measure")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="take every N-th face alone, and as few faults")
    parser.add_argument("--cleanvision", metavar="PYTHON")
    parser.add_argument("--embedder", help="as of nenrin clean")
    parser.add_argument("--plant", action="store_true", help="plant alone: then memory is that of cleaning")
    options = parser.parse_args()
    folder, truth_file = options.out / "set", options.out / "truth.json"
    if not truth_file.is_file():
        sets = [FaceSet.open(path) for path in options.sets]
        truth = plant(
            sets,
            folder,
            count=options.faults // options.every,
            style=options.style,
            seed=options.seed,
            every=options.every,
        )
        write_text(truth_file, json.dumps(truth))
    if options.plant:
        return
    truth = {int(row): kind for row, kind in json.loads(truth_file.read_text()).items()}
    start, busy = time.perf_counter(), time.process_time()
    report = clean([folder], again=True, embed=embedding(options.embedder) if options.embedder else None)
    spent = f"{time.perf_counter() - start:.0f} s, {time.process_time() - busy:.0f} s of processor time"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    faces = FaceSet.open(folder)
    print(f"{report.faces} faces, {len(truth)} faults planted; {spent}, memory at most {most:.0f} MB\n")
    columns = {"nenrin": scores_of(faces, SUSPICION)}
    if options.cleanvision:
        columns["cleanvision"] = cleanvision(faces, options.cleanvision, options.out)
    found = {name: in_first(worst, truth) for name, worst in columns.items()}
    print(f"| planted | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for kind in KINDS:
        print(f"| {kind} | {' | '.join('{} of {}'.format(*by[kind]) for by in found.values())} |")
    for name, by in found.items():
        hit, all_ = (sum(pair[i] for pair in by.values()) for i in (0, 1))
        print(f"{name}: {hit} of {all_} ({hit / all_:.1%}) in the first {SHOWN:.0%}")
    blame = Counter()
    shown = np.argsort(columns["nenrin"], kind="stable")[: round(SHOWN * len(faces))]
    table = {check.name: scores_of(faces, check.name) for check in CHECKS}
    for row in shown.tolist():
        if row not in truth:
            blame[min(table, key=lambda name, row=row: table[name][row])] += 1
    print("shown and not planted, by check:", ", ".join(f"{n} {name}" for name, n in blame.most_common()))


if __name__ == "__main__":
    main()
