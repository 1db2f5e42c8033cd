"""Our finder on twins, whose points are exact, and on real pictures; its training; detectors of others."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage.data import astronaut

from nenrin.cli import main
from nenrin.domains.align import TEMPLATE
from nenrin.domains.build import build
from nenrin.domains.find import Finder, Found
from nenrin.domains.finder.both import BothFinders, combine
from nenrin.domains.finder.boxes import BOX, box_of, overlap
from nenrin.domains.finder.close import SIDE, CloseEyes, crop, view
from nenrin.domains.finder.close_net import close_loss, draw_close
from nenrin.domains.finder.compose import Composer
from nenrin.domains.finder.finder import NetFinder
from nenrin.domains.finder.look import WEIGHTS, Eyes, merge
from nenrin.domains.finder.net import FinderNet, export
from nenrin.domains.finder.sources import Picture, draw_twins, fgnet_pictures, kept_out
from nenrin.domains.finder.train import Recipe, train
from nenrin.domains.finder.trouble import Trouble, mine, scenes, worse
from nenrin.domains.finder.unfold import unfold
from nenrin.domains.finders import check_finder, finder_digest, open_finder
from nenrin.ground import NenrinError, UsageError

# Eyes, nose and mouth corners of scikit-image's astronaut, read off the picture by eye.
ASTRONAUT = np.array([[205, 101], [248, 104], [226, 129], [203, 140], [245, 142]])


@pytest.fixture(scope="module")
def finder() -> Finder:
    if not WEIGHTS.is_file():
        pytest.skip("no weights of the finder: benchmarks/train_finder.py makes them")
    return open_finder("nenrin")


# How far points in another finder's box may be off: without our net's weights, they are the template's.
NEAR = 0.2 if WEIGHTS.is_file() else 0.6


def _opened(picture: Picture) -> Image.Image:
    return Image.open(io.BytesIO(picture.encoded)).convert("RGB")


def _error(points: NDArray[np.float32], known: NDArray[np.float32]) -> float:
    """Mean distance of the points, in shares of the distance of the eyes."""
    return float(np.linalg.norm(points - known, axis=1).mean() / np.linalg.norm(known[0] - known[1]))


@pytest.mark.parametrize("domain", ["photo", "manga"])
def test_twins_are_found_and_their_points_are_where_they_are(finder: Finder, domain: str) -> None:
    twins = draw_twins(domain, 24, seed=7, size=160)  # type: ignore[arg-type]
    errors = []
    for picture, faces in zip(twins, finder.find([_opened(twin) for twin in twins]), strict=True):
        if faces and overlap(faces[0].box[None], picture.boxes)[0][0, 0] > 0.4:
            errors.append(_error(faces[0].points, picture.points[0]))
    assert len(errors) >= 22
    assert np.median(errors) < 0.12


def test_an_astronaut_is_found_at_any_size_and_in_any_place(finder: Finder) -> None:
    whole = Image.fromarray(astronaut())
    for scale, corner in ((0.5, (0, 0)), (1.0, (60, 200)), (2.0, (0, 0))):
        side = round(512 * scale)
        page = Image.new("RGB", (side + corner[0], side + corner[1]), "white")
        page.paste(whole.resize((side, side)), corner)
        face, *_ = finder.find([page])[0]
        assert _error(face.points / scale - np.array(corner) / scale, ASTRONAUT) < 0.2


def test_pictures_with_and_without_faces_of_any_size_in_one_call(finder: Finder) -> None:
    whole = Image.fromarray(astronaut())
    pictures = [
        Image.new("RGB", (300, 80), "white"),
        whole,
        whole.convert("L").convert("RGB"),
        whole.crop((0, 0, 5, 5)),
    ]
    white, coloured, grey, tiny = finder.find(pictures)
    assert not white and not tiny
    for face in (coloured[0], grey[0]):  # the surest
        assert _error(face.points, ASTRONAUT) < 0.2
    assert finder.find([]) == []


def test_a_face_on_many_pages_is_the_same_face(finder: Finder) -> None:
    """What else is in a call changes nothing, whatever its size."""
    whole = Image.fromarray(astronaut())
    (alone,) = finder.find([whole])
    (together, _) = finder.find([whole, Image.new("RGB", (900, 300), "navy")])
    assert len(alone) == len(together)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.points, other.points, atol=0.5)


def test_a_box_is_square_upright_and_moves_with_its_face() -> None:
    np.testing.assert_allclose(box_of(TEMPLATE[None] * 100), BOX[None] * 100, atol=1e-3)
    turn = np.array([[0, 1], [-1, 0]], np.float32)
    turned = box_of((TEMPLATE @ turn.T * 100)[None])
    np.testing.assert_allclose(turned[0, 2:] - turned[0, :2], 58, atol=1e-3)


def test_candidates_that_overlap_are_one_face_and_vote_where_it_is() -> None:
    def row(x: float, score: float) -> NDArray[np.float32]:
        five = TEMPLATE * 50 + [x, 0]
        return np.array([x, 0, x + 50, 50, score, *five.ravel(), 1, 0, 0], np.float32)

    seen = merge(np.stack([row(0, 0.8), row(4, 0.8), row(200, 0.9), row(3, 0.1)]))
    np.testing.assert_allclose(seen.scores, [0.9, 0.8])
    np.testing.assert_allclose(seen.boxes[1], [2, 0, 52, 50])  # the weak one has no vote
    np.testing.assert_allclose(seen.points[1], TEMPLATE * 50 + [2, 0], rtol=1e-5)
    assert len(merge(np.empty((0, 18), np.float32)).scores) == 0


def test_of_two_finders_manga_is_our_nets_and_what_else_both_find_is_mtcnns() -> None:
    def face(x: float, domain: str | None, score: float = 0.9) -> Found:
        box = np.array([x, 0, x + 50, 50], np.float32)
        return Found(box=box, points=TEMPLATE * 50 + [x, 0], score=score, domain=domain)

    photograph, manga, cartoon = face(0, None, 0.99), face(100, None), face(200, None, 0.95)
    known = [face(104, "manga", 0.8), face(203, "cartoon", 0.8), face(3, "photo", 0.8)]
    alone = [face(300, "photo"), face(400, "cartoon", 0.7), face(500, "manga", 0.66)]
    together = combine([photograph, manga, cartoon], [*known, *alone])
    assert [id(one) for one in together] == [id(one) for one in (photograph, cartoon, known[0], *alone[1:])]
    assert combine([photograph], alone) == [photograph]  # a photograph: what it holds beside is no drawing
    assert combine([], alone) == alone
    assert combine([], []) == []


def test_a_net_that_is_missing_or_damaged_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no net")
    with pytest.raises(NenrinError, match="does not hold the finder's net") as caught:
        Eyes(tmp_path / "x.onnx")
    assert "\n" not in str(caught.value)
    with pytest.raises(NenrinError, match="is not there: train it"):
        Eyes(tmp_path / "none.onnx")
    with pytest.raises(UsageError, match="is no ONNX net"):
        open_finder(str(tmp_path / "x.onnx"))


# Training.


def _sources(count: int = 8) -> dict[str, list[Picture]]:
    twins = draw_twins("manga", count, seed=3, size=64)
    return {
        "twins-manga": twins,
        "anime": draw_twins("manga", count, seed=4, size=64),
        "illustrations": twins[:2],
    }


def test_training_pictures_hold_faces_where_they_say() -> None:
    """A face that is pasted brings its points along: marks on its eyes are found at those points."""
    marked = []
    for twin in draw_twins("photo", 4, seed=5, size=96):
        pixels = np.asarray(_opened(twin)).copy()
        for x, y in twin.points[0, :2]:
            cv2.circle(pixels, (round(float(x)), round(float(y))), 7, (255, 0, 0), -1)
        encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        marked.append(
            Picture(encoded=encoded, boxes=twin.boxes, points=twin.points, trust=twin.trust, domain=0)
        )
    composer = Composer({"twins-photo": marked}, 128)
    rng = np.random.default_rng(0)
    right = seen = 0
    for _ in range(60):
        canvas = composer.draw(rng)
        for box, points, trust in zip(canvas.boxes, canvas.points, canvas.trust, strict=True):
            (x, y), side = points[0], box[2] - box[0]
            if trust == 1 and side > 30 and 2 < x < 126 and 2 < y < 126:
                colour = canvas.pixels[int(y), int(x)].astype(int)
                seen += int(colour.max() - colour.min() > 40)  # grey and faded ones tell nothing
                right += int(colour.max() - colour.min() > 40 and colour[0] == colour.max())
    assert seen > 15
    # Some pictures have their colours exchanged; a wrong place would be right one time in three.
    assert right / seen > 0.7


class _Stops(list[Picture]):
    """Pictures of which the eighth that is asked for is Ctrl-C."""

    asked = 0

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]
        self.asked += 1
        if self.asked == 8:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_a_training_that_is_interrupted_goes_on_to_the_same_net(tmp_path: Path) -> None:
    recipe = Recipe(size=64, batch=4, rounds=(16, 4), views=(64, 32), save_every=1)
    path = train(_sources(), tmp_path / "a", recipe)
    stopped = _sources() | {"twins-manga": _Stops(_sources()["twins-manga"])}
    with pytest.raises(KeyboardInterrupt):
        train(stopped, tmp_path / "b", recipe)
    assert (tmp_path / "b/round0.state.pt").is_file()
    again = train(_sources(), tmp_path / "b", recipe)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    answers = [np.concatenate(Eyes(net).look(pixels, 1e-6)) for net in (path, again)]
    assert answers[0].shape == (2 * 126, 18)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    views = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    close = [Eyes(net.with_name("close.onnx")).answers(views) for net in (path, again)]
    assert close[0].shape == (2, 1, 18)
    np.testing.assert_allclose(close[0], close[1], atol=1e-4)


def test_a_nets_file_unfolds_to_a_net_that_answers_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = FinderNet()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
    pixels = torch.rand(4, 3, 64, 96) * 255
    net.train()(pixels)  # statistics that are not those of the start
    export(net, tmp_path / "net.onnx")
    again = unfold(tmp_path / "net.onnx", torch.rand(4, 3, 64, 64) * 255)
    with torch.no_grad():
        known = net.eval()(pixels)
        np.testing.assert_allclose(again.eval()(pixels), known, atol=1e-3)
    norms = [module for module in again.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert not any(torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) for norm in norms)


def test_what_a_finder_takes_for_a_face_is_trouble_but_not_a_known_face(tmp_path: Path) -> None:
    rows = np.zeros((5, 50), np.float32)
    rows[:, 0] = [80, 80, 60, 60, 0.9]  # the face
    rows[:, 1] = [240, 200, 40, 40, 0.9]
    easy = open_finder(_yolo(tmp_path / "yolo.onnx", rows[None]))
    white = cv2.imencode(".png", np.full((320, 320, 3), 255, np.uint8))[1].tobytes()
    face = np.array([[50, 50, 110, 110]], np.float32)
    known = Picture(
        encoded=white,
        boxes=face,
        points=np.zeros((1, 5, 2), np.float32),
        trust=np.zeros(1, np.float32),
        domain=2,
    )
    troubles = mine(easy, {"illustrations": [known]}, seed=0)
    np.testing.assert_allclose(troubles[0].box, [220, 180, 260, 220], atol=1e-3)
    assert len(troubles) > 3  # also in parts of the picture
    assert all(overlap(trouble.box[None], face)[1][0, 0] <= 0.1 for trouble in troubles)


def test_the_second_look_is_shown_its_own_mistakes_more_often(finder: Finder) -> None:
    face = finder.find([Image.fromarray(astronaut())])[0][0]
    picture = Picture(
        encoded=cv2.imencode(".png", astronaut()[..., ::-1])[1].tobytes(),
        boxes=face.box[None],
        points=face.points[None],
        trust=np.ones(1, np.float32),
        domain=0,
    )
    taken = Trouble(picture=picture, box=face.box)  # the face stands for what both looks take for one
    plain = [Trouble(picture=picture, box=np.array([x, 440, x + 60, 500], np.float32)) for x in range(40)]
    shown = worse(CloseEyes(), [taken, *plain], seed=0)
    assert sum(one is taken for one in shown) == 8
    assert 0 < sum(one is not taken for one in shown) < 30


def test_scenes_have_no_faces_and_a_tenth_is_kept_out(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(40)]
    for name in names:
        Image.new("RGB", (700, 30), "green").save(tmp_path / name)
    train_part, test_part = scenes(tmp_path), scenes(tmp_path, test=True)
    assert len(test_part) == sum(kept_out(name) for name in names) > 0
    assert len(train_part) + len(test_part) == 40
    assert _opened(train_part[0]).size == (512, 22)
    assert not len(train_part[0].boxes)


def test_the_second_look_tells_a_face_from_none_and_learns_its_points() -> None:
    twins = draw_twins("photo", 6, seed=5, size=96)
    composer = Composer({"twins-photo": twins}, SIDE)
    rng = np.random.default_rng(1)
    batch = [draw_close(composer, rng) for _ in range(60)]
    told = torch.zeros(len(batch), 1, 18)
    nominal = np.array([[18, 18, 62, 62]], np.float32)
    faces = 0
    for row, canvas in enumerate(batch):
        shares = overlap(nominal, canvas.boxes)[0][0]
        told[row, 0, 0] = -9
        if len(shares) and shares.max() > 0.45:
            face, faces = int(shares.argmax()), faces + 1
            told[row, 0, 0] = 9
            told[row, 0, 1:5] = torch.from_numpy(canvas.boxes[face])
            told[row, 0, 5:15] = torch.from_numpy(canvas.points[face].ravel())
    assert 20 < faces < 50
    right = close_loss(told, batch)
    assert max(float(right[name]) for name in ("score", "box", "points")) < 0.01
    told[..., 0] *= -1
    told[..., 5:15] += 4
    wrong = close_loss(told, batch)
    assert wrong["score"] > 5 and wrong["points"] > 0.3


def test_a_view_is_the_picture_about_the_box() -> None:
    y, x = np.mgrid[:300, :400]
    ramp = np.stack([x / 2, y / 2, np.zeros_like(x)], -1).astype(np.uint8)
    for box in ([100, 80, 144, 124], [40, 50, 200, 210], [120, 100, 142, 122]):
        matrix = view(np.array(box, np.float32))
        pixels = crop(Image.fromarray(ramp), matrix)
        for goal in ((20, 20), (40, 40), (60, 30)):
            place = (np.array(goal) + 0.5 - matrix[:, 2]) / matrix[0, 0] - 0.5
            np.testing.assert_allclose(pixels[goal[1], goal[0], :2] * 2.0, place, atol=3)
    beyond = crop(Image.fromarray(ramp), view(np.array([-400, 0, -350, 50], np.float32)))
    assert (beyond == 128).all()


def test_a_tenth_is_kept_out() -> None:
    share = np.mean([kept_out(f"{i}.jpg") for i in range(2000)])
    assert 0.08 < share < 0.12


# Detectors of others.


def _yolo(path: Path, answer: NDArray[np.float32]) -> str:
    """An ONNX net of YOLO's layout for 320 pixels that always gives the same answer."""
    pixels = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 320, 320])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(answer.shape))
    constant = helper.make_node("Constant", [], ["output0"], value=numpy_helper.from_array(answer))
    graph = helper.make_graph([constant], "yolo", [pixels], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return str(path)


def test_a_yolo_file_gives_its_boxes_and_our_points(tmp_path: Path) -> None:
    middle, side = ASTRONAUT.mean(0), 90
    rows = np.zeros((5, 50), np.float32)
    rows[:, 0] = [*(middle * 320 / 512), side * 320 / 512, side * 320 / 512, 0.9]
    rows[:, 1] = rows[:, 0] + [2, 2, 0, 0, -0.2]  # the same face
    rows[:, 2] = [300, 300, 20, 20, 0.1]  # not sure enough
    yolo = open_finder(_yolo(tmp_path / "yolo.onnx", rows[None]))
    ((face,),) = yolo.find([Image.fromarray(astronaut())])
    assert face.score == pytest.approx(0.9)
    np.testing.assert_allclose(face.box, [*(middle - side / 2), *(middle + side / 2)], atol=1e-3)
    assert _error(face.points, ASTRONAUT) < NEAR


def test_of_two_finders_ours_denies_what_the_other_alone_takes_for_a_face(tmp_path: Path) -> None:
    net = NetFinder()
    middle, side = ASTRONAUT.mean(0), 90
    rows = np.zeros((30, 20), np.float32)
    for row, places in enumerate(
        (ASTRONAUT, ASTRONAUT + np.array([-150, 260]))
    ):  # the face, and a place on the suit
        x, y = middle + places.mean(0) - ASTRONAUT.mean(0)
        marks = np.column_stack([places * 320 / 512, np.ones(5)]).ravel()
        box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2]) * 320 / 512
        rows[row] = [*((box[:2] + box[2:]) / 2), *(box[2:] - box[:2]), 0.9, *marks]
    other = open_finder(_yolo(tmp_path / "yolo.onnx", rows[None].transpose(0, 2, 1)))
    picture = Image.fromarray(astronaut())
    assert len(other.find([picture])[0]) == 2
    ((face,),) = BothFinders(other, net).find([picture])
    assert _error(face.points, ASTRONAUT) < NEAR
    # Without a second look nothing is denied.
    assert len(BothFinders(other, NetFinder(close=None)).find([picture])[0]) == 2


