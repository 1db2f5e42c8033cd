"""The agers: shapes and sizes as published, conditions that may be unknown, exact resume, checkpoints."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nenrin.domains.array import pack
from nenrin.domains.face import GENDERS
from nenrin.domains.faceset import FaceSet
from nenrin.domains.find import NoFaceError
from nenrin.domains.twins import draw, sample_people, sample_views
from nenrin.ground import NenrinError, UsageError
from nenrin.models import caae, checkpoint
from nenrin.models.ager import Ager
from nenrin.models.base import FittedModel
from nenrin.models.change import Change
from nenrin.models.condition import Condition
from nenrin.models.config import MODELS, TrainConfig, build, from_table, resolve
from nenrin.models.data import Batch, Faces, Sampler
from nenrin.models.run import Run
from nenrin.models.samples import to_tensor
from nenrin.models.train import resume, train

SMALL = ["size=32", "batch=4", "threads=1", "precision=32-true", "log_every=1"]


def test_caae_has_the_published_size() -> None:
    nets = caae.CAAE(caae.CAAEConfig(size=128)).nets
    published = {"encoder": 18.2e6, "generator": 19.9e6, "picture_discriminator": 8.7e6}
    for name, count in published.items():
        assert sum(p.numel() for p in nets[name].parameters()) == pytest.approx(count, rel=0.02)


def test_caae_weightings_are_the_code_and_the_paper() -> None:
    assert caae.CAAEConfig(weighting="code").weights() == (1e-4, 0, 0)
    assert caae.CAAEConfig(weighting="paper").weights() == (1e-2, 1e-2, 1e-1)
    assert caae.CAAEConfig(weighting="paper", variation=0.0).weights() == (1e-2, 1e-2, 0)


@pytest.mark.parametrize(
    ("years", "index"),
    [(0, 0), (5, 0), (6, 1), (15, 2), (16, 3), (20, 3), (21, 4), (70, 8), (71, 9), (116, 9)],
)
def test_caae_age_classes(years: float, index: int) -> None:
    label = caae.age_label(Condition.of(1, domains=("photo",), age=years))
    assert label.argmax() == index
    assert label.sum() == 1 - 9


def test_unknown_labels_are_zero() -> None:
    unknown = Condition.of(2, domains=("photo",))
    assert not caae.age_label(unknown).any()
    assert not caae.gender_label(unknown).any()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [32, 128])
def test_transform_keeps_shape_and_range(name: str, size: int) -> None:
    narrow = (
        {} if name in ("mixed", "prototypes", "guide") else {"width": 0.125}
    )  # full width has a test of its own
    config = from_table({"model": name, "size": size, "domains": ["photo", "manga"], **narrow})
    model = build(config).eval()
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for known in (Condition.of(3, domains=("photo",), age=40, glasses="clear"), Condition.of(3, domains=())):
        made = model.transform(images, model.estimate(images), known)
        assert made.shape == images.shape
        assert made.abs().max() <= 1


def test_condition_refuses_unknown_words() -> None:
    with pytest.raises(UsageError, match="did you mean 'clear'"):
        Condition.of(1, domains=("photo",), glasses="cleer")


def no_change() -> Change:
    return Change(
        flow=torch.zeros(1, 2, 8, 8), shade=torch.zeros(1, 3, 32, 32), detail=torch.zeros(1, 1, 8, 8)
    )


@pytest.mark.parametrize("size", [32, 80])
def test_no_change_leaves_the_picture_alone_at_any_size(size: int) -> None:
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(no_change().apply(images), images, atol=1e-4, rtol=0)


def test_flow_moves_the_picture() -> None:
    change = no_change()
    change.flow[:, 0] = 2 / 32  # one pixel: each one is fetched from its right neighbour
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(change.apply(images)[..., :-1], images[..., 1:], atol=1e-4, rtol=0)


def test_detail_strengthens_what_is_fine_and_leaves_what_is_coarse() -> None:
    change = no_change()
    change.detail += np.log(2)
    fine = torch.tensor([-0.2, 0.2]).repeat(1, 3, 64, 32)
    torch.testing.assert_close(change.apply(fine)[..., 8:-8], 2 * fine[..., 8:-8], atol=0.02, rtol=0)
    coarse = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    torch.testing.assert_close(change.apply(coarse)[..., 8:-8], coarse[..., 8:-8], atol=0.01, rtol=0)


@pytest.mark.parametrize("name", ["caae-change", "mixed"])
@pytest.mark.parametrize("age", [30, 95])
def test_a_face_asked_for_what_it_is_stays_as_it_is(name: str, age: float) -> None:
    torch.manual_seed(0)
    model = build(resolve(name, None, ["size=32"])).eval()
    _disturb(model)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    known = Condition.of(2, domains=("photo",), age=age, domain="photo", glasses="none", gender="male")
    torch.testing.assert_close(model.transform(images, known, known), images, atol=1e-4, rtol=0)


def _disturb(model: torch.nn.Module) -> None:
    """An untrained ager does nothing at all: give its last layers something to say."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape) * 0.05)


