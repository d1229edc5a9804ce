"""What the mean frame difference alone says about speed: the paper's point about relative and absolute speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.core.rng import derive_seed
from rspnet.data.annotations import VideoRecord
from rspnet.data.datasets import ClipPairDataset, NoSample
from rspnet.data.presets import AugmentPreset
from rspnet.data.sampler import PairRequest

_UNTOUCHED = AugmentPreset(
    crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip_p=0.0, grayscale_p=0.0, jitter_p=0.0, noise_std=0.0
)
Energies = NDArray[np.float64]


def ask_oracle(
    train: Sequence[VideoRecord], test: Sequence[VideoRecord], *, speeds: Sequence[int], num_frames: int, size: int
) -> dict[str, Any]:
    """Accuracies of the mean absolute frame difference as the only feature, on whole untouched pictures.

    Relative: is the query's energy nearer to the same-speed than to the other-speed clip's? (chance 0.5; nothing is
    learned.) Absolute: is a clip sped up, by the threshold that is best on the training videos, scored on the test
    videos (chance 0.5)?

    Returns:
        "relative", "absolute", "absolute_train", "threshold", "videos", and the test clips' "energies" by speed
        (levels of 0..255).
    """
    (triples, slow, fast), (test_triples, test_slow, test_fast) = (
        clip_energies(part, speeds=speeds, num_frames=num_frames, size=size) for part in (train, test)
    )
    threshold = best_threshold(slow, fast)
    return {
        "speeds": [1, *speeds],
        "relative": relative_accuracy(test_triples),
        "relative_train": relative_accuracy(triples),
        "absolute": threshold_accuracy(test_slow, test_fast, threshold),
        "absolute_train": threshold_accuracy(slow, fast, threshold),
        "threshold": round(threshold, 4),
        "videos": {"train": len(train), "test": len(test)},
        "energies": {"1": _rounded(test_slow), "fast": _rounded(test_fast)},
    }


def clip_energies(
    records: Sequence[VideoRecord], *, speeds: Sequence[int], num_frames: int, size: int
) -> tuple[Energies, Energies, Energies]:
    """Mean absolute frame differences of clips of every video.

    Every other video's own speed is the fast one, which is the next of `speeds`, over and over. Videos that cannot be
    used are left out.

    Returns:
        (query, same speed, other speed) [N, 3], and of the last two the slow one [N] and the fast one [N].
    """
    data = ClipPairDataset(
        records, num_frames=num_frames, speeds=speeds, size=size, preset=_UNTOUCHED, seed=derive_seed("oracle")
    )
    rows, is_fast = [], []
    for index in range(len(records)):
        fast, own_is_fast = speeds[index // 2 % len(speeds)], index % 2 == 1
        sample = data.sample(PairRequest(index, 0, *((fast, 1) if own_is_fast else (1, fast))), {})
        if isinstance(sample, NoSample) or sample.index != index:
            continue
        clips = (sample.query, sample.key[sample.key_same], sample.key[sample.key_other])
        rows.append([energy(clip.numpy()) for clip in clips])
        is_fast.append(own_is_fast)
    triples, swapped = np.array(rows), np.array(is_fast)
    _, same, other = triples.T
    return triples, np.where(swapped, other, same), np.where(swapped, same, other)


def energy(clip: NDArray[np.uint8]) -> float:
    """Mean absolute difference of consecutive pictures of a clip [T, H, W, 3], in levels."""
    return float(np.abs(np.diff(clip.astype(np.int16), axis=0)).mean())


def relative_accuracy(energies: Energies) -> float:
    """Share of rows (query, same, other) whose query is nearer to same than to other; ties count against."""
    query, same, other = energies.T
    return float((np.abs(query - same) < np.abs(query - other)).mean())


def best_threshold(slow: Energies, fast: Energies) -> float:
    """The energy from which on a clip is best called fast."""
    places = np.unique(np.concatenate([slow, fast]))
    accuracies = [threshold_accuracy(slow, fast, float(place)) for place in places]
    return float(places[int(np.argmax(accuracies))])


def threshold_accuracy(slow: Energies, fast: Energies, threshold: float) -> float:
    """Share of clips on the right side: slow below, fast at or above; both kinds count alike."""
    return float(((slow < threshold).mean() + (fast >= threshold).mean()) / 2)


def _rounded(values: Energies) -> list[float]:
    return [round(float(value), 2) for value in values]