def test_a_yolo_file_with_points_gives_its_own(tmp_path: Path) -> None:
    five = ASTRONAUT * 320 / 512
    row = [141.0, 77, 60, 60, 0.8, *np.column_stack([five, np.ones(5)]).ravel()]
    rows = np.zeros((1, 30, 20), np.float32)
    rows[0, 7] = row
    ((face,),) = open_finder(_yolo(tmp_path / "pose.onnx", rows)).find([Image.fromarray(astronaut())])
    np.testing.assert_allclose(face.points, ASTRONAUT, atol=0.01)


def test_a_cascade_of_opencv_gives_its_boxes_and_our_points() -> None:
    cascade = open_finder(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))
    faces = cascade.find([Image.fromarray(astronaut())])[0]
    inside = [
        f for f in faces if (f.box[:2] < ASTRONAUT.min(0)).all() and (f.box[2:] > ASTRONAUT.max(0)).all()
    ]
    assert _error(inside[0].points, ASTRONAUT) < NEAR


def test_other_words_and_files_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<no cascade/>")
    bad = _yolo(tmp_path / "x.onnx", np.zeros((1, 3, 3), np.float32))
    with pytest.raises(UsageError, match="did you mean 'mtcnn'"):
        check_finder("mtcn")
    with pytest.raises(UsageError, match="does not exist"):
        check_finder(str(tmp_path / "none.onnx"))
    with pytest.raises(UsageError, match="no cascade"):
        open_finder(str(tmp_path / "x.xml"))
    with pytest.raises(UsageError, match="neither YOLO's layout nor YuNet's"):
        open_finder(bad).find([Image.fromarray(astronaut())])
    assert finder_digest("mtcnn") == "mtcnn"
    assert len(finder_digest(bad)) == 64