def test_configuration_takes_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("pictures = 500\nbatch = 8\nwidth = 16\n")
    config = resolve("mixed", file, ["batch=4", "label=try"])
    assert (config.pictures, config.batch, config.label) == (500, 4, "try")
    assert from_table(config.as_table()) == config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["picturs=3"], "did you mean 'pictures'"),
        (["batch=many"], "expected int"),
        (["batch"], "is not key=value"),
        (["size=48"], "power of two"),
        (["pictures=0"], "at least 1"),
        (["most=-1"], "from 0 on"),
        (["watch_every=-5"], "from 0 on"),
        (["learning_rate=nan"], "from 0 on"),
        (["precision=8-bit"], "bf16-mixed"),
    ],
)
def test_configuration_errors_are_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        resolve("mixed", None, words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["caae", "caae-change"])
def test_one_face_is_too_few_to_normalise_by(name: str) -> None:
    with pytest.raises(UsageError, match=f"batch = 1: {name} needs at least 2"):
        resolve(name, None, ["batch=1"])
    assert resolve("mixed", None, ["batch=1"]).batch == 1


def test_what_fails_before_the_first_step_leaves_no_run(
    tiny_run: Path, tiny_set: Path, tmp_path: Path
) -> None:
    torn = Path(shutil.copytree(tiny_run, tmp_path / "torn"))
    (Run.open(torn).latest() / "nets.safetensors").write_bytes(b"torn")
    with pytest.raises(NenrinError, match="is damaged"):
        train(
            resolve("mixed", None, [*SMALL, "width=8", f"start={torn}"]), [FaceSet.open(tiny_set)], tmp_path
        )
    assert [path.name for path in tmp_path.iterdir()] == ["torn"]


def test_unknown_model_is_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'mixed'"):
        resolve("mixd")


def test_batches_depend_on_seed_and_step_alone(tiny_set: Path) -> None:
    faces = pack([FaceSet.open(tiny_set)], size=32, splits=["train"])
    first, second = Sampler(faces, batch=6, seed=3), Sampler(faces, batch=6, seed=3)
    first.at(0)  # what came before does not matter
    assert torch.equal(first.at(7).images, second.at(7).images)
    assert not torch.equal(first.at(7).images, first.at(8).images)
    assert not torch.equal(first.at(7).images, Sampler(faces, batch=6, seed=4).at(7).images)


def test_batches_are_bytes_until_they_are_ready(tiny_set: Path) -> None:
    faces = pack([FaceSet.open(tiny_set)], size=32, splits=["train"])
    sampler = Sampler(faces, batch=32, seed=0)
    batch = sampler.at(0)
    assert (batch.images.dtype, batch.masks.dtype) == (torch.uint8, torch.uint8)
    ready = batch[:16].ready("cpu", torch.channels_last)
    assert ready.images.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ready.images, batch.images[:16] / 127.5 - 1)
    torch.testing.assert_close(ready.masks, batch.masks[:16] / 255)
    # Each is a row of the set or its mirror image, some of either, and so is its partner.
    known = {pixels.tobytes() for pixels in faces.pixels[:]}
    mirrored = {pixels[:, ::-1].tobytes() for pixels in faces.pixels[:]}
    for each in (batch, batch.partner):
        seen = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()).tobytes() for image in each.images]
        assert set(seen) <= known | mirrored
        assert set(seen) & known
        assert set(seen) - known
    # Where nobody has a partner, a face is its own, and its pixels are read and made floats once.
    sampler.partners = {}
    single = sampler.at(0).ready("cpu")
    assert not single.has_partner.any()
    assert single.partner.images.data_ptr() == single.images.data_ptr()
    torch.testing.assert_close(single.images[:16], ready.images)


