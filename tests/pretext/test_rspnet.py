"""One process: order of a step, groups, eval mode, shuffling, configuration."""

import math
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

from rspnet.core.errors import ConfigError
from rspnet.engine.runtime import has_native_bf16
from rspnet.pretext.rspnet import PretextOutput, RSPNet
from rspnet.pretext.shuffle import global_permutation, shuffle, unshuffle
from rspnet.pretext.speed import SpeedViews


def make_model(**changes: object) -> RSPNet:
    torch.manual_seed(0)
    return RSPNet("r3d_10_slim", **{"queue_size": 10, "feature_dim": 16, **changes})


def make_views(batch: int = 4, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> SpeedViews:
    generator = torch.Generator().manual_seed(seed)
    return SpeedViews(*(torch.randn(batch, 3, 8, 32, 32, generator=generator, dtype=dtype) for _ in range(3)))


def test_config_rebuilds_the_model() -> None:
    model = make_model(input="difference", head="mlp", margin=1.0, virtual_ranks=2)
    copy = RSPNet(**model.config)
    assert copy.config == model.config
    copy.load_state_dict(model.state_dict(), strict=True)
    assert make_model().config["momentum"] == 0.999
    assert RSPNet("r3d_10_slim").queue.keys.shape == (16384, 128)


@pytest.mark.parametrize(
    "changes",
    [
        {"momentum": 1.5},
        {"temperature": 0},
        {"margin": -1},
        {"queue_size": 0},
        {"feature_dim": 0},
        {"virtual_ranks": 0},
        {"appearance_weight": -1},
        {"motion_weight": math.nan},
        {"margin": math.inf},
        {"temperature": "warm"},
        {"queue_size": True},
        {"queue_size": 3.5},
        {"num_frames": 0},
        {"size": None},
        {"stride": "1"},
    ],
)
def test_arguments_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(changes))} is "):
        make_model(**changes)


def test_no_task_at_all() -> None:
    with pytest.raises(ConfigError, match="both 0"):
        make_model(appearance_weight=0, motion_weight=0)
    with pytest.raises(ConfigError, match="batch of 5 clips"):
        make_model(virtual_ranks=2)(make_views(5))


def test_weights_choose_the_task() -> None:
    views = make_views()
    for weights in ((1.0, 0.0), (0.0, 1.0), (0.5, 2.0)):
        model = make_model(appearance_weight=weights[0], motion_weight=weights[1])
        out = model(views)
        expected = weights[0] * out.appearance_loss + weights[1] * out.motion_loss
        torch.testing.assert_close(out.loss.detach(), expected)
        out.loss.backward()
        heads = model.encoder_q.appearance_head, model.encoder_q.motion_head
        for head, weight in zip(heads, weights, strict=True):
            assert bool(head.linear.weight.grad.any()) == (weight > 0)


def test_order_of_a_step() -> None:
    model = make_model(momentum=0.5)
    with torch.no_grad():
        for parameter in model.encoder_q.parameters():
            parameter.add_(0.01)
    expected_key = torch.lerp(model.encoder_k.motion_head.linear.weight, model.encoder_q.motion_head.linear.weight, 0.5)
    views = make_views()
    order: list[Tensor] = []
    model.encoder_k.register_forward_pre_hook(lambda module, inputs: order.append(inputs[0]))
    keys: list[Tensor] = []
    model.encoder_k.register_forward_hook(lambda module, inputs, output: keys.append(output.appearance))
    old_queue = model.queue.keys.clone()
    steps = model.group_outputs(views, step_seed=0)
    out = next(steps)
    torch.testing.assert_close(model.encoder_k.motion_head.linear.weight, expected_key)
    assert torch.equal(order[0], views.key_other)
    assert torch.equal(order[1], views.key_same)
    assert torch.equal(model.queue.keys, old_queue)  # queued after the losses
    assert next(steps, None) is None
    assert torch.equal(model.queue.keys, old_queue)
    model.finish_step()
    assert torch.equal(model.queue.keys[:4], keys[0])  # the other-speed keys
    assert torch.equal(model.queue.keys[4:], old_queue[4:])
    out.loss.backward()  # still possible after the keys are queued
    assert all(parameter.grad is None for parameter in model.encoder_k.parameters())
    for item in fields(PretextOutput):
        value = getattr(out, item.name)
        assert value.dim() == 0
        assert value.requires_grad == (item.name == "loss")


