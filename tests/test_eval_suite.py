"""A whole evaluation on a small twin set: what it writes, what it cannot answer, and that it repeats."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from nenrin.cli import main
from nenrin.commands.evaluate import _seeds
from nenrin.domains.array import pack
from nenrin.domains.faceset import FaceSet, SetWriter
from nenrin.domains.twins import build_twins, sample_people
from nenrin.eval import metrics as known
from nenrin.eval.baselines import CopyAger, MeanFaceAger
from nenrin.eval.bench import CanonOptions
from nenrin.eval.evaluation import COLUMNS, SCHEMA_VERSION, Evaluation
from nenrin.eval.metrics import better
from nenrin.eval.protocols.asked import ASKED
from nenrin.eval.protocols.canon import AS_IF
from nenrin.eval.report import PICTURE, data_uri, write_report
from nenrin.eval.stats import Estimate
from nenrin.eval.subjects import fingerprint
from nenrin.eval.suite import evaluate
from nenrin.eval.tables import tables
from nenrin.eval.verdict import verdict
from nenrin.ground import NenrinError, UsageError
from nenrin.models.condition import Condition
from nenrin.models.config import resolve
from nenrin.models.run import Run
from nenrin.models.train import train
from tests import browser as browsers

SIZE = 32
NAME = "<b>mean</b> & change"  # a run folder may be called so


class MeanChange:
    """Prototypes in their simplest form: adds what distinguishes the mean face of one age from another's."""

    name = NAME
    size = SIZE

    def __init__(self, mean: MeanFaceAger) -> None:
        self._mean = mean
        self.domains = mean.domains

    def estimate(self, images: Tensor, domain: Tensor | None = None) -> Condition:
        return self._mean.estimate(images)

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        known = source.replace(age=source.age.nan_to_num(40.0))
        change = self._mean.transform(images, source, target) - self._mean.transform(images, source, known)
        return (images + change).clamp(-1, 1)


class Copy(CopyAger):
    """A contender that does nothing."""

    name = "lazy"


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> list[FaceSet]:
    folder = tmp_path_factory.mktemp("twins")
    people = sample_people(80, seed=4)
    return list(
        build_twins(folder / "photo", folder / "manga", people=people, ages_per_person=8, size=SIZE, seed=4)
    )


@pytest.fixture(scope="module")
def agers(twins: list[FaceSet]) -> list[Any]:
    return [Copy(SIZE), MeanChange(MeanFaceAger.fit(pack(twins, size=SIZE, splits=("train",))))]


def _evaluate(agers: list[Any], sets: list[FaceSet], out: Path, *protocols: str, **more: Any) -> Evaluation:
    options = {"embedders": ("pixels",), "perceptual": "unweighted-mtcnn", "people": 8, "resamples": 200}
    return evaluate(agers, sets, protocols, out, **{"judge_epochs": 1, "shown": 2, **options, **more})


@pytest.fixture(scope="module")
def report(
    twins: list[FaceSet], agers: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Evaluation, Path]:
    out = tmp_path_factory.mktemp("reports") / "first"
    command = "nenrin eval <run> --set twins"
    return _evaluate(agers, twins, out, "twins", "longitudinal", "ages", command=command), out


@pytest.fixture(scope="module")
def cache(report: tuple[Evaluation, Path]) -> Path:
    """Where the judges of `report` are kept: whoever asks the same sets need not train them again."""
    return report[1].parent / "cache"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the command line's reports of `tiny_set` go: beside them the judges are kept, trained once."""
    return tmp_path_factory.mktemp("tiny-reports")