def test_a_bias_learns_as_torch_has_it() -> None:
    ours = caae.Up(4, 3, 5, stride=2, padding=2, output_padding=1)
    theirs = torch.nn.ConvTranspose2d(4, 3, 5, stride=2, padding=2, output_padding=1)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for layer in (ours, theirs):
        torch.relu_(layer(images)).square().sum().backward()
    for name in ("weight", "bias"):
        torch.testing.assert_close(getattr(ours, name).grad, getattr(theirs, name).grad)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(
    "name", [name for name, (model, _) in MODELS.items() if not issubclass(model, FittedModel)]
)
def test_resumed_training_ends_with_the_same_weights(name: str, tiny_set: Path, tmp_path: Path) -> None:
    width = {"mixed": ["width=8"], "guide": []}.get(name, ["width=0.125"])
    words = [*SMALL, *width, "pictures=24", "checkpoint_every=3", "keep_checkpoints=9", "sample_every=2"]
    whole = Run.open(train(resolve(name, None, words), [FaceSet.open(tiny_set)], tmp_path))
    straight = load_file(whole.checkpoint(6) / "nets.safetensors")
    log = (whole.path / "metrics.jsonl").read_text().splitlines()

    # As a kill after step 3 would have left it, but for a line of the log cut short.
    for name_ in ("nets.safetensors", "training.safetensors", "state.json"):
        (whole.checkpoint(6) / name_).unlink()
    whole.checkpoint(6).rmdir()
    (whole.path / "metrics.jsonl").write_text("\n".join([*log[:4], log[4][:20]]))
    assert resume(whole.path) == whole.path

    resumed = load_file(whole.checkpoint(6) / "nets.safetensors")
    assert straight.keys() == resumed.keys()
    for key, value in straight.items():
        assert torch.equal(value, resumed[key]), key
    again = [json.loads(line) for line in (whole.path / "metrics.jsonl").read_text().splitlines()]
    before = [json.loads(line) for line in log]
    for row in (*again, *before):
        row.pop("pictures_per_second")
    assert again == before


@pytest.mark.parametrize(
    ("settings", "losses"),
    [
        ({"model": "caae", "width": 0.25}, ["reconstruction"]),
        ({"model": "caae-change", "width": 0.25}, ["reconstruction", "reader/age"]),
        ({"model": "mixed", "width": 16}, ["generator/pair", "reader/age"]),
    ],
)
def test_a_few_faces_are_learned(settings: dict[str, object], losses: list[str]) -> None:
    """Eight people at ages 10 and 60, seen the same way: what changes is learned, and ages are read."""
    people, views = sample_people(8, seed=0), sample_views(8, seed=0)
    ages = np.repeat([10.0, 60.0], 4).astype(np.float32)

    def seen(ages: np.ndarray) -> Faces:
        drawn = draw(people, ages, domain="photo", glasses=np.zeros(8, np.int64), views=views, size=32)
        known = Condition.of(8, domains=("photo",), domain="photo", glasses="none")
        return Faces(
            images=to_tensor(drawn.images),
            masks=torch.ones(8, 1, 32, 32),
            condition=known.replace(age=torch.from_numpy(ages)),
        )

    face = seen(ages)
    batch = Batch(
        images=face.images,
        masks=face.masks,
        condition=face.condition,
        partner=seen(70 - ages),
        has_partner=torch.ones(8, dtype=torch.bool),
    )
    torch.manual_seed(0)
    model = build(from_table(settings | {"size": 32, "learning_rate": 2e-3}))
    optimizers = model.optimizers()
    rows = [model.step(batch, optimizers, torch.Tensor.backward, 0) for _ in range(80)]
    for name in losses:
        values = [row[name].item() for row in rows if name in row]
        assert np.mean(values[-10:]) < 0.85 * np.mean(values[:10]), name  # noise and views are drawn anew


