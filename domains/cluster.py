"""Run jobs on a Ray cluster, instead of in processes of this machine.

The machines must see the same files under the same paths (a shared folder), and have the same nenrin: a job
reads its pictures and writes its file there. A job whose machine or process dies is run again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nenrin
from nenrin.domains.workers import WORKER_ENVIRONMENT, Job, run_job
from nenrin.ground import NenrinError, UsageError

LOCAL = "local"  # a cluster of this machine alone, for as long as the jobs run
RETRIES = 3  # times that a job is run again after its process died


def run_on_ray(jobs: Iterable[Job], address: str) -> Iterator[int]:
    """As `workers.run_jobs`, on the cluster at `address`: host:port, ray://host:port, auto or local.

    The result is that of `run_jobs`. Raises `UsageError` if Ray is missing, if nothing answers at the
    address, or if the machines have another nenrin; `NenrinError` if a job's process keeps dying.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _ray()
    try:
        _reach(address)
        # Cores are counted by Ray; jobs use one each.
        ray.init(
            address=address,
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({"include_dashboard": False} if address == LOCAL else {}),
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"no Ray cluster answers at {address!r}: {str(error).splitlines()[0]}") from None
    try:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_run_there)
        busy = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        pending: list[Any] = []
        for job in jobs:
            pending.append(task.remote(job, Path.cwd(), nenrin.__version__))
            if len(pending) > busy:  # enough to keep them busy, few enough to hold in memory
                done, pending = ray.wait(pending)
                yield from ray.get(done)
        while pending:
            done, pending = ray.wait(pending)
            yield from ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, NenrinError) else error) from None
    except ray.exceptions.RayError as error:
        raise NenrinError(
            f"the cluster gave a job up ({type(error).__name__}): run the command again to go on"
        ) from None
    finally:
        ray.shutdown()


def _run_there(job: Job, folder: Path, version: str) -> int:
    if nenrin.__version__ != version:
        raise UsageError(f"a machine of the cluster has nenrin {nenrin.__version__}, this one {version}")
    with contextlib.chdir(folder):  # paths may be relative
        return run_job(job)


def _reach(address: str) -> None:
    """Raises `OSError` if nothing answers: Ray itself would wait long to find out."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError("--ray needs Ray: pip install nenrin[ray]") from None
    return ray
