"""Proof: no face of the judge split, nor a near-duplicate, trains an ager, and no judge sits in a loss."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from nenrin.domains.array import pack
from nenrin.domains.build import build
from nenrin.domains.duplicates import NEAR, difference_hash
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.eval.panel import check_apart
from nenrin.eval.suite import evaluate
from nenrin.ground import NenrinError
from nenrin.models.ager import Ager
from nenrin.models.config import resolve
from nenrin.models.run import Run
from nenrin.models.train import train

ROOT = Path(__file__).resolve().parents[1]
TINY = ["size=32", "batch=4", "pictures=8", "threads=1", "precision=32-true"]
COPIES = 40  # faces that are in the raw folder twice, the second time recoloured under another name


def _with_copies(source: list[Path], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for i, path in enumerate(source):
        picture = Image.open(path).convert("RGB")
        shutil.copy(path, folder)
        if i < COPIES:
            brighter = ImageEnhance.Color(ImageEnhance.Brightness(picture).enhance(1.12)).enhance(0.7)
            brighter.save(folder / path.name.replace(".jpg.chip", "9.jpg.chip"), quality=95)
    return folder


def _hashes(faces: FaceSet, ids: set[str]) -> np.ndarray:
    array = pack([faces], size=faces.meta.size)
    rows = [i for i, id_ in enumerate(array.ids) if id_ in ids]
    return np.stack([np.frombuffer(difference_hash(p), np.uint8) for p in array.pixels[np.array(rows)]])


def _assert_apart(faces: FaceSet, run: Path) -> tuple[int, int]:
    """Every trained face against every judge face, bit by bit."""
    table = faces.table(["id", "split"]).to_pydict()
    judge = {i for i, s in zip(table["id"], table["split"], strict=True) if s == "judge"}
    trained = set(Run.open(run).faces())
    assert trained
    assert judge
    assert not trained & judge
    distance = np.bitwise_count(_hashes(faces, trained)[:, None] ^ _hashes(faces, judge)).sum(-1)
    assert distance.min() > NEAR
    return len(trained), len(judge)


def test_no_judge_face_nor_a_near_duplicate_is_trained_on(crops: Path, tmp_path: Path) -> None:
    raw = _with_copies(sorted(crops.glob("*.jpg")), tmp_path / "raw" / "twice")
    build([raw], tmp_path / "set", size=64, finder="nominal", workers=0)
    faces = FaceSet.open(tmp_path / "set")
    run = train(resolve("caae", None, [*TINY, "width=0.1"]), [faces], tmp_path / "runs")
    trained, judge = _assert_apart(faces, run)
    assert trained + judge > 100
    # The copies are there, and near: without the rule, some would lie on both sides.
    array = pack([faces], size=64)
    hashes = np.stack([np.frombuffer(difference_hash(p), np.uint8) for p in np.asarray(array.pixels)])
    distance = np.bitwise_count(hashes[:, None] ^ hashes).sum(-1)
    assert (np.triu(distance <= NEAR, 1)).sum() >= COPIES // 2


@pytest.mark.real
def test_nor_is_one_of_real_faces(shared_data: Path, tmp_path: Path) -> None:
    some = sorted((shared_data / "photo" / "utkface").rglob("*.jpg"))[:4000:20]
    raw = _with_copies(some, tmp_path / "raw" / "twice")
    build([raw], tmp_path / "set", size=64, finder="nominal", workers=0)
    faces = FaceSet.open(tmp_path / "set")
    run = train(resolve("caae", None, [*TINY, "width=0.1"]), [faces], tmp_path / "runs")
    _assert_apart(faces, run)


def test_what_is_learned_at_second_hand_counts_as_seen(tiny_set: Path, tmp_path: Path) -> None:
    """Made faces stand for the pictures they were made of, and a run for those whose nets it took over."""
    faces = FaceSet.open(tiny_set)
    split = dict(zip(*faces.table(["id", "split"]).to_pydict().values(), strict=True))
    made = [
        dataclasses.replace(face, id=f"{number}-{face.id}", split="train", view=face.id)
        for face in faces.faces()
        if split[face.id] == "test"
        for number in range(2)
    ]
    with SetWriter(tmp_path / "made", name="made", size=32, domains=faces.meta.domains) as writer:
        for face in made:
            writer.add(face)
    pairs = FaceSet.open(tmp_path / "made")
    guide = train(resolve("guide", None, TINY), [faces], tmp_path / "runs")
    settings = [*TINY, "width=8", f"guide={guide}"]
    run = Run.open(train(resolve("mixed", None, settings), [pairs], tmp_path / "runs"))
    assert set(run.faces()) == {face.id for face in made}
    assert set(run.seen()) == {*run.faces(), *(face.view for face in made), *Run.open(guide).seen()}
    check_apart([faces], {"guide": Run.open(guide).seen(), "by its own ids alone": run.faces()})
    with pytest.raises(NenrinError, match=f"cheat was trained on {len(made) // 2} faces"):
        check_apart([faces], {"cheat": run.seen()})


TRAIN = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from pathlib import Path
from nenrin.domains.faceset import FaceSet
from nenrin.models.config import resolve
from nenrin.models.train import train
faces, runs, *settings = sys.argv[1:]
sets = [FaceSet.open(faces)]
trained = [
    train(resolve(model, None, [*settings, width]), sets, Path(runs))
    for model, width in (("mixed", "width=8"), ("caae", "width=0.1"))
]
print(json.dumps({"runs": [str(run) for run in trained], "modules": sorted(sys.modules), "opened": opened}))
"""


def test_a_training_opens_no_judge_and_imports_no_evaluation(tiny_set: Path, tmp_path: Path) -> None:
    """Watched from inside: every module it imports, every file it opens, every tensor it leaves."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, tiny_set, tmp_path / "runs", *TINY],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    judges = ("nenrin.eval", "lpips", "facenet_pytorch", "onnxruntime", "torch_fidelity", "sklearn")
    assert not [m for m in seen["modules"] if m.startswith(judges)]
    weights = [name for name in seen["opened"] if name.endswith((".safetensors", ".pt", ".pth", ".onnx"))]
    assert all(str(tmp_path / "runs") in name for name in weights)

    # What the evaluation then trains shares no tensor with what the agers were left with.
    agers = [Ager.load(Path(run)) for run in seen["runs"]]
    faces = [FaceSet.open(tiny_set)]
    evaluate(
        agers,
        faces,
        ["ages"],
        tmp_path / "report",
        embedders=("pixels",),
        people=4,
        resamples=20,
        judge_epochs=1,
    )
    from safetensors.numpy import load_file

    mine = {t.numpy().tobytes() for ager in agers for t in ager.model.state_dict().values() if t.numel() > 16}
    files = list((tmp_path / "cache" / "judges").glob("*.safetensors"))
    for file in files:
        assert not mine & {t.tobytes() for t in load_file(file).values()}