def test_run_folder_explains_itself(tiny_run: Path, tiny_set: Path) -> None:
    run = Run.open(tiny_run)
    names = {path.name for path in tiny_run.iterdir()}
    assert {
        "config.toml",
        "environment.json",
        "faces.txt",
        "metrics.jsonl",
        "samples",
        "checkpoints",
    } <= names
    assert any(name.startswith("events.") for name in names)
    assert resolve(None, tiny_run / "config.toml") == from_table(
        checkpoint.read_state(run.latest())["config"]
    )
    table = FaceSet.open(tiny_set).table(["id", "split", "verdict"]).to_pylist()
    assert set(run.faces()) == {
        row["id"] for row in table if row["split"] == "train" and row["verdict"] == "keep"
    }
    with Image.open(next(run.samples.glob("0*.png"))) as grid:
        assert grid.width == 32 * 9
    assert (run.samples / "history.png").exists()


def test_resume_refuses_a_set_that_changed(tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy)
    (copy / "faces.txt").write_text("0123456789abcdef\n")
    with pytest.raises(UsageError, match="trained on other faces"):
        resume(copy)


def test_resume_refuses_another_number_of_processes(tiny_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    file = Run.open(copy).latest() / "state.json"
    state = json.loads(file.read_text())
    assert state["processes"] == 1
    file.write_text(json.dumps(state | {"processes": 2}))
    with pytest.raises(UsageError, match="2 and not 1") as error:
        resume(copy)
    assert "\n" not in str(error.value)
    del state["processes"]  # as older checkpoints are
    file.write_text(json.dumps(state))
    assert resume(copy) == copy


def test_checkpoint_of_another_architecture_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    other = build(TrainConfig(model_config=dataclasses.replace(resolve("mixed").model_config, size=32)))
    with pytest.raises(UsageError, match="another architecture"):
        checkpoint.load_nets(Run.open(tiny_run).latest(), other.nets)


def test_damaged_checkpoint_is_one_line(tiny_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "0000002"
    shutil.copytree(Run.open(tiny_run).latest(), folder)
    weights = folder / "nets.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(NenrinError, match="is damaged") as error:
        Ager.load(folder)
    assert "\n" not in str(error.value)


def test_a_failed_save_leaves_the_last_checkpoint(tiny_run: Path, tmp_path: Path) -> None:
    model = build(resolve("mixed", None, ["size=32", "width=8"]))
    folder = tmp_path / "0000001"
    checkpoint.save(folder, model.nets, model.optimizers(), {"config": {}, "step": 1})
    before = (folder / "state.json").read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save(folder, model.nets, model.optimizers(), {"config": object()})
    assert (folder / "state.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["0000001"]


def test_ager_takes_a_whole_picture_as_the_face(tiny_run: Path) -> None:
    ager = Ager.load(tiny_run)
    picture = Image.new("RGB", (90, 80), "tan")
    (strip,) = ager.age(picture, [7, 70], face="whole", domain="photo", from_age=30)
    assert strip.input.size == (32, 32)
    assert list(strip.outputs) == [7, 70]
    assert (strip.found, strip.domain, strip.from_age) == (None, "photo", 30)
    assert ager.age(picture, [], face="whole")[0].outputs == {}


@pytest.mark.parametrize("gender", ["female", "male"])
def test_a_gender_that_is_said_is_what_the_face_is_and_no_wish(gender: str, tiny_run: Path) -> None:
    (strip,) = Ager.load(tiny_run).age(Image.new("RGB", (64, 64), "tan"), [70], face="whole", gender=gender)
    source, target = strip.labels
    assert source.gender.tolist() == target.gender.tolist() == [GENDERS.index(gender)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"glasses": "sun"}, "unknown glasses"),
        ({"domain": "foto"}, "did you mean 'photo'"),
        ({"to": [200]}, "years from 0 to 120, not 200"),
        ({"to": float("nan")}, "not nan"),
        ({"to": "10"}, "not '10'"),
        ({"to": ["10", "20"]}, "not '10', '20'"),
        ({"to": None}, "not None"),
        ({"from_age": -5}, "not -5"),
        ({"from_age": float("nan")}, "not nan"),
        ({"from_age": [3, 4]}, "not .3, 4"),
        ({"picture": np.zeros((9, 9, 3), np.uint8)}, "not ndarray"),
    ],
)
def test_ager_refuses_what_it_cannot_do(words: dict[str, object], message: str, tiny_run: Path) -> None:
    arguments = {"picture": Image.new("RGB", (64, 64)), "to": [7], "face": "whole"} | words
    with pytest.raises(UsageError, match=message):
        Ager.load(tiny_run).age(**arguments)  # type: ignore[arg-type]


