"""bfloat16 gradients against float32, for every layer of every backbone (the trap in DESIGN.md).

Each layer's gradient is compared with the float32 gradient of the same layer on the same input and the same incoming
gradient. (End to end the two precisions part ways for an honest reason: a ReLU or max pool near a tie flips, and
batch norm over a tiny test batch magnifies that.)
"""

import copy
from collections.abc import Callable

import pytest
import torch
from helpers.networks import DISTINCT, NAMES, short_backbone
from torch import Tensor, nn

from rspnet.engine.runtime import has_native_bf16
from rspnet.models.conv import Conv3d
from rspnet.models.registry import create_backbone

LIMIT = 0.05
EMULATED = not has_native_bf16(torch.device("cpu"))
"""bf16 is emulated here: slow, and without the kernels that the trap is in. The shortest clips are
enough, and short networks of different blocks."""
LONG = pytest.mark.skipif(EMULATED, reason="this processor has no bf16 kernels: only the shortest clips are tried")


@pytest.mark.slow
@pytest.mark.parametrize("num_frames", [4, *(pytest.param(number, marks=LONG) for number in (8, 16, 32))])
@pytest.mark.parametrize("name", DISTINCT if EMULATED else NAMES)
def test_every_parameter(name: str, num_frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    backbone = short_backbone(name, monkeypatch) if EMULATED else create_backbone(name)
    errors = gradient_errors(backbone, torch.randn(2, 3, num_frames, 32, 32))
    assert errors.keys() == dict(backbone.named_parameters()).keys()
    wrong = {key: error for key, error in errors.items() if not error < LIMIT}  # NaN is wrong too
    assert not wrong


def test_this_test_sees_the_fault_of_the_stock_convolution() -> None:
    errors = {}
    for kind in (nn.Conv3d, Conv3d):
        torch.manual_seed(0)
        layer = nn.Sequential(kind(64, 64, 3, padding=1, bias=False))
        errors[kind] = gradient_errors(layer, torch.randn(2, 64, 2, 8, 8))["0.weight"]
    assert errors[Conv3d] < LIMIT
    if errors[nn.Conv3d] < LIMIT:
        pytest.skip("this machine's oneDNN computes the stock convolution's gradient right")


@LONG
def test_stock_convolutions_fail_in_a_backbone() -> None:
    torch.manual_seed(0)
    backbone = create_backbone("r3d_18")
    for module in backbone.modules():
        if isinstance(module, Conv3d):
            object.__setattr__(module, "__class__", nn.Conv3d)
    errors = gradient_errors(backbone, torch.randn(2, 3, 16, 32, 32))
    if all(error < LIMIT for error in errors.values()):
        pytest.skip("this machine's oneDNN computes the stock convolution's gradient right")
    assert {key.split(".")[0] for key, error in errors.items() if not error < LIMIT} <= {"layer3", "layer4"}


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 6, 7, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 1)])
def test_convolution_is_the_stock_one_in_float64(num_frames: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    ours = Conv3d(3, 4, kernel, stride=(stride, 1, 1), padding=kernel // 2).double()
    stock = copy.deepcopy(ours)
    object.__setattr__(stock, "__class__", nn.Conv3d)
    clips = torch.randn(2, 3, num_frames, 8, 8, dtype=torch.float64, requires_grad=True)
    results = []
    for layer in (ours, stock):
        out = layer(clips)
        results.append((out, *torch.autograd.grad(out.square().sum(), [clips, *layer.parameters()])))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_gradient_of_a_few_taps_has_the_layout_of_the_weight() -> None:
    layer = Conv3d(4, 8, 3, padding=1, bias=False).to(memory_format=torch.channels_last_3d)
    (gradient,) = torch.autograd.grad(layer(torch.randn(2, 4, 1, 5, 5)).sum(), [layer.weight])
    assert gradient.stride() == layer.weight.stride()
    assert gradient[:, :, 1].all()
    assert not gradient[:, :, [0, 2]].any()


def gradient_errors(network: nn.Module, clips: Tensor) -> dict[str, float]:
    """Relative error, in norm, of every parameter's bf16 gradient in one train-mode pass with channels_last_3d."""
    network = network.to(memory_format=torch.channels_last_3d).train()
    clips = clips.contiguous(memory_format=torch.channels_last_3d)
    seen: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(_recorder(seen, name))
        for name, module in network.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(clips)
    fill_fresh_memory()
    (out.float() * torch.randn(out.shape)).sum().backward()
    for handle in handles:
        handle.remove()
    errors = {}
    for name, (layer_input, incoming) in seen.items():
        layer = copy.deepcopy(network.get_submodule(name))
        if isinstance(layer, Conv3d):
            object.__setattr__(layer, "__class__", nn.Conv3d)
        names, parameters = zip(*layer.named_parameters(), strict=True)
        exact = torch.autograd.grad(layer(layer_input.float()), parameters, incoming.float())
        for key, expected in zip(names, exact, strict=True):
            found = network.get_submodule(name).get_parameter(key).grad
            errors[f"{name}.{key}"] = float((found - expected).norm() / expected.norm())
    return errors


def fill_fresh_memory() -> None:
    """Leave 1e30 in the allocator's free blocks: what a kernel forgets to write must not look like zero."""
    blocks = [torch.full((2**power,), 1e30) for power in range(8, 23) for _ in range(4)]
    del blocks


def _recorder(seen: dict[str, list[Tensor]], name: str) -> Callable[..., None]:
    """A forward hook that keeps a layer's input and, later, the gradient that arrives at its output."""

    def record(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        seen[name] = [inputs[0].detach().clone()]
        output.register_hook(lambda gradient: seen[name].append(gradient.detach().clone()))

    return record