def test_metrics_are_as_documented(report: tuple[Evaluation, Path]) -> None:
    metrics = json.loads((report[1] / "metrics.json").read_text(), parse_constant=pytest.fail)  # no NaN
    assert list(metrics) == ["schema", "facts", "notes", "scores", "curves", "confusions", "comparisons"]
    assert metrics["schema"] == SCHEMA_VERSION
    assert {"command", "seed", "sets", "agers", "embedders", "perceptual", "made"} <= set(metrics["facts"])
    documented = set(re.findall(r"`(\w+)`", Evaluation.metrics.__doc__ or ""))
    for row in metrics["scores"]:
        assert set(row) <= documented
        assert row["role"] in ("ager", "floor", "ceiling")
        assert row["better"] in (-1, 0, 1)
        assert row["identities"] <= row["n"]
        if row["low"] is not None:
            assert row["low"] <= row["value"] + 1e-9
            assert row["value"] <= row["high"] + 1e-9
    for curve in metrics["curves"]:
        assert len(curve["x"]) == len(curve["y"]) == len(curve["low"]) == len(curve["high"]) == len(ASKED)
    assert {row["protocol"] for row in metrics["scores"]} == {"twins", "longitudinal", "ages"}
    assert {row["subject"] for row in metrics["scores"]} >= {"lazy", NAME, "copy", "mean face"}


