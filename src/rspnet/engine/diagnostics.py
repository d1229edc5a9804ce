"""Is a two-key ranking task learning or stalled? Spread of vectors, saturation of the hinge, gradient shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@torch.no_grad()
def vector_spread(vectors: Tensor) -> dict[str, float]:
    """How far unit vectors [B, D] are from collapse.

    `mean_cosine` of all pairs is 1 where all vectors are equal and 0 where they point anywhere. `effective_rank` is
    exp(entropy of the normalised eigenvalues of the covariance): the number of directions that are used, 0 where there
    is no spread at all and at most min(B - 1, D).
    """
    vectors = vectors.detach().double()
    count = len(vectors)
    total = vectors.sum(dim=0)
    mean_cosine = (total @ total - (vectors * vectors).sum()) / max(1, count * (count - 1))
    spectrum = torch.linalg.svdvals(vectors - vectors.mean(dim=0)).square()
    whole = spectrum.sum()
    if whole <= 1e-12 * count:
        return {"mean_cosine": float(mean_cosine), "effective_rank": 0.0}
    shares = spectrum[spectrum > 0] / whole
    return {"mean_cosine": float(mean_cosine), "effective_rank": float((-shares * shares.log()).sum().exp())}


@torch.no_grad()
def ranking_state(query: Tensor, same: Tensor, other: Tensor, *, margin: float, temperature: float) -> dict[str, float]:
    """The gaps (query.same - query.other) / temperature of unit vectors [B, D]: quantiles, accuracy, saturation.

    `saturated` is the share of hinges max(0, margin - gap) that are 0 and so send no gradient.
    """
    gaps = (query.detach() * (same - other)).sum(dim=1).double() / temperature
    cuts = torch.quantile(gaps, torch.tensor(QUANTILES, dtype=gaps.dtype, device=gaps.device)).tolist()
    state = {f"gap_q{round(100 * share):02d}": cut for share, cut in zip(QUANTILES, cuts, strict=True)}
    return state | {"accuracy": float((gaps > 0).double().mean()), "saturated": float((gaps >= margin).double().mean())}


def gradient_norms(losses: Mapping[str, Tensor], parameters: Iterable[nn.Parameter]) -> dict[str, float]:
    """Norm of each loss's gradient on the parameters, and the cosine of every two of them; no gradient is left behind.

    The graph of the losses is kept, so the training step can still go backward through it.
    """
    used = [parameter for parameter in parameters if parameter.requires_grad]
    flat = {
        name: torch.cat([part.flatten().double() for part in _gradients(loss, used)]) for name, loss in losses.items()
    }
    norms = {f"gradient_{name}": float(vector.norm()) for name, vector in flat.items()}
    names = list(flat)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            cosine = torch.nn.functional.cosine_similarity(flat[first], flat[second], dim=0)
            norms[f"gradient_cosine_{first}_{second}"] = float(cosine)
    return norms


def _gradients(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if part is None else part for p, part in zip(parameters, found, strict=True)]