@pytest.mark.real
def test_people_kept_out_of_training_are_found_as_photographs_and_as_drawings(
    finder: Finder, shared_data: Path
) -> None:
    folder = shared_data / "photo/fgnet"
    for drawn in (None, shared_data / "drawn/cartoonised-fgnet"):
        pictures = list(fgnet_pictures(folder, test=True, drawn=drawn))[::8]
        errors = [
            _error(faces[0].points, picture.points[0])
            for picture, faces in zip(pictures, finder.find([_opened(p) for p in pictures]), strict=True)
            if faces and overlap(faces[0].box[None], picture.boxes)[0][0, 0] > 0.4
        ]
        assert len(errors) >= 0.9 * len(pictures)
        assert np.median(errors) < 0.15


def test_the_second_look_sees_in_a_mirror_what_it_sees_without(finder: Finder) -> None:
    whole, box = astronaut(), np.array([[180, 70, 268, 158], [20, 300, 120, 400]], np.float32)
    mirrored = box.copy()
    mirrored[:, [0, 2]] = 512 - box[:, [2, 0]]
    seen = CloseEyes().look(Image.fromarray(whole), box)
    turned = CloseEyes().look(Image.fromarray(whole[:, ::-1]), mirrored)
    assert _error(seen.points[0], ASTRONAUT) < 0.15
    assert seen.scores[0] > 0.9 > 0.5 > seen.scores[1]
    np.testing.assert_allclose(turned.scores, seen.scores, atol=0.02)
    back = turned.points[:, [1, 0, 2, 4, 3]] * [-1, 1] + [512, 0]
    np.testing.assert_allclose(back[0], seen.points[0], atol=1)


