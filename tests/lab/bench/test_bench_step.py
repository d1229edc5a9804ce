import json

import pytest
import torch

from rspnet.lab.bench.bench_step import bench_step, multiply_adds_per_clip
from rspnet.lab.bench.plain import plain_copy, plain_step
from rspnet.models.conv import Conv3d
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews


@pytest.mark.parametrize(("backbone", "giga"), [("r3d_18", 8.3), ("c3d", 38.5), ("r2plus1d_vcop", 21.4), ("s3dg", 4.3)])
def test_multiply_adds_are_those_of_the_paper_sized_networks(backbone: str, giga: float) -> None:
    assert multiply_adds_per_clip(backbone, num_frames=16, size=112) / 1e9 == pytest.approx(giga, rel=0.02)


def test_plain_and_ours_are_one_step() -> None:
    """In float32 the two routes the bench compares take the same step."""
    torch.manual_seed(0)
    ours = RSPNet("r3d_10_slim", queue_size=16)
    plain = plain_copy(ours)
    assert not any(isinstance(module, Conv3d) for module in plain.modules())
    views = SpeedViews(*(torch.randn(4, 3, 8, 32, 32) for _ in range(3)))
    optimizers = [torch.optim.SGD(model.encoder_q.parameters(), lr=0.01) for model in (ours, plain)]
    out = ours(views)
    out.loss.backward()
    optimizers[0].step()
    loss = plain_step(plain, views, optimizers[1])
    torch.testing.assert_close(loss, out.loss.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plain.queue.keys, ours.queue.keys, rtol=1e-3, atol=1e-4)
    for key, value in ours.encoder_k.state_dict().items():
        torch.testing.assert_close(plain.encoder_k.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_result_is_json_and_threads_are_put_back() -> None:
    threads = torch.get_num_threads()
    result = bench_step(backbone="r3d_10_slim", batch_size=2, num_frames=8, size=32, repeats=1, threads=1)
    assert torch.get_num_threads() == threads
    assert json.loads(json.dumps(result)) == result
    assert result["speedup"] == pytest.approx(result["plain_seconds"] / result["ours_seconds"])
    assert 0 < result["share_of_matmul_rate"] < 2
