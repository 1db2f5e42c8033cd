"""What an installation has and lacks. Each part is examined separately, so a broken one hides no other."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

import nenrin

State = Literal["ok", "absent", "bad"]  # absent: missing, but not needed by everybody
EXTRAS = {
    "export": "nenrin export",
    "pdf": "nenrin scrape local FILE.pdf",
    "ray": "nenrin build --ray",
    "stylize": "nenrin stylize with a .tflite file",
    "web": "nenrin serve",
}
LEAST_FREE = 2.0  # GB free on the disk: with less, sets and runs soon fail


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the answer."""

    part: str
    name: str
    state: State
    said: str

    def as_row(self) -> dict[str, str]:
        """For JSON."""
        return dataclasses.asdict(self)


def examine(folder: Path, *, finder: str = "auto") -> list[Finding]:
    """Examine everything; `folder` is where the work is done, `finder` the one to try."""
    parts: dict[str, Callable[[], Iterator[Finding]]] = {
        "Installed": _packages,
        "Weights": _weights,
        "Machine": lambda: _machine(folder),
        "Trial": lambda: _trial(finder),
    }
    findings = []
    for part, look in parts.items():
        try:
            for finding in look():  # findings before a failure are kept
                findings.append(finding)
        except Exception as error:  # such as a library that cannot be imported, or an unreadable folder
            findings.append(
                Finding(part=part, name=f"{part.lower()}: the rest", state="bad", said=_line(error))
            )
    return findings


def _packages() -> Iterator[Finding]:
    yield Finding(part="Installed", name="nenrin", state="ok", said=nenrin.__version__)
    yield Finding(part="Installed", name="Python", state="ok", said=platform.python_version())
    needed, extras = _requirements()
    for requirement in needed:
        yield _package(requirement, "bad", "")
    for extra, purpose in EXTRAS.items():
        for requirement in extras.get(extra, []):
            yield _package(requirement, "absent", f"[{extra}] for {purpose}")


def _package(requirement: Requirement, without: State, purpose: str) -> Finding:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        said = f"not installed: pip install '{requirement}'"
        return Finding(
            part="Installed", name=requirement.name, state=without, said=f"{said}  {purpose}".rstrip()
        )
    if not requirement.specifier.contains(version, prereleases=True):
        said = f"{version}, which does not fit {requirement.specifier}"
        return Finding(part="Installed", name=requirement.name, state=without, said=said)
    return Finding(part="Installed", name=requirement.name, state="ok", said=f"{version}  {purpose}".rstrip())


def _requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """The requirements, and those of each extra: from the checkout, else from the installed package."""
    file = Path(nenrin.__file__).parents[1] / "pyproject.toml"
    if file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        return (
            [Requirement(line) for line in project["dependencies"]],
            {extra: [Requirement(line) for line in extras[extra]] for extra in EXTRAS},
        )
    lines = [Requirement(line) for line in importlib.metadata.requires("nenrin") or ()]
    return (
        [line for line in lines if line.marker is None],
        {extra: [r for r in lines if r.marker and r.marker.evaluate({"extra": extra})] for extra in EXTRAS},
    )


