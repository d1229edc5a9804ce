import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import pretext_reference
from torch import nn

from rspnet.core.errors import ConfigError
from rspnet.pretext.momentum import update_momentum_encoder
from rspnet.pretext.queue import KeyQueue


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 13), batches=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_any_batch_wraps_in_any_size(size: int, batches: list[int]) -> None:
    queue = KeyQueue(size=size, dim=2)
    twin = pretext_reference.Queue(queue.keys.numpy())
    for number, batch in enumerate(batches):
        keys = torch.arange(2.0 * batch).reshape(batch, 2) + 1000 * number
        queue.enqueue(keys)
        twin.enqueue(keys.numpy())
        np.testing.assert_array_equal(queue.keys.numpy(), twin.keys)
        assert queue.position.tolist() == [twin.position]


def test_queue_is_state_and_starts_as_unit_vectors() -> None:
    queue, other = KeyQueue(size=7, dim=16), KeyQueue(size=7, dim=16)
    assert torch.equal(queue.keys, other.keys)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(7))
    queue.enqueue(torch.ones(3, 16))
    assert sorted(queue.state_dict()) == ["keys", "position"]
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.keys, queue.keys)
    assert other.position.item() == 3
    with pytest.raises(ConfigError, match="queue_size is 0"):
        KeyQueue(size=0, dim=2)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_momentum_update_equals_its_twin_and_leaves_buffers(momentum: float) -> None:
    query = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)).to(memory_format=torch.channels_last_3d)
    key = copy.deepcopy(query).requires_grad_(False)
    for parameter in query.parameters():
        parameter.data.normal_()
    query[1].running_mean.fill_(5.0)
    before = [parameter.clone() for parameter in key.parameters()]
    update_momentum_encoder(key, query, momentum=momentum)
    for old, new, source in zip(before, key.parameters(), query.parameters(), strict=True):
        expected = pretext_reference.momentum_update(old.numpy(), source.detach().numpy(), momentum)
        np.testing.assert_allclose(new.numpy(), expected, rtol=1e-5, atol=1e-6)
        assert not new.requires_grad
    assert not key[1].running_mean.any()
