"""Which traces does an RSP head use for speed? Its accuracy on copies that keep the motion, or keep all but motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.errors import RSPNetError
from rspnet.core.progress import track
from rspnet.core.rng import torch_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import BLUR, gaussian_neighbour
from rspnet.data.batches import PairBatch, collate, make_views
from rspnet.data.datasets import ClipPairDataset, PairSample
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairRequest
from rspnet.features.embedder import Embedder
from rspnet.lab.disentangle.binomial import Hits, Share, better_p_value, share_of
from rspnet.lab.disentangle.copies import COPIES, ORIGINAL, copy_path

Views = tuple[Tensor, Tensor, Tensor]
"""Query, clip at the same speed, clip at the other speed: each [B, 3, T, H, W]."""

NOISE_STD = 0.06
BLUR_SIGMA = 1.5
LARGEST_DROP = 0.05
P_VALUE = 0.05


@dataclass(frozen=True)
class ShortcutLine:
    """One line of the report.

    Attributes:
        name: of the test.
        share: RSP accuracy in it.
        rule: what must hold.
        verdict: "pass", "fail", or "moot" where the head recognises no speed that a shortcut could explain.
    """

    name: str
    share: Share
    rule: str
    verdict: str


@dataclass(frozen=True)
class Answers:
    """What the RSP head answers to N triples: hits [N] (1 right, 0 wrong, 0.5 tie) and all motion vectors."""

    hits: Hits
    vectors: NDArray[np.float32]


class SpeedTest:
    """The same triples of clips, cut from every kind of copy below `root`.

    Args:
        embedder: network, device and precision.
        root: what `write_all_copies` wrote.
        names: of the sources.
        speed: the fast speed; half of the videos play at it, the others at 1.
        seed: of windows and augmentation (the published one).
    """

    def __init__(self, embedder: Embedder, *, root: Path, names: Sequence[str], speed: int, seed: int) -> None:
        self.embedder, self.root, self.names = embedder, root, list(names)
        self.speed, self.seed = speed, seed

    def answers(self, kind: str, change: Callable[[Views], Views] = lambda views: views, **options: float) -> Answers:
        """What the head answers on a kind of copy, its views changed by `change`; options as in `views`."""
        return self._ask(map(change, self.views(kind, **options)))

    def views(self, kind: str, *, blur_sigma: float = 0.0, noise_std: float = 0.0) -> Iterator[Views]:
        """The triples of a kind of copy, batch by batch."""
        for batch in self._batches(kind):
            if blur_sigma:
                for jitter in (batch.query_jitter, batch.key_jitter):
                    jitter[:, BLUR] = gaussian_neighbour(blur_sigma)
            yield make_views(batch.to(self.embedder.device), noise_std=noise_std)

    @torch.no_grad()
    def _ask(self, triples: Iterator[Views]) -> Answers:
        hits, vectors = [], []
        total = -(-len(self.names) // self.embedder.batch_size)
        for triple in track(triples, total=total, what="batches"):
            query, same, other = (self.embedder.encode_views(view).motion for view in triple)
            gap = (query * (same - other)).sum(dim=1)
            hits.append((gap.sign() + 1) / 2)
            vectors.append(torch.cat([query, same, other], dim=1))
        return Answers(torch.cat(hits).double().cpu().numpy(), torch.cat(vectors).float().cpu().numpy())

    def _batches(self, kind: str) -> Iterator[PairBatch]:
        config = self.embedder.model.config
        dataset = ClipPairDataset(
            [VideoRecord(copy_path(self.root, kind, name), name) for name in self.names],
            num_frames=config["num_frames"],
            speeds=[self.speed],
            size=config["size"],
            fps=self.embedder.fps,
            preset=augment_preset("published"),
            seed=self.seed,
            max_repeated=2.0,
        )
        for start in range(0, len(dataset), self.embedder.batch_size):
            places = range(start, min(start + self.embedder.batch_size, len(dataset)))
            samples = [dataset[self._request(place)] for place in places]
            for place, sample in zip(places, samples, strict=True):
                if not isinstance(sample, PairSample) or sample.index != place:
                    raise RSPNetError(f"{self.names[place]!r}: {sample.skipped[0].reason}")
            batch = collate(samples)
            assert isinstance(batch, PairBatch)
            yield batch

    def _request(self, place: int) -> PairRequest:
        own, other = (self.speed, 1) if place % 2 else (1, self.speed)
        return PairRequest(place, 0, own, other)


def energies(views: Views) -> list[Tensor]:
    """Motion energy of each clip: the mean absolute difference of consecutive frames, [B] for each view."""
    return [(view[:, :, 1:] - view[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4)) for view in views]


def energy_matched(views: Views) -> Views:
    """Both keys with the contrast at which their motion energy is the query's: what moves, and how, stays."""
    wanted, *found = energies(views)
    keys = []
    for view, energy in zip(views[1:], found, strict=True):
        factor = (wanted / energy.clamp_min(1e-6)).view(-1, 1, 1, 1, 1)
        mean = view.mean(dim=(2, 3, 4), keepdim=True)
        keys.append(mean + (view - mean) * factor)
    return views[0], keys[0], keys[1]


