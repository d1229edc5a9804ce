"""Our max pooling against the stock one."""

import pytest
import torch
import torch.nn.functional as F

from rspnet.core.errors import RSPNetError
from rspnet.models.pool import _RepeatablePool, halve_time_pool, max_pool
from rspnet.models.registry import create_backbone


@pytest.mark.parametrize("shape", [(2, 3, 4, 7, 6), (1, 2, 1, 3, 3), (2, 3, 2, 1, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_widening_by_one_axis_after_the_other_is_the_stock_pool(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last_3d)
    before = x.clone()
    found = max_pool(x, 3, stride=1, padding=1)
    assert torch.equal(found, F.max_pool3d(x, 3, 1, 1))
    assert found.dtype == dtype
    assert torch.equal(x, before)


def test_gradients_are_those_of_the_stock_pool() -> None:
    x = torch.randn(2, 3, 4, 6, 6, requires_grad=True)
    for kernel, stride, padding in ((3, 1, 1), ((1, 3, 3), (1, 2, 2), (0, 1, 1)), (3, 2, 1)):
        found, expected = max_pool(x, kernel, stride=stride, padding=padding), F.max_pool3d(x, kernel, stride, padding)
        assert torch.equal(found, expected)
        gradients = [torch.autograd.grad(out.square().sum(), x)[0] for out in (found, expected)]
        assert torch.equal(*gradients)


@pytest.mark.parametrize("shape", [(2, 3, 4, 7, 6), (1, 2, 1, 2, 2), (2, 3, 2, 1, 5)])
def test_the_repeatable_gradient_is_that_of_the_stock_pool(shape: tuple[int, ...]) -> None:
    x = torch.randint(3, shape).double().requires_grad_()  # with ties
    for kernel, stride, padding in (
        ((3, 3, 3), (1, 1, 1), (1, 1, 1)),
        ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    ):
        found, expected = _RepeatablePool.apply(x, kernel, stride, padding), F.max_pool3d(x, kernel, stride, padding)
        assert torch.equal(found, expected)
        weights = torch.randn_like(found)
        gradients = [torch.autograd.grad((out * weights).sum(), x)[0] for out in (found, expected)]
        torch.testing.assert_close(*gradients)


def test_autocast_keeps_the_precision_of_the_clip_and_goes_on_after_it() -> None:
    x = torch.randn(1, 8, 2, 8, 8, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(4, 8, 1, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = halve_time_pool(x)
        assert F.conv3d(pooled, weight).dtype == torch.bfloat16
        if F.max_pool3d(x, 2).dtype == torch.bfloat16:
            pytest.skip("this torch no longer pools in float32 under autocast: max_pool need not switch it off")
    assert pooled.dtype == torch.bfloat16
    assert torch.equal(pooled, F.max_pool3d(x, 2))


def test_a_single_frame_stays() -> None:
    assert halve_time_pool(torch.randn(1, 2, 1, 4, 4)).shape == (1, 2, 1, 2, 2)
    assert halve_time_pool(torch.randn(1, 2, 5, 4, 4)).shape == (1, 2, 2, 2, 2)


@pytest.mark.parametrize(("name", "size"), [("c3d", 16), ("s3dg", 17)])
def test_clips_that_are_too_small_for_the_pools_are_told_so(name: str, size: int) -> None:
    backbone = create_backbone(name).eval()
    with torch.no_grad():
        assert backbone.forward_features(torch.zeros(1, 3, 4, size, size)).shape[-1] == 1
        with pytest.raises(RSPNetError, match=rf"too small for this network: .*\b{size} x {size}\b"):
            backbone.forward_features(torch.zeros(1, 3, 4, size, size - 1))
