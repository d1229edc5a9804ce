"""Weights others have published and this package reads: what they are, what they score, where they come from."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.core.errors import ConfigError
from rspnet.core.names import known_names

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
_RSPNET = "https://github.com/PeihaoChen/RSPNet"
_RSPNET_LICENCE = "none stated (the repository has no licence)"
_TORCHVISION = "https://pytorch.org/vision/stable/models.html"
_TORCHVISION_LICENCE = (
    "code BSD-3-Clause; the weights 'may have their own licenses or terms and conditions derived from the dataset used "
    "for training'"
)


@dataclass(frozen=True)
class PublishedWeights:
    """One published file.

    Attributes:
        name: what the catalogue calls it.
        url: the file.
        page: where its makers describe it.
        backbone: our name of the network.
        trained_on: data and method.
        clip: frames x size it was trained with.
        mean_std: mean and deviation its input was normalised with, per channel, of values 0..1.
        scores: as its makers state them (none measured by us).
        licence: what is stated.
        sha256_start: first hexadecimal digits of the SHA-256, where its makers state them in the file's name.
    """

    name: str
    url: str
    page: str
    backbone: str
    trained_on: str
    clip: str
    mean_std: tuple[tuple[float, ...], tuple[float, ...]]
    scores: str
    licence: str
    sha256_start: str = ""

    @property
    def file_name(self) -> str:
        """The file's own name."""
        return self.url.rpartition("/")[2]


def _rspnet(name: str, *, file: str, backbone: str, epochs: int, size: int, scores: str) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        url=f"{_RSPNET}/releases/download/pretrained_model/{file}",
        page=_RSPNET,
        backbone=backbone,
        trained_on=f"Kinetics-400, RSPNet, {epochs} epochs, no labels",
        clip=f"16 x {size}",
        mean_std=IMAGENET,
        scores=f"fine-tuned top-1: {scores}",
        licence=_RSPNET_LICENCE,
    )


def _torchvision(name: str, *, file: str, backbone: str, scores: str) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        url=f"https://download.pytorch.org/models/{file}",
        page=_TORCHVISION,
        backbone=backbone,
        trained_on="Kinetics-400, with labels",
        clip="16 x 112",
        mean_std=KINETICS,
        scores=f"Kinetics-400, 5 clips a video at 15 fps: {scores}",
        licence=_TORCHVISION_LICENCE,
        sha256_start=file.rpartition("-")[2].removesuffix(".pth"),
    )


CATALOGUE: dict[str, PublishedWeights] = {
    entry.name: entry
    for entry in (
        _rspnet(
            "rspnet-s3dg-1000", file="model_best_s3dg_1000epoch.pth.tar", backbone="s3dg", epochs=1000, size=224,
            scores="UCF101 93.7, HMDB51 64.7, Something-Something V2 55.0",
        ),
        _rspnet(
            "rspnet-s3dg-200", file="model_best_s3dg_200epoch.pth.tar", backbone="s3dg", epochs=200, size=224,
            scores="UCF101 89.9, HMDB51 59.6",
        ),
        _rspnet(
            "rspnet-r2plus1d_vcop-200", file="model_best_r21d_200epoch.pth.tar", backbone="r2plus1d_vcop", epochs=200,
            size=112, scores="UCF101 81.1, HMDB51 44.6",
        ),
        _rspnet(
            "rspnet-r3d_18-200", file="model_best_resnet18_200epoch.pth.tar", backbone="r3d_18", epochs=200, size=112,
            scores="UCF101 74.3, HMDB51 41.8, Something-Something V2 44.0",
        ),
        _rspnet(
            "rspnet-c3d-200", file="model_best_c3d_200epoch.pth.tar", backbone="c3d", epochs=200, size=112,
            scores="UCF101 76.7, HMDB51 44.6, Something-Something V2 47.8",
        ),
        _torchvision(
            "torchvision-r2plus1d_18", file="r2plus1d_18-91a641e6.pth", backbone="r2plus1d_18",
            scores="top-1 67.5, top-5 86.2",
        ),
        _torchvision(
            "torchvision-r3d_18", file="r3d_18-b3b3357e.pth", backbone="r3d_18_torchvision",
            scores="top-1 63.2, top-5 83.5",
        ),
    )
}  # fmt: skip


def published(name: str) -> PublishedWeights:
    """The entry called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"no published weights {name!r}: {known_names(name, CATALOGUE)}")
    return CATALOGUE[name]
