"""Retrieval metrics by cosine similarity in bounded memory, and bootstrap intervals.

Similarities are computed a block of queries against a block of the gallery at a time and merged into a running top k;
nothing of size queries x gallery is ever held. Ties go to the lowest gallery index, whatever the block size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rspnet.core.errors import RSPNetError

BLOCK = 4096
_LOW_BITS = 2**32 - 1


class Neighbours(NamedTuple):
    """The k best gallery items of each query, best first: cosines float32 [Q, k] and indices int64 [Q, k]."""

    scores: Tensor
    indices: Tensor


def top_k(query: Tensor, gallery: Tensor, k: int, *, block: int = BLOCK) -> Neighbours:
    """The k nearest gallery items of every query by cosine; ties go to the lowest index.

    Args:
        query: features [Q, D], any length (normalised here); a zero vector has cosine 0 with everything.
        gallery: features [N, D].
        k: neighbours a query, at most the number of its candidates.
        block: rows of either side multiplied at a time; at most two block x block float32 matrices are held.

    Raises:
        RSPNetError: shapes that do not fit, features that are not finite, or k beyond the number of candidates.
    """
    query, gallery = _unit_rows("query", query), _unit_rows("gallery", gallery)
    _check_pair(query, gallery)
    if not 1 <= k <= len(gallery):
        raise RSPNetError(f"k is {k}; it must be between 1 and the number of gallery items, {len(gallery)}")
    keys = torch.cat([_best_keys(rows, query, gallery, k, block) for rows in _row_blocks(query, block)])
    return Neighbours(_score_of(keys), _LOW_BITS - (keys & _LOW_BITS))


def hits_at_k(
    query: Tensor,
    gallery: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    ks: Sequence[int],
    *,
    block: int = BLOCK,
) -> dict[int, Tensor]:
    """Whether any of the k nearest gallery items has the query's label: k -> bool [Q].

    Args:
        query: features [Q, D].
        gallery: features [N, D].
        query_labels: int64 [Q].
        gallery_labels: int64 [N].
        ks: one or more values of k, each between 1 and N.
        block: see `top_k`.

    Raises:
        RSPNetError: as `top_k`, or labels that do not fit the features.
    """
    if not ks:
        raise RSPNetError("ks is empty; give at least one k")
    _check_labels("query", query, query_labels)
    _check_labels("gallery", gallery, gallery_labels)
    if min(ks) < 1:
        raise RSPNetError(f"k is {min(ks)}; it must be at least 1")
    nearest = top_k(query, gallery, max(ks), block=block).indices
    right = gallery_labels.cpu()[nearest] == query_labels.cpu()[:, None]
    return {k: right[:, :k].any(dim=1) for k in ks}


def recall_at_k(
    query: Tensor,
    gallery: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    ks: Sequence[int],
    *,
    block: int = BLOCK,
) -> dict[int, float]:
    """Share of queries with a right item among the k nearest: k -> 0..1; arguments as in `hits_at_k`.

    This is the retrieval score of the paper (table 5): one right neighbour among the k is enough.
    """
    hits = hits_at_k(query, gallery, query_labels, gallery_labels, ks, block=block)
    return {k: float(hit.double().mean()) for k, hit in hits.items()}


def average_precisions(
    query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor, *, block: int = BLOCK
) -> Tensor:
    """Average precision of every query over its whole ranking: float64 [Q]; their mean is the mAP.

    A query with no right item among its candidates has no average precision: NaN (use `Tensor.nanmean`).
    Memory is bounded by `block`² / 4 similarities and their sort a step (at least one query's row).

    Raises:
        RSPNetError: as `hits_at_k`.
    """
    _check_labels("query", query, query_labels)
    _check_labels("gallery", gallery, gallery_labels)
    query, gallery = _unit_rows("query", query), _unit_rows("gallery", gallery)
    _check_pair(query, gallery)
    query_labels, gallery_labels = query_labels.cpu(), gallery_labels.cpu()
    rows_at_once = max(1, block * block // (4 * len(gallery)))
    parts = []
    for rows in _row_blocks(query, rows_at_once):
        scores = query[rows] @ gallery.T
        right = query_labels[rows, None] == gallery_labels
        order = scores.sort(dim=1, descending=True, stable=True).indices
        row, place = right.gather(1, order).nonzero(as_tuple=True)  # of the right items, in the order of the ranking
        counts = right.sum(dim=1)
        found = torch.arange(1, len(row) + 1) - (counts.cumsum(0) - counts)[row]
        total = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, row, found.double() / (place + 1))
        parts.append(total / counts)
    return torch.cat(parts)


def _best_keys(rows: slice, query: Tensor, gallery: Tensor, k: int, block: int) -> Tensor:
    """Sorted keys [rows, k] of the best candidates, one gallery block merged after the other."""
    best: Tensor | None = None
    for columns in _row_blocks(gallery, block):
        scores = query[rows] @ gallery[columns].T
        keys = _block_keys(scores, columns.start, k)
        best = keys if best is None else torch.cat([best, keys], dim=1)
        best = best.topk(min(k, best.shape[1]), dim=1).values
    assert best is not None
    return best


def _block_keys(scores: Tensor, first_index: int, k: int) -> Tensor:
    """Keys [rows, min(k, n)] of the best of one block; exact also where a tie straddles the k-th place."""
    k = min(k, scores.shape[1])
    values, indices = scores.topk(k, dim=1)
    keys = _keys_of(values, indices + first_index)
    straddling = (scores >= values[:, -1:]).sum(dim=1) > k
    if straddling.any():
        every_index = torch.arange(first_index, first_index + scores.shape[1])
        for row in straddling.nonzero()[:, 0].tolist():
            keys[row] = _keys_of(scores[row], every_index).topk(k).values
    return keys


def _keys_of(scores: Tensor, indices: Tensor) -> Tensor:
    """One int64 a pair that orders by score, then by lowest index: the float's bits made monotonic above the index."""
    bits = (scores + 0.0).view(torch.int32).to(torch.int64)  # + 0.0: minus zero equals zero
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (ordered << 32) | (_LOW_BITS - indices)


def _score_of(keys: Tensor) -> Tensor:
    ordered = keys >> 32
    return torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).to(torch.int32).view(torch.float32)


def _row_blocks(rows: Tensor, block: int) -> Iterator[slice]:
    if block < 1:
        raise RSPNetError(f"block is {block}; it must be at least 1")
    for start in range(0, len(rows), block):
        yield slice(start, min(start + block, len(rows)))


def _unit_rows(name: str, features: Tensor) -> Tensor:
    if features.ndim != 2 or not len(features):
        raise RSPNetError(
            f"{name} features have shape {list(features.shape)}; [items, dimensions] with items is needed"
        )
    unit = normalize(features.detach().cpu().float(), dim=1)
    if not torch.isfinite(unit).all():
        bad = int((~torch.isfinite(unit)).any(dim=1).nonzero()[0])
        raise RSPNetError(f"{name} feature {bad} is not finite; features must be free of NaN and infinity")
    return unit


def _check_pair(query: Tensor, gallery: Tensor) -> None:
    if query.shape[1] != gallery.shape[1]:
        raise RSPNetError(
            f"query features have {query.shape[1]} dimensions, gallery ones {gallery.shape[1]}; they must agree"
        )


def _check_labels(name: str, features: Tensor, labels: Tensor) -> None:
    if labels.shape != features.shape[:1]:
        raise RSPNetError(
            f"{name} labels have shape {list(labels.shape)}; one label for each of {len(features)} features is needed"
        )