def shuffled(views: Views, *, seed: int) -> Views:
    """Every clip with its frames in a random order of its own."""
    rng = torch_rng(seed, "shuffled frames")

    def mix(view: Tensor) -> Tensor:
        order = torch.stack([torch.randperm(view.shape[2], generator=rng) for _ in range(len(view))])
        index = order.to(view.device).view(len(view), 1, -1, 1, 1).expand(view.shape)
        return view.gather(2, index)

    query, same, other = map(mix, views)
    return query, same, other


def shortcut_lines(test: SpeedTest) -> tuple[list[ShortcutLine], float]:
    """All shortcut tests: a line for each, and what motion energy alone gets right."""
    original = test.answers(ORIGINAL)
    base = share_of(original.hits)
    knows = base.low > 0.5
    told = "pass" if knows else "fail"
    lines = [ShortcutLine("original videos", base, "lower bound above 0.5: the head recognises relative speed", told)]
    rule = f"not lower than on the originals by more than {LARGEST_DROP:.2f} with p < {P_VALUE} (exact McNemar test)"
    copied = {COPIES[kind].title: kind for kind in ("lossless", "x264", "x264-strong", "mpeg4-b", "mpeg4")}
    found = {title: test.answers(kind).hits for title, kind in copied.items()}
    found[f"blurred (3 x 3, sigma {BLUR_SIGMA})"] = test.answers(ORIGINAL, blur_sigma=BLUR_SIGMA).hits
    found[f"fresh noise (std {NOISE_STD})"] = test.answers(ORIGINAL, noise_std=NOISE_STD).hits
    for title, hits in found.items():
        share = share_of(hits)
        falls = base.value - share.value > LARGEST_DROP and better_p_value(original.hits, hits) < P_VALUE
        lines.append(ShortcutLine(title, share, rule, _verdict(not falls, knows)))
    for kind in ("frozen-lossless", "frozen-x264", "frozen-mpeg4-b"):
        share = share_of(test.answers(kind).hits)
        chance = share.low <= 0.5 <= share.high
        lines.append(
            ShortcutLine(
                COPIES[kind].title, share, "0.5 inside the interval: coding noise carries no speed", _verdict(chance)
            )
        )
    if test.embedder.fps is None:  # who reads by time sees another speed there, as asked
        lines.append(_rate_line(test))
    mixed = test.answers(ORIGINAL, lambda views: shuffled(views, seed=test.seed)).hits
    ordered = better_p_value(original.hits, mixed) < P_VALUE
    rule = f"lower than on the originals with p < {P_VALUE}: the order of the frames counts"
    lines.append(ShortcutLine("frames shuffled", share_of(mixed), rule, _verdict(ordered, knows)))
    energy_lines, energy = _energy_lines(test, original.hits, knows)
    return lines + energy_lines, energy


def _rate_line(test: SpeedTest) -> ShortcutLine:
    """The same pictures in a file that claims another rate: not one bit may change."""
    same, claimed = test.answers("lossless"), test.answers("rate")
    change = float(np.abs(same.vectors - claimed.vectors).max())
    rule = f"motion vectors equal to the last bit (largest change {change:g})"
    return ShortcutLine(COPIES["rate"].title, share_of(claimed.hits), rule, _verdict(change == 0))


def _energy_lines(test: SpeedTest, hits: Hits, knows: bool) -> tuple[list[ShortcutLine], float]:
    rule = "lower bound above 0.5: the amount of change is not all it goes by"
    matched = share_of(test.answers(ORIGINAL, energy_matched).hits)
    by_energy = np.concatenate([_energy_hits(views) for views in test.views(ORIGINAL)])
    misled = share_of(hits[by_energy == 0])
    lines = [
        ShortcutLine("motion energy matched by contrast", matched, rule, _verdict(matched.low > 0.5, knows)),
        ShortcutLine("triples whose motion energy misleads", misled, rule, _verdict(misled.low > 0.5, knows)),
    ]
    return lines, share_of(by_energy).value


def _energy_hits(views: Views) -> Hits:
    """Whether the same-speed clip's energy is nearer the query's than the other-speed clip's is: [B]."""
    query, same, other = (energy.clamp_min(1e-9).log() for energy in energies(views))
    closer = (query - other).abs() - (query - same).abs()
    return ((closer.sign() + 1) / 2).double().cpu().numpy()


def _verdict(holds: bool, knows: bool = True) -> str:
    return ("pass" if holds else "fail") if knows else "moot"


def as_row(line: ShortcutLine) -> dict[str, object]:
    """A line as plain values."""
    share = {"value": line.share.value, "low": line.share.low, "high": line.share.high}
    counts = {"decided": line.share.decided, "ties": line.share.ties}
    return {"test": line.name, **share, **counts, "rule": line.rule, "verdict": line.verdict}
