"""Turns a net's file back into a trainable net. In a file, batch norms are folded into the convolutions
before them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from nenrin.domains.finder.net import FinderNet


def unfold(path: Path, pixels: Tensor) -> FinderNet:
    """The net of an ONNX file that `net.export` wrote. Its batch norms get the statistics of `pixels`
    (B, 3, H, W), and scales and shifts that undo them, so its output equals the file's and training can
    continue."""
    import onnx
    from onnx import numpy_helper

    stored = onnx.load(path).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored.initializer}
    # In the order in which the file runs them, which is not that of the net's modules.
    files = [node.input for node in stored.node if node.op_type == "Conv"]
    net = FinderNet()
    _fill(net, [[torch.from_numpy(np.array(values[name])) for name in names[1:]] for names in files], pixels)
    return net


@torch.no_grad()
def _fill(net: FinderNet, convolutions: list[list[Tensor]], pixels: Tensor) -> None:
    left = iter(convolutions)
    last: list[Tensor] = []

    def take(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal last
        conv = cast(nn.Conv2d, module)
        last = next(left)
        conv.weight.copy_(last[0])
        if conv.bias is not None:
            conv.bias.copy_(last[1])

    def undo(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        norm, (x,) = cast(nn.BatchNorm2d, module), inputs
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(x.mean((0, 2, 3)))
        norm.running_var.copy_(x.var((0, 2, 3), unbiased=False))
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(last[1] + norm.running_mean)

    hooks = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_pre_hook(take))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(undo))
    net.eval()(pixels)
    for hook in hooks:
        hook.remove()
    assert next(left, None) is None, "the file has as many convolutions as the net"