def test_a_group_alone_gives_what_it_gives_among_others() -> None:
    """Query statistics are a group's own: group 2 of a batch equals that group trained alone, keys being equal."""
    views = make_views(4, dtype=torch.float64)
    both = make_model(virtual_ranks=2).double()
    alone = make_model().double()
    alone.encoder_k.eval(), both.encoder_k.eval()
    second = list(both.group_outputs(views, step_seed=0))[1]
    expected = next(alone.group_outputs(SpeedViews(*(view[2:] for view in views)), step_seed=0))
    torch.testing.assert_close(second.loss, expected.loss, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_accumulated_groups_equal_the_mean_forward() -> None:
    views = make_views(6, dtype=torch.float64)
    by_group, at_once = make_model(virtual_ranks=3).double(), make_model(virtual_ranks=3).double()
    losses = []
    for out in by_group.group_outputs(views, step_seed=7):
        (out.loss / 3).backward()
        losses.append(out.loss.detach())
    by_group.finish_step()
    out = at_once(views, step_seed=7)
    out.loss.backward()
    torch.testing.assert_close(torch.stack(losses).mean(), out.loss.detach())
    for first, second in zip(by_group.encoder_q.parameters(), at_once.encoder_q.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-8, atol=1e-10)
    for key, value in by_group.state_dict().items():
        torch.testing.assert_close(value, at_once.state_dict()[key], msg=key)
    assert by_group.encoder_q.backbone.bn1.num_batches_tracked == 1
    assert by_group.encoder_k.backbone.bn1.num_batches_tracked == 2


@pytest.mark.slow
def test_virtual_ranks_change_the_keys_only_through_their_statistics() -> None:
    views = make_views(4, dtype=torch.float64)
    losses = {}
    for ranks in (1, 2):
        model = make_model(virtual_ranks=ranks).double()
        train = model(views, step_seed=3).loss.item()
        losses[ranks] = train, model.eval()(views, step_seed=3).loss.item()
    assert losses[1][0] != pytest.approx(losses[2][0], abs=1e-3)


@pytest.mark.slow
def test_eval_changes_nothing_and_does_not_depend_on_groups() -> None:
    views = make_views(4, dtype=torch.float64)
    losses = []
    for ranks in (1, 2, 4):
        model = make_model(virtual_ranks=ranks).double().eval()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with torch.no_grad():
            losses.append(model(views, step_seed=ranks).loss.item())
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key]), key
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-12)


def test_a_step_broken_off_leaves_the_statistics() -> None:
    model = make_model(virtual_ranks=2)
    before = {key: value.clone() for key, value in model.encoder_q.state_dict().items()}

    def fail(clips: Tensor) -> None:
        model.encoder_q(clips)
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        next(model.group_outputs(make_views(), step_seed=0, encode=fail))
    for key, value in model.encoder_q.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.slow
def test_autocast_channels_last() -> None:
    model = make_model(virtual_ranks=2).to(memory_format=torch.channels_last_3d)
    small = (view[:, :, :4, :16, :16] for view in make_views())  # bf16 is slow where it is emulated
    views = SpeedViews(*(view.contiguous(memory_format=torch.channels_last_3d) for view in small))
    seen: list[Tensor] = []
    model.encoder_k.backbone.layer1[0].conv1.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(views)
    out.loss.backward()
    assert out.loss.dtype == torch.float32
    assert model.queue.keys.dtype == torch.float32
    assert len(seen) == 4
    if has_native_bf16(torch.device("cpu")):  # elsewhere torch computes bf16 by a slow way that gives up the layout
        assert all(clips.is_contiguous(memory_format=torch.channels_last_3d) for clips in seen)
    # In eval mode, for batch norm over two samples magnifies rounding without bound.
    exact = model.eval()(views).loss.item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(views).loss.item() == pytest.approx(exact, rel=0.02)


def test_shuffle_and_unshuffle_are_inverse_and_seeded() -> None:
    permutation = global_permutation(7, step_seed=3, stream="a")
    assert sorted(permutation.tolist()) == list(range(7))
    assert torch.equal(permutation, global_permutation(7, step_seed=3, stream="a"))
    others = [global_permutation(7, step_seed=seed, stream=s) for seed, s in ((4, "a"), (3, "b"))]
    assert not any(torch.equal(permutation, other) for other in others)
    clips = torch.arange(7.0).reshape(7, 1, 1, 1, 1).expand(7, 2, 3, 4, 5).clone()
    mixed = shuffle(clips, permutation)
    assert torch.equal(mixed[:, 0, 0, 0, 0], permutation.float())
    assert torch.equal(unshuffle(mixed.flatten(1), permutation), clips.flatten(1))
    last = clips.contiguous(memory_format=torch.channels_last_3d)
    assert shuffle(last, permutation).is_contiguous(memory_format=torch.channels_last_3d)