def test_small_faces_are_looked_for_only_where_asked(finder: Finder) -> None:
    page = Image.new("RGB", (600, 600), "white")
    page.paste(Image.fromarray(astronaut()).crop((140, 20, 310, 220)).resize((51, 60)), (400, 100))
    assert len(NetFinder(smallest=0.03).find([page])[0]) == 1
    assert len(NetFinder(smallest=0.5).find([page])[0]) == 0


def test_the_command_shows_what_any_finder_finds(tmp_path: Path, fails: Callable[..., str]) -> None:
    Image.fromarray(astronaut()).save(tmp_path / "a.png")
    cascade = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    for name, domain in (("mtcnn", None), (str(cascade), None)):
        out = tmp_path / f"out-{Path(name).stem}"
        assert main(["find", str(tmp_path / "a.png"), "-o", str(out), "--finder", name]) == 0
        (row,) = json.loads((out / "found.json").read_text())
        face = row["faces"][0]
        assert (row["size"], face["domain"]) == ([512, 512], domain)
        assert _error(np.array(face["points"]), ASTRONAUT) < NEAR
        marked = np.asarray(Image.open(out / "a_faces.png"))
        assert (marked[round(face["points"][0][1]), round(face["points"][0][0])] == (255, 64, 32)).all()
    assert "did you mean 'mtcnn'" in fails("find", tmp_path / "a.png", "--finder", "mtcn", code=2)


def test_a_build_shows_a_sample_of_what_it_found(tmp_path: Path) -> None:
    raw = tmp_path / "anime"
    raw.mkdir()
    for number, twin in enumerate(draw_twins("manga", 30, seed=8, size=128)):
        (raw / f"{number}.jpg").write_bytes(twin.encoded)
    report = build([raw], tmp_path / "set", size=64, workers=0)
    assert report.kept == 30
    sheet = np.asarray(Image.open(tmp_path / "set/found.jpg").convert("RGB")).astype(int)
    assert sheet.shape == (960, 1440, 3)
    marked = (np.abs(sheet - (255, 64, 32)).sum(2) < 90).reshape(4, 240, 6, 240).any((1, 3))
    assert marked.all()
    assert "found.jpg" in (tmp_path / "set/README.md").read_text()
