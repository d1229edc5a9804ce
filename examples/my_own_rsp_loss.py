# %% [markdown]
# # My own RSP loss
#
# The paper compares speeds by a margin: clips at the same speed must be more alike than clips at different speeds, by a
# fixed amount, and no more than that. Here is another rule, a logistic loss, which never stops asking for a larger
# difference. The package is not changed: a file of your own registers the method. `MY_VIDEOS` is your folder; without
# it small videos of moving shapes are made.

# %%
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import softplus

import rspnet
from rspnet.data.synthetic.procedural import plan_clips, write_set

work = Path(os.environ.get("EXAMPLE_OUT", "example-run")) / "loss"
videos = Path(os.environ.get("MY_VIDEOS", work / "videos"))
if "MY_VIDEOS" not in os.environ and not (videos / "clips.csv").exists():
    count = int(os.environ.get("EXAMPLE_VIDEOS", "32"))
    write_set(videos, plan_clips(num_videos=count, seed=0, num_frames=40, size=64))

# %% [markdown]
# The model is RSPNet but for `motion_loss`, which gets unit vectors `[B, D]` of the motion head: the query, a key at
# the query's speed, a key at the other speed. Everything else stays: key encoder, queue, A-VID, resume, several GPUs.


# %%
class SoftRSP(rspnet.RSPNet):
    """RSPNet with log(1 + exp(-difference / temperature)) in place of the margin."""

    def motion_loss(self, query: torch.Tensor, same_speed: torch.Tensor, other_speed: torch.Tensor) -> torch.Tensor:
        """Mean over the batch, 0-dim."""
        difference = (query.float() * (same_speed - other_speed).float()).sum(dim=1)
        return softplus(-difference / self.config["temperature"]).mean()


@rspnet.register_method
@dataclass(frozen=True)
class SoftRSPMethod(rspnet.RSPNetMethod):
    """The method's options are RSPNet's; a field with a default here would be another one, `--model.FIELD`."""

    method = "soft_rsp"
    summary = "RSP with a logistic loss, and A-VID"

    @classmethod
    def build(cls, backbone: str, **arguments: Any) -> SoftRSP:
        """The model; the arguments are those of RSPNet."""
        return SoftRSP(backbone, **arguments)


# %% [markdown]
# Train with it. With the two classes in a file the command line knows the method, too:
# `rspnet pretrain my_videos --plugin my_loss.py --model.method soft_rsp`.

# %%
run = rspnet.pretrain(
    videos,
    out=work / "run",
    recipe="small-cpu",
    resume=True,
    model={"method": "soft_rsp", "backbone": "r3d_10_slim", "input": "difference", "queue_size": 8},
    data={"num_frames": 8, "size": 32, "batch_size": 8, "num_workers": 0},
    max_steps=int(os.environ.get("EXAMPLE_STEPS", "20")),
)
print(f"which clip plays at my speed? {run.results['last']['motion_accuracy']:.0%} right (chance 50%)")

# %% [markdown]
# The checkpoint knows the method's name; Python opens it where this file has been imported, commands with `--plugin`.

# %%
model = run.load()
print(type(model).__name__, "has learned", model.config["backbone"])