def test_scores_csv_is_metrics_json_in_rows(report: tuple[Evaluation, Path]) -> None:
    scores = json.loads((report[1] / "metrics.json").read_text())["scores"]
    with (report[1] / "scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS == tuple(scores[0])
    assert len(rows) == len(scores)
    for row, score in zip(rows, scores, strict=True):
        assert {k: "" if v is None else str(v) for k, v in score.items()} == row


def test_agers_are_compared_with_each_other(report: tuple[Evaluation, Path]) -> None:
    comparisons = report[0].comparisons
    assert {c.protocol for c in comparisons} == {"twins", "longitudinal", "ages"}
    for one in comparisons:
        assert (one.a, one.b) == ("lazy", NAME)
        assert one.better in ("", "lazy", NAME)
        assert 0 < one.p <= 1
        if one.better:
            assert one.difference.value * (1 if one.better == "lazy" else -1) * better(one.metric) > 0
    similar = [c for c in comparisons if c.metric == known.SIMILARITY]
    assert similar
    # Nothing is more like the input than the input, even where eight people are too few to be sure of it.
    assert all(c.difference.value > 0 and c.better in ("", "lazy") for c in similar)


def test_every_ager_stands_between_floors_and_ceilings(report: tuple[Evaluation, Path]) -> None:
    for result in report[0].results:
        for domain in ("photo", "manga"):
            assert {s.role for s in result.scores if s.domain == domain} == {"ager", "floor", "ceiling"}
    scores = [s for result in report[0].results for s in result.scores]
    for score in scores:
        if score.subject == "lazy":  # an ager that does nothing scores as the floor that does nothing
            (floor,) = [
                s
                for s in scores
                if s.subject == "copy"
                and (s.protocol, s.domain, s.case, s.metric, s.backend)
                == (score.protocol, score.domain, score.case, score.metric, score.backend)
            ]
            assert repr(floor.estimate) == repr(score.estimate)  # NaN is not equal to itself


def test_same_seed_same_report_byte_for_byte_apart_from_times(
    twins: list[FaceSet], agers: list[Any], cache: Path, tmp_path: Path
) -> None:
    made = []
    for name, judges in (("kept", cache), ("new", tmp_path / "cache")):  # read again, and trained again
        found = _evaluate(agers, twins, tmp_path / name, "ages", "glasses", cache=judges)
        files = {path.name: path.read_text() for path in (tmp_path / name).iterdir()}
        made.append({k: text.replace(found.facts["made"], "now") for k, text in files.items()})
    assert made[0] == made[1]


def test_glasses_need_no_judge_of_age(twins: list[FaceSet], agers: list[Any], tmp_path: Path) -> None:
    asked = _evaluate(agers[:1], twins[:1], tmp_path / "report", "glasses", cache=tmp_path / "cache")
    assert asked.results[0].scores
    trained = {file.name.split("-")[0] for file in (tmp_path / "cache" / "judges").iterdir()}
    assert trained == {"labels", "linear"}


class Weighty(Copy):
    """An ager with weights, which counts how often it is asked."""

    name = "weighty"

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.model = torch.nn.Linear(2, 2)
        self.asked = 0

    def transform(self, images: Tensor, source: Condition, target: Condition) -> Tensor:
        self.asked += len(images)
        return images


def test_started_again_nothing_is_aged_twice_unless_the_weights_changed(
    twins: list[FaceSet], cache: Path, tmp_path: Path
) -> None:
    ager = Weighty(SIZE)
    shutil.copytree(cache / "judges", tmp_path / "cache" / "judges")
    found = _evaluate([ager], twins, tmp_path / "report", "ages", "ladder")
    once = ager.asked
    ages = [s for s in found.results[0].scores if s.subject == "weighty" and s.metric == known.SIMILARITY]
    assert once == sum(s.estimate.n for s in ages)  # the ladder asks the same of the same people
    (tmp_path / "report" / "report.html").unlink()
    features = tmp_path / "cache" / "features"
    killed_late = max(features.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    killed_late.unlink()  # as if it had been killed before this was written
    _evaluate([ager], twins, tmp_path / "report", "ages", "ladder")
    assert ager.asked == once
    assert (tmp_path / "report" / "report.html").is_file()
    assert killed_late.is_file()
    with torch.no_grad():
        ager.model.weight += 1
    _evaluate([ager], twins, tmp_path / "report", "ages", "ladder")
    assert ager.asked == 2 * once


def test_outputs_are_kept_under_weights_that_no_checkpoint_holds_too() -> None:
    ager = Weighty(SIZE)
    hair = torch.ones(2)
    ager.model.register_buffer("hair", hair, persistent=False)
    before = fingerprint(ager)
    assert fingerprint(ager) == before
    hair += 1
    assert fingerprint(ager) != before


def test_a_backend_that_cannot_be_had_is_a_line_and_the_rest_comes(
    twins: list[FaceSet], agers: list[Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens at the port of `discard`
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(b"no network")
    found = _evaluate(
        agers[:1],
        twins,
        tmp_path / "report",
        "twins",
        "quality",
        embedders=(str(torn), "pixels"),
        perceptual="lpips-alex",
        features="inception",
        people=24,
        cache=cache,
    )
    notes = [*found.notes, *(note for result in found.results for note in result.notes)]
    assert all("\n" not in note for note in notes)
    said = "\n".join(notes)
    assert "an embedder was left out: " in said
    assert "torn.onnx is not a face embedder" in said
    assert "LPIPS needs torchvision's alex weights" in said
    assert "unweighted-mtcnn took its place" in said
    assert "FID and KID were not measured: the weights of inception-v3-compat could not be fetched" in said
    assert {s.backend for s in found.results[0].scores} == {"pixels", "unweighted-mtcnn"}


def test_a_wrong_manifest_and_a_wrong_embedder_are_lines_and_the_rest_comes(
    twins: list[FaceSet], agers: list[Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nenrin.eval.suite.EMBEDDERS", ("pixels",))  # the twins' own is trained for long
    manifest = tmp_path / "characters.toml"
    manifest.write_text('series = "S"\nby = "B"\nsince = 1990\ndomian = "manga"\n')
    node = helper.make_node("ReduceMean", ["x"], ["y"], keepdims=1)  # one vector, however many faces
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    tensors[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    graph = helper.make_graph([node], "mean", tensors[:1], tensors[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(tmp_path / "mean.onnx"))
    found = _evaluate(
        agers[:1],
        twins,
        tmp_path / "report",
        "canon",
        "longitudinal",
        embedders=(str(tmp_path / "mean.onnx"),),
        canon=CanonOptions(manifests=[manifest]),
        cache=cache,
    )
    canon, longitudinal = found.results
    assert any("unknown key 'domian'; did you mean 'domain'" in note for note in canon.notes)
    assert {s.case for s in canon.scores} == {AS_IF}  # people of the sets are asked none the less
    assert longitudinal.scores
    assert any("mean gave 1 vectors for 2 faces: not an embedder" in note for note in found.notes)
    assert "no embedder that was named could be had: pixels took their place" in found.notes
    assert found.facts["embedders"] == ["pixels"]
    text = (tmp_path / "report" / "report.html").read_text()
    assert "did you mean &#39;domain&#39;" in text
    assert "mean gave 1 vectors for 2 faces" in text


def test_seeds_of_one_training_are_pooled(twins: list[FaceSet], cache: Path, tmp_path: Path) -> None:
    pair = [Copy(SIZE), Copy(SIZE)]
    pair[1].name = "lazier"
    seeds = {"lazy": "idle", "lazier": "idle"}
    found = _evaluate(pair, twins, tmp_path / "report", "ages", seeds=seeds, cache=cache)
    pooled = [s for s in found.results[0].scores if s.members]
    assert {s.subject for s in pooled} == {"idle (2 seeds)"}
    assert {s.metric for s in pooled} >= {known.RANK, known.AGE_ERROR, known.SIMILARITY}
    assert "idle (2 seeds)" in (tmp_path / "report" / "report.html").read_text()
    assert "lazier" not in " ".join([verdict(found.results)[0], *verdict(found.results)[1]])


def test_a_question_is_answered_alike_beside_others_and_alone(
    report: tuple[Evaluation, Path], twins: list[FaceSet], agers: list[Any], cache: Path, tmp_path: Path
) -> None:
    def read(folder: Path) -> dict[str, Any]:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
        metrics["facts"].pop("made")
        metrics["facts"].pop("command")
        return metrics

    first = read(report[1])
    of_ages = [row for row in first["scores"] if row["protocol"] == "ages"]
    _evaluate(agers, twins, tmp_path / "again", "ages", cache=cache)
    again = read(tmp_path / "again")
    assert again["scores"] == of_ages
    assert (again["facts"], again["curves"]) == (first["facts"], first["curves"])


class _Page(html.parser.HTMLParser):
    """Counts tags and collects every address."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.addresses: list[str] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "data", "action")]
        if tag not in (
            "meta",
            "img",
            "link",
            "br",
            "circle",
            "line",
            "rect",
            "ellipse",
            "polygon",
            "polyline",
        ):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_is_one_file_that_needs_nothing(report: tuple[Evaluation, Path]) -> None:
    text = (report[1] / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.open == []  # every element is closed where it should be
    assert page.addresses
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in page.addresses)
    assert not re.search(r"https?://|url\(|@import|<script", text)
    assert page.tags["img"] > 20
    assert page.tags["table"] == 9  # one for each domain of each protocol, and one to compare agers
    assert page.tags["svg"] >= 4
    assert len(text) < 15_000_000
    assert sorted(p.name for p in report[1].iterdir()) == ["metrics.json", "report.html", "scores.csv"]


def test_report_escapes_names_and_says_what_made_each_number(report: tuple[Evaluation, Path]) -> None:
    text = (report[1] / "report.html").read_text()
    assert "<b>mean" not in text
    assert "&lt;b&gt;mean&lt;/b&gt; &amp; change" in text
    assert "nenrin eval &lt;run&gt; --set twins" in text
    for words in (
        "unweighted-mtcnn",
        "pixels",
        "CNN (photo + manga)",
        "SVR (photo)",
        "mean face",
        "floor",
        "least gain by lazy",
    ):
        assert words in text
    assert "lpips" not in text
    headline, sentences = verdict(report[0].results)
    page = _Page()
    page.feed(text)
    assert headline in page.text
    assert all(sentence in page.text for sentence in sentences)
    assert text.index("<h1>") < text.index("<img") < text.index("<table")


def test_a_report_of_many_pictures_shows_them_smaller(
    report: tuple[Evaluation, Path], tmp_path: Path
) -> None:
    whole = len((report[1] / "report.html").read_bytes())
    write_report(report[0], tmp_path / "small.html", limit=whole - 1)
    assert len((tmp_path / "small.html").read_bytes()) < whole
    write_report(report[0], tmp_path / "same.html", limit=whole)
    assert (tmp_path / "same.html").read_bytes() == (report[1] / "report.html").read_bytes()


@browsers.needed
def test_report_in_a_narrow_window_and_on_paper(report: tuple[Evaluation, Path]) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    address = (report[1] / "report.html").resolve().as_uri()
    requested: list[str] = []
    said: list[str] = []
    with playwright.sync_playwright() as drive:
        browser = drive.chromium.launch(
            executable_path=browsers.CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 375, "height": 800})
        page.set_default_timeout(90_000)  # ms: a machine may be busy
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address, timeout=90_000)
        width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        page.evaluate(  # those further down are loaded when they are scrolled to
            "Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode(); }))"
        )
        shown = page.evaluate("[...document.images].filter(image => image.naturalWidth > 0).length")
        printed = page.pdf(format="A4")
        browser.close()
    assert width == [375, 375]  # nothing sticks out; wide tables scroll in their own frame
    assert shown > 20
    assert [url for url in requested if not url.startswith("data:")] == [address]
    assert said == []
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") > 1


def test_what_these_faces_cannot_answer_is_said_and_the_rest_goes_on(
    twins: list[FaceSet], agers: list[Any], tmp_path: Path
) -> None:
    nameless = _rewritten(twins[0], tmp_path / "photo", identity=None)
    evaluation = _evaluate(agers[:1], [nameless], tmp_path / "report", "longitudinal", "ages")
    assert [len(result.scores) > 0 for result in evaluation.results] == [False, True]
    (note,) = evaluation.results[0].notes
    assert note.startswith("longitudinal was not answered: no test person has three pictures")
    assert note in (tmp_path / "report" / "report.html").read_text()
    assert note in json.loads((tmp_path / "report" / "metrics.json").read_text())["notes"]


def _rewritten(faces: FaceSet, path: Path, *, keep: int | None = None, **change: Any) -> FaceSet:
    with SetWriter(path, name=faces.meta.name, size=faces.meta.size, domains=faces.meta.domains) as writer:
        for i, face in enumerate(faces.faces()):
            if keep is None or i < keep:
                writer.add(dataclasses.replace(face, **change))
    return FaceSet.open(path)


def test_set_without_ages_is_scored_for_identity_alone(
    twins: list[FaceSet], agers: list[Any], tmp_path: Path
) -> None:
    ageless = _rewritten(twins[1], tmp_path / "manga", age=None, age_source=None)
    evaluation = _evaluate(agers, [ageless], tmp_path / "report", "ages")
    assert {s.metric for s in evaluation.results[0].scores} <= {
        known.AUC,
        known.SAME,
        known.KEPT,
        known.SIMILARITY,
        known.GENDER_KEPT,
        known.CALIBRATION,  # of the judge of gender
    }
    assert "0 faces of known age in the judge split, 60 are needed: no age is read" in evaluation.notes
    similar = "lazy (the best of 2): similarity to the input 1.00 [1.00, 1.00] in manga, by pixels, 1.00"
    assert verdict(evaluation.results)[0].startswith(similar)
    assert "no age is read" in (tmp_path / "report" / "report.html").read_text()


def test_a_run_without_a_checkpoint_is_left_out_and_one_still_training_is_named(
    tiny_run: Path, tiny_set: Path, reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    young, half = tmp_path / "00007-young", tmp_path / "00008-half"
    shutil.copytree(tiny_run, young)
    shutil.rmtree(young / "checkpoints")
    shutil.copytree(tiny_run, half)
    (state,) = (half / "checkpoints").glob("*/state.json")
    table = json.loads(state.read_text())
    table["steps"] = 1000
    state.write_text(json.dumps(table))
    words = ["--set", str(tiny_set), "--protocol", "ages", "--embedder", "pixels", "--people", "4"]
    assert main(["eval", str(young), str(half), *words, "-o", str(reports / "young")]) == 0
    said = capsys.readouterr().err
    assert "left out: " in said
    assert "00007-young has no checkpoint yet" in said
    assert "00008-half is scored at step 2 of 1,000: it has not trained to its end" in said
    assert "has not trained to its end" in (reports / "young" / "report.html").read_text()
    assert main(["eval", str(young), *words, "-o", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_an_exported_folder_is_scored_where_it_says_what_it_learned_from(
    tiny_run: Path,
    tiny_set: Path,
    reports: Path,
    tmp_path: Path,
    fails: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    small, mute, torn = (tmp_path / name for name in ("small", "mute", "torn"))
    assert main(["export", str(tiny_run), "-o", str(small)]) == 0
    shutil.copytree(small, mute)
    (mute / "origins.txt").unlink()
    shutil.copytree(small, torn)
    (torn / "nets.safetensors").write_bytes(b"torn")
    words = [
        "--set",
        str(tiny_set),
        "--protocol",
        "longitudinal,ages",
        "--embedder",
        "pixels",
        "--people",
        "4",
    ]
    capsys.readouterr()
    runs = [str(small), str(mute), str(torn)]
    assert main(["eval", *runs, *words, "-o", str(reports / "small")]) == 0
    said = capsys.readouterr().err
    assert f"left out: {mute} does not say which faces it learned from" in said
    assert f"left out: {torn / 'nets.safetensors'} is damaged" in said
    facts = json.loads((reports / "small" / "metrics.json").read_text())["facts"]
    assert facts["agers"] == ["small"]
    said = fails("eval", mute, *words, "-o", tmp_path / "none", code=2)
    assert "does not say which faces it learned from (no origins.txt)" in said
    table = FaceSet.open(tiny_set).table(["id", "split"]).to_pydict()
    tested = [face for face, split in zip(table["id"], table["split"], strict=True) if split == "test"]
    (mute / "origins.txt").write_text("\n".join(tested))
    assert "mute was trained on" in fails("eval", mute, *words, "-o", tmp_path / "none", code=1)
    assert not (tmp_path / "none").exists()


def test_seeds_are_pooled_also_where_they_go_on_from_seeds(
    tiny_set: Path, reports: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two seeds of a training that starts from two seeds of another; a third was told something else."""
    sets, short = [FaceSet.open(tiny_set)], ["size=32", "width=8", "batch=4", "threads=1", "label=led"]
    runs = []
    for seed in (1, 2):
        first = train(resolve("mixed", None, [*short, "pictures=4", f"seed={seed}"]), sets, tmp_path)
        more = ["pictures=8", f"seed={seed}", f"start={first}"]
        runs.append(train(resolve("mixed", None, [*short, *more]), sets, tmp_path))
    runs.append(train(resolve("mixed", None, [*short, "pictures=8", "shade=0.5"]), sets, tmp_path))
    out = reports / "seeds"
    words = ["--set", str(tiny_set), "--protocol", "ages", "--embedder", "pixels", "--people", "4"]
    assert main(["eval", *map(str, runs), *words, "-o", str(out)]) == 0
    rows = json.loads((out / "metrics.json").read_text())["scores"]
    agers = {row["subject"] for row in rows if row["role"] == "ager"}
    assert agers == {*(run.name for run in runs), "mixed-led (2 seeds)"}
    similar = {r["subject"]: r["value"] for r in rows if r["metric"] == known.SIMILARITY}
    of_seeds = [similar[run.name] for run in runs[:2]]
    assert similar["mixed-led (2 seeds)"] == pytest.approx(np.mean(of_seeds))


def test_seeds_are_known_by_whatever_led_them(tmp_path: Path) -> None:
    """By guides, of which several are a list; and a checkpoint that was named by its step."""

    def told(name: str, seed: int, **more: object) -> Path:
        Run(tmp_path / name).describe({"model": "mixed", "seed": seed, **more}, ["set"], [], [])
        return tmp_path / name

    runs = {}
    for seed in (1, 2):
        guides = [str(told(f"guide-{kind}-{seed}", seed, kind=kind)) for kind in "ab"]
        means = str(told(f"means-{seed}", seed))
        for label, led in (("one", guides[:1]), ("both", guides), ("both", guides[::-1])):
            name = f"{label}-{led[0][-3]}-{seed}"
            runs[name] = told(name, seed, label=label, guide=led, means=means)
    assert _seeds(runs) == {
        **{f"one-a-{seed}": "mixed-one" for seed in (1, 2)},
        **{f"both-a-{seed}": "mixed-both" for seed in (1, 2)},
        **{f"both-b-{seed}": "both-b-1" for seed in (1, 2)},  # told something else under the same label
    }
    steps = [runs["one-a-1"] / "checkpoints" / f"{step:07d}" for step in (1, 2)]
    for step in steps:
        step.mkdir(parents=True)
        (step / "state.json").write_text("{}")
    assert _seeds({step.name: step for step in steps}) == {}


def test_two_checkpoints_of_one_run_stand_beside_each_other(
    tiny_run: Path, tiny_set: Path, reports: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "00003-mixed"))
    shutil.copytree(run / "checkpoints" / "0000002", run / "checkpoints" / "0000001")
    steps = [str(run / "checkpoints" / f"000000{step}") for step in (1, 2)]
    words = ["--set", str(tiny_set), "--protocol", "ages", "--embedder", "pixels", "--people", "4"]
    assert main(["eval", *steps, str(run), *words, "-o", str(reports / "steps")]) == 0
    metrics = json.loads((reports / "steps" / "metrics.json").read_text())
    assert metrics["facts"]["agers"] == ["00003-mixed@1", "00003-mixed@2", "00003-mixed"]
    agers = {row["subject"] for row in metrics["scores"] if row["role"] == "ager"}
    assert agers == set(metrics["facts"]["agers"])  # and none is a seed of another


@pytest.mark.parametrize("split", ["train", "test"])
def test_set_of_one_face(twins: list[FaceSet], agers: list[Any], tmp_path: Path, split: str) -> None:
    one = _rewritten(twins[0], tmp_path / "one", keep=1, split=split)
    evaluation = _evaluate(agers[:1], [one], tmp_path / "report", "ages", "twins")
    assert "no face is in the judge split of these sets: no age is read" in evaluation.notes
    assert evaluation.results[1].scores  # the twins need no set
    if split == "train":
        assert evaluation.results[0].notes == [
            "ages was not answered: the sets have no test faces of a known domain"
        ]
    else:
        assert any("there is no mean face" in note for note in evaluation.notes)
        assert {s.estimate.identities for s in evaluation.results[0].scores} <= {0, 1}


def test_wrong_use_is_one_line(twins: list[FaceSet], agers: list[Any], tmp_path: Path) -> None:
    absent = CanonOptions(manifests=[tmp_path / "none.toml"])
    wrong: list[tuple[Callable[[], Evaluation], str]] = [
        (lambda: _evaluate(agers, twins, tmp_path, "twin"), "unknown protocol 'twin'; did you mean 'twins'"),
        (lambda: _evaluate([], twins, tmp_path, "ages"), "no ager to score"),
        (lambda: _evaluate(agers, [], tmp_path, "ages"), "no set to score on"),
        (lambda: _evaluate(agers * 2, twins, tmp_path, "ages"), "two agers are called"),
        (lambda: _evaluate([CopyAger(SIZE)], twins, tmp_path, "ages"), "two agers are called 'copy'"),
        (lambda: _evaluate(agers, twins, tmp_path, "ages", size=256), "holds faces of 32 px, 256 asked"),
        (lambda: _evaluate(agers, twins, tmp_path, "ages", perceptual="lpip"), "unknown perceptual distance"),
        (lambda: _evaluate(agers, twins, tmp_path, "ages", features="clop"), "did you mean 'clip'"),
        (lambda: _evaluate(agers, twins, tmp_path, "canon", canon=absent), "none.toml does not exist"),
    ]
    for call, words in wrong:
        with pytest.raises(UsageError, match=re.escape(words)) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_an_ager_that_saw_test_faces_gets_no_report(
    twins: list[FaceSet], agers: list[Any], tmp_path: Path
) -> None:
    ids = pack(twins, size=SIZE, splits=("test",)).ids
    with pytest.raises(NenrinError, match="lazy was trained on"):
        _evaluate(agers, twins, tmp_path / "report", "twins", trained_on={"lazy": ids})
    assert not (tmp_path / "report").exists()


def test_command_line_scores_a_trained_run(
    tiny_run: Path, tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    words = ["--protocol", "longitudinal,twins", "--people", "4", "--embedder", "pixels", "-o", str(out)]
    assert main(["eval", str(tiny_run), "--set", str(tiny_set), *words]) == 0
    printed = capsys.readouterr()
    assert str(out / "report.html") in printed.out
    assert "longitudinal was not answered" in printed.err
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["facts"]["agers"] == [tiny_run.name]
    assert {row["protocol"] for row in metrics["scores"]} == {"twins"}


@pytest.mark.parametrize(
    ("run", "faces", "more", "words"),
    [
        ("missing", None, [], "missing"),
        (None, "missing", [], "missing does not exist"),
        (None, None, ["--protocol", "agse"], "did you mean 'ages'"),
        (None, None, ["--protocol", ","], "--protocol names no question"),
        (None, None, ["--embedder", "none.onnx"], "no embedder at none.onnx"),
    ],
)
def test_command_line_says_what_is_wrong_in_one_line(
    tiny_run: Path,
    tiny_set: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    run: str | None,
    faces: str | None,
    more: list[str],
    words: str,
) -> None:
    paths = [
        str(tmp_path / run) if run else str(tiny_run),
        "--set",
        str(tmp_path / faces) if faces else str(tiny_set),
    ]
    assert main(["eval", *paths, "-o", str(tmp_path / "report"), *more]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_no_run_is_wrong_use(tiny_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--set", str(tiny_set)]) == 2
    assert "RUN" in capsys.readouterr().err


def test_pictures_of_the_report_are_large_enough_to_judge() -> None:
    from base64 import b64decode
    from io import BytesIO

    from PIL import Image

    for side, shown in ((32, PICTURE), (64, PICTURE), (96, 96), (128, PICTURE), (512, PICTURE)):
        uri = data_uri(np.zeros((side, side, 3), np.uint8))
        assert Image.open(BytesIO(b64decode(uri.partition(",")[2]))).size == (shown, shown)


def test_tables_group_cases_and_mark_the_best(report: tuple[Evaluation, Path]) -> None:
    (twins_result,) = [r for r in report[0].results if r.protocol == "twins"]
    made = tables(twins_result.scores)
    assert [t.title for t in made] == ["photo", "manga"]
    assert len(made[0].groups) == 4
    for table in made:
        for group in table.groups:
            assert [row.role for row in group.rows] == ["ceiling", "ager", "ager", "floor", "floor"]
            for i in range(len(table.columns)):
                cells = [cell for row in group.rows if (cell := row.cells[i]) is not None]
                assert sum(cell.best for cell in cells) <= 1
    assert all(
        column.metric in (known.GAIN, known.IDENTITY_RECOVERY, known.DISTANCE, known.PERCEPTUAL_RECOVERY)
        for column in made[0].columns
    )
    assert math.isfinite(twins_result.scores[0].estimate.value)


@pytest.mark.parametrize(
    ("metric", "words"),
    [(known.PERCEPTUAL_RECOVERY, "the ceiling does not beat the copy"), (known.SLOPE, "too little to go by")],
)
def test_tables_say_why_a_number_is_undefined(
    metric: str, words: str, report: tuple[Evaluation, Path]
) -> None:
    score = report[0].results[0].scores[0]
    nothing = Estimate(value=math.nan, low=math.nan, high=math.nan, n=3, identities=3)
    (table,) = tables([dataclasses.replace(score, metric=metric, estimate=nothing)])
    (cell,) = table.groups[0].rows[0].cells
    assert cell is not None
    assert (cell.value, cell.interval) == ("undefined", words)
