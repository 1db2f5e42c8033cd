"""Training in several processes, as `torchrun` starts them: each takes its part of every batch.

Gradients are averaged just before an optimizer steps. Nets are not wrapped in `DistributedDataParallel`,
because an adversarial step freezes nets, runs them twice and leaves gradients unused, which it rejects.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from nenrin.models.data import Batch

T = TypeVar("T")


class World:
    """The processes of one training; with a single process, everything here is a no-op."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))  # the GPU to take
        if self.size > 1 and not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(self.local_rank)
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, value: T) -> T:
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box)
        shared: T = box[0]
        return shared

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in all of them."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether it is set in one of them at least."""
        return bool(self.mean(torch.tensor(float(flag))) > 0)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def part_of(self, batch: Batch) -> Batch:
        """This process's part of a batch: every `size`-th face."""
        if self.size == 1:
            return batch
        return batch[slice(self.rank, None, self.size)]

    def average_gradients(self, optimizer: Optimizer) -> None:
        """Make `optimizer` step along the gradient's mean over the processes from now on."""
        if self.size > 1:
            optimizer.register_step_pre_hook(self._average)

    def _average(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))
