# %% [markdown]
# # My own backbone
#
# A network of your own learns by relative speed and appearance, too, and then stands wherever one of ours does. It is a
# class with its stages and a name. `MY_VIDEOS` is your folder; without it small videos of moving shapes are made.

# %%
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

import rspnet
from rspnet.data.synthetic.procedural import plan_clips, write_set

work = Path(os.environ.get("EXAMPLE_OUT", "example-run")) / "backbone"
videos = Path(os.environ.get("MY_VIDEOS", work / "videos"))
if "MY_VIDEOS" not in os.environ and not (videos / "clips.csv").exists():
    count = int(os.environ.get("EXAMPLE_VIDEOS", "32"))
    write_set(videos, plan_clips(num_videos=count, seed=0, num_frames=40, size=64))

# %% [markdown]
# `num_channels` follows from `input`: 3 for colours or differences of frames, 6 for both. The last stage gives the
# feature map `[B, num_features, T', H', W']`; pooling, heads, losses and queues are there already.


# %%
class TwoLayers(rspnet.Backbone):
    """Two convolutions with strides in time and space."""

    def __init__(self, *, name: str, input: str) -> None:  # noqa: A002 - builders are called by this name
        super().__init__(name=name, num_features=64, input=input)  # type: ignore[arg-type]
        self.first = nn.Sequential(nn.Conv3d(self.num_channels, 32, 3, (1, 2, 2), 1), nn.BatchNorm3d(32), nn.ReLU())
        self.second = nn.Sequential(nn.Conv3d(32, 64, 3, 2, 1), nn.BatchNorm3d(64), nn.ReLU())

    def stages(self) -> Sequence[Callable[[torch.Tensor], torch.Tensor]]:
        """One after the other."""
        return [self.first, self.second]


rspnet.register_backbone("two_layers", TwoLayers)

# %% [markdown]
# A few steps show that it runs; thousands make it worth having. (`num_workers` 0 reads videos in this process.) With
# the class in a file, the command line knows it, too: `rspnet pretrain my_videos --plugin my_backbone.py
# --model.backbone two_layers`.

# %%
run = rspnet.pretrain(
    videos,
    out=work / "run",
    recipe="small-cpu",
    resume=True,
    model={"backbone": "two_layers", "input": "difference", "queue_size": 8},
    data={"num_frames": 8, "size": 32, "batch_size": 8, "num_workers": 0},
    max_steps=int(os.environ.get("EXAMPLE_STEPS", "20")),
)
print(f"which clip plays at my speed? {run.results['last']['motion_accuracy']:.0%} right (chance 50%)")

# %% [markdown]
# Its weights open like any others.

# %%
some = sorted(path for path in videos.rglob("*") if path.suffix in (".mp4", ".avi"))[:4]
vectors = rspnet.Embedder(run, num_clips=2).embed(some)
print(f"{len(some)} videos: features {vectors.shape}")
