"""The two-stream network: what each stream sees, and that neither head reaches the other's stream."""

from itertools import pairwise

import torch

from rspnet.models.heads import StreamEncoder, create_encoder
from rspnet.models.registry import create_backbone
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

CLIPS = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))


def encoder_of() -> StreamEncoder:
    torch.manual_seed(0)
    encoder = create_encoder(create_backbone("two_stream_slim", input="difference"), head="linear", dim=16)
    assert isinstance(encoder, StreamEncoder)
    return encoder.eval()


def test_each_stream_sees_its_own_side_of_a_clip() -> None:
    encoder = encoder_of()
    with torch.no_grad():
        plain, tinted, noisy = (
            encoder.embed_features(encoder.backbone(clips))
            for clips in (CLIPS, CLIPS + 0.5, torch.cat([CLIPS[:, :, :2], -CLIPS[:, :, 2:4], CLIPS[:, :, 4:]], dim=2))
        )
    torch.testing.assert_close(plain.motion, tinted.motion, atol=1e-4, rtol=1e-4)  # differences do not change
    assert not torch.allclose(plain.appearance, tinted.appearance, atol=1e-3)
    assert not torch.allclose(plain.motion, noisy.motion, atol=1e-3)


def test_what_is_described_is_the_last_map_with_two_earlier_stages_of_motion_behind_it() -> None:
    backbone = encoder_of().backbone
    seen = []
    for layer in (backbone.motion.layer2, backbone.motion.layer3):
        layer[-1].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        last, described = backbone(CLIPS), backbone.forward_described(CLIPS)
    assert described.shape == (2, backbone.num_features + backbone.num_early, *last.shape[2:])
    assert torch.equal(described[:, : backbone.num_features], last)
    wanted = []
    for stage in seen[-2:]:
        pictures = stage.mean(dim=(3, 4)).tolist()  # of clips, channels, times
        wanted.append([[sum(times) / len(times) for times in clip] for clip in pictures])
        steps = [[[b - a for a, b in pairwise(times)] for times in clip] for clip in pictures]
        wanted.append([[(sum(s * s for s in own) / max(1, len(own))) ** 0.5 for own in clip] for clip in steps])
    assert [stage.shape[2] for stage in seen[-2:]] == [2, 1]  # a single step of time does not change
    plain = torch.tensor([[v for part in wanted for v in part[clip]] for clip in range(2)])
    for place in ((0, 0, 0), (-1, -1, -1)):
        torch.testing.assert_close(described[:, backbone.num_features :, *place], plain)


def test_order_of_the_frames_it_sees_is_nothing_to_the_appearance_stream() -> None:
    encoder = encoder_of()
    with torch.no_grad():
        plain, back = (
            encoder.embed_features(encoder.backbone(clips)) for clips in (CLIPS[:, :, [2, 6]], CLIPS[:, :, [6, 2]])
        )
    torch.testing.assert_close(plain.appearance, back.appearance)
    assert not torch.allclose(plain.motion, back.motion, atol=1e-3)


def test_heads_teach_their_own_stream_alone() -> None:
    for name, taught in (("appearance", "appearance"), ("motion", "motion"), ("instance", "motion")):
        encoder = encoder_of().train()
        getattr(encoder(CLIPS), name).sum().backward()
        for stream in ("appearance", "motion"):
            gradients = [p.grad for p in getattr(encoder.backbone, stream).parameters()]
            assert all((grad is not None and bool(grad.abs().sum() > 0)) == (stream == taught) for grad in gradients)


def test_a_training_step_teaches_and_queues_both() -> None:
    torch.manual_seed(1)
    model = RSPNet("two_stream_slim", input="difference", queue_size=6, feature_dim=16, virtual_ranks=1)
    before = [queue.keys.clone() for queue in (model.queue, model.instance_queue)]
    output = model(SpeedViews(CLIPS, CLIPS.flip(0), CLIPS.roll(1, 2)), step_seed=0)
    output.loss.backward()
    assert all(p.grad is not None for p in model.encoder_q.parameters())
    for old, queue in zip(before, (model.queue, model.instance_queue), strict=True):
        assert not torch.equal(old[:2], queue.keys[:2])
        assert torch.equal(old[2:], queue.keys[2:])