def test_ager_takes_ages_and_pictures_of_many_kinds(tiny_run: Path, tmp_path: Path) -> None:
    ager, picture = Ager.load(tiny_run), Image.new("RGB", (64, 64), "tan")
    picture.save(tmp_path / "tan.png")
    (known,) = ager.age(picture, [7, 40], face="whole")
    several = [(7, 40), (float(age) for age in (7, 40, 7)), np.array([7, 40]), torch.tensor([7, 40])]
    for to in several:
        (strip,) = ager.age(str(tmp_path / "tan.png"), to, face="whole", glasses=None, domain=None)
        assert strip.outputs == known.outputs
    for one in (40, 40.0, np.float32(40), np.array(40)):
        (strip,) = ager.age(tmp_path / "tan.png", one, face="whole")
        assert strip.outputs == {40: known.outputs[40]}
    assert ager.paste(tmp_path / "tan.png", [known], 40) == ager.paste(picture, [known], 40)
    with pytest.raises(NoFaceError):
        ager.age(picture, 40, face=None)  # None asks to find it
    with pytest.raises(NenrinError, match="0 x 0 pixels"):
        ager.age(Image.new("RGB", (0, 0)), 40)
    with pytest.raises(NenrinError, match="does not exist"):
        ager.age("none.png", 40)


def _turned() -> Image.Image:
    """As a camera held upright writes it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    _shades().rotate(90, expand=True).save(file, "PNG", exif=exif)
    return Image.open(file)


def _shades() -> Image.Image:
    """From black to white, downwards."""
    return Image.fromarray(np.linspace(0, 255, 96).round().astype(np.uint8)[:, None].repeat(64, 1))


def _sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(_shades()).astype(np.uint16) * 257)


def _see_through() -> Image.Image:
    """Black that is the less seen, the lighter the shade."""
    black = Image.new("L", (64, 96))
    return Image.merge("LA", (black, Image.eval(_shades(), lambda light: 255 - light)))


@pytest.mark.parametrize("make", [_turned, _sixteen_bits, _see_through])
def test_ager_sees_every_picture_as_the_command_does(make: Callable[[], Image.Image], tiny_run: Path) -> None:
    ager, picture, plain = Ager.load(tiny_run), make(), _shades().convert("RGB")
    (strip,) = ager.age(picture, [70], face="whole", domain="photo")
    (same,) = ager.age(plain, [70], face="whole", domain="photo")
    for seen, known in (
        (strip.input, same.input),
        (ager.paste(picture, [same], 70), ager.paste(plain, [same], 70)),
        (ager.enlarge(picture, same, 70, 48), ager.enlarge(plain, same, 70, 48)),
        (ager.enlarged(picture, same, 48).input, ager.enlarged(plain, same, 48).input),
    ):
        assert seen.size == known.size
        assert np.abs(np.asarray(seen).astype(int) - np.asarray(known)).max() <= 1


def test_ager_says_when_there_is_no_face(tiny_run: Path) -> None:
    with pytest.raises(NoFaceError, match=r"no face found; .* take it whole$"):
        Ager.load(tiny_run).age(Image.new("RGB", (200, 200), "white"), [7])


@pytest.mark.parametrize(
    "name", [name for name, (model, _) in MODELS.items() if not issubclass(model, FittedModel)]
)
def test_every_ager_trains_in_half_precision(name: str, tiny_set: Path, tmp_path: Path) -> None:
    words = ["size=32", "batch=4", "pictures=32", "precision=bf16-mixed", "watch_every=0", "threads=1"]
    width = "width=8" if name == "mixed" else "width=0.125"
    config = resolve(name, None, words + ([width] if name != "guide" else []))
    run = train(config, [FaceSet.open(tiny_set)], tmp_path)
    assert all(torch.isfinite(weight).all() for weight in Ager.load(run).model.nets.parameters())