def _weights() -> Iterator[Finding]:
    def found(name: str, path: Callable[[], Path], without: State, purpose: str) -> Finding:
        try:
            file = path()
        except Exception as error:  # such as a library that cannot be imported
            return Finding(part="Weights", name=name, state=without, said=_line(error))
        if not file.is_file():
            return Finding(part="Weights", name=name, state=without, said=f"not there: {purpose}")
        size = file.stat().st_size / 1e6
        return Finding(part="Weights", name=name, state="ok", said=f"{size:.1f} MB  {purpose}")

    def shipped() -> Path:
        from nenrin.models.ager import SHIPPED

        return SHIPPED / "nets.safetensors"

    def ours() -> Path:
        from nenrin.domains.finder.look import WEIGHTS

        return WEIGHTS

    def second_look() -> Path:
        from nenrin.domains.finder.close import CLOSE

        return CLOSE

    def mtcnn() -> Path:
        spec = importlib.util.find_spec("facenet_pytorch")
        return Path(str(spec.origin if spec else "")).parent / "data" / "onet.pt"

    def alexnet() -> Path:
        import torch

        from nenrin.eval.perceptual import ALEXNET_FILE

        return Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET_FILE

    def facenet() -> Path:
        from facenet_pytorch.models.inception_resnet_v1 import get_torch_home

        from nenrin.eval.identity import FACENET_FILES

        return Path(get_torch_home()) / "checkpoints" / FACENET_FILES["vggface2"]

    yield found("the shipped ager", shipped, "bad", "nenrin age without --checkpoint")
    yield found("finder nenrin", ours, "absent", "faces in every domain, --finder nenrin")
    yield found("its second look", second_look, "absent", "fewer false faces, better points")
    yield found("finder mtcnn", mtcnn, "bad", "faces in photographs, --finder mtcnn")
    yield found("LPIPS's AlexNet", alexnet, "absent", "nenrin eval, fetched when LPIPS is asked for by name")
    yield found("facenet", facenet, "absent", "nenrin eval, fetched when it is asked for")
    yield from _cache()


def _cache() -> Iterator[Finding]:
    from nenrin.domains.weights import cache_folder

    folder = cache_folder() / "weights"
    held = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    size = sum(path.stat().st_size for path in held) / 1e6
    said = f"{len(held)} files, {size:.1f} MB in {folder}" if held else f"empty: {folder}"
    yield Finding(part="Weights", name="fetched", state="ok" if held else "absent", said=said)


def _machine(folder: Path) -> Iterator[Finding]:
    part = "Machine"
    yield Finding(part=part, name="system", state="ok", said=f"{platform.system()} {platform.machine()}")
    free = shutil.disk_usage(folder).free / 1e9
    enough: State = "ok" if free >= LEAST_FREE else "absent"
    note = "" if free >= LEAST_FREE else f", less than the {LEAST_FREE:g} GB that sets and runs soon take"
    yield Finding(part=part, name="free on the disk", state=enough, said=f"{free:.1f} GB{note}")
    if not os.access(folder, os.W_OK):
        yield Finding(part=part, name="working folder", state="bad", said=f"cannot write into {folder}")

    import torch

    from nenrin.ground import computes_bf16

    said = f"{os.cpu_count()} cores, of which torch uses {torch.get_num_threads()}"
    yield Finding(
        part=part, name="cpu", state="ok", said=f"{said}; trains in {_precision(computes_bf16('cpu'))}"
    )
    for index in range(torch.cuda.device_count()):
        name = torch.cuda.get_device_name(index)
        precision = _precision(computes_bf16("cuda"))
        yield Finding(part=part, name=f"cuda:{index}", state="ok", said=f"{name}; trains in {precision}")


def _trial(finder: str) -> Iterator[Finding]:
    """Find a face and age it, as `nenrin age` would."""
    part = "Trial"
    import skimage.data
    from PIL import Image

    from nenrin.domains.finders import open_finder

    picture = Image.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]
    eyes, began = open_finder(finder), time.perf_counter()
    count = len(eyes.find([picture])[0])
    took = time.perf_counter() - began
    state: State = "ok" if count == 1 else "bad"
    yield Finding(
        part=part, name="finding", state=state, said=f"{finder} finds {count} of 1 face, {took:.1f} s"
    )
    ager, began = nenrin.load(finder=eyes), time.perf_counter()
    strips = ager.age(picture, [70])
    took = time.perf_counter() - began
    said = f"{ager.name} is loaded and ages it, at {ager.size} px, {took:.1f} s"
    yield Finding(part=part, name="ageing", state="ok" if strips else "bad", said=said)


def _precision(bf16: bool) -> str:
    return "bf16" if bf16 else "float32"


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
