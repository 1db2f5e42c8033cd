"""Building on a Ray cluster: the same set, whatever dies on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import ray

from nenrin.domains.build import build
from nenrin.domains.cluster import LOCAL, run_on_ray
from nenrin.ground import UsageError, write_text

# Ray's workers cannot import a test: what it defines travels as it is.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters run on Linux and macOS")


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_set_built_on_ray_is_the_same_to_the_byte(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # relative paths must mean the same to the workers
    here = build([crops], Path("here/tiny"), size=32, finder="nominal", workers=0)
    there = build([crops], Path("there/tiny"), size=32, finder="nominal", ray=LOCAL)
    assert there.kept == here.kept > 0
    assert digests(tmp_path / "there") == digests(tmp_path / "here")


@dataclasses.dataclass(kw_only=True)
class Slow:
    """A job that takes a moment, and notes each time that it was begun."""

    path: Path

    def __len__(self) -> int:
        return 1

    def run(self) -> None:
        with self.path.with_suffix(".begun").open("a") as stream:
            stream.write(f"{psutil.Process().pid}\n")
        time.sleep(0.4)
        write_text(self.path, "whole")


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    jobs = [Slow(path=tmp_path / f"{number}.txt") for number in range(10)]
    killed: list[int] = []

    def kill() -> None:
        # A job's note is there before its first line is: wait for the line.
        while not (pids := [pid for path in tmp_path.glob("*.begun") for pid in path.read_text().split()]):
            time.sleep(0.01)
        killed.append(int(pids[0]))
        psutil.Process(killed[0]).kill()

    thread = threading.Thread(target=kill)
    thread.start()
    assert sum(run_on_ray(jobs, LOCAL)) == 10
    thread.join()
    assert [job.path.read_text() for job in jobs] == ["whole"] * 10
    again = [pids for job in jobs if len(pids := job.path.with_suffix(".begun").read_text().split()) > 1]
    assert any(str(killed[0]) in pids for pids in again)  # its job was begun once more


def test_without_ray_or_a_cluster_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Slow(path=tmp_path / "0.txt")]
    with pytest.raises(UsageError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'") as error:
        list(run_on_ray(jobs, "127.0.0.1:1"))
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install nenrin\[ray\]"):
        list(run_on_ray(jobs, LOCAL))
