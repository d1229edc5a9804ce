# %% [markdown]
# # Features of my folder
#
# Every video of a folder becomes a few vectors: one for every two seconds, with its times. They go into a folder of
# Parquet files, which pandas, polars and DuckDB open as it is. Set `MY_VIDEOS` to your folder; without it small videos
# of drawn people are made, whose acts we know.

# %%
import os
from pathlib import Path

import numpy as np

import rspnet
from rspnet.cli import main as rspnet_command
from rspnet.data.synthetic.acts import plan_acts, write_acts

work = Path(os.environ.get("EXAMPLE_OUT", "example-run")) / "features"
videos = Path(os.environ.get("MY_VIDEOS", work / "videos"))
if "MY_VIDEOS" not in os.environ and not (videos / "clips.csv").exists():
    count = int(os.environ.get("EXAMPLE_VIDEOS", "32"))
    write_acts(videos, plan_acts(num_videos=count, seed=0, size=64))

# %% [markdown]
# The command line does the same: `rspnet embed my_videos --window_s 2 --hop_s 1 --out features`. Run it
# again after a stop or with new videos, and it does only what is missing. `--dry_run` says what it will cost.
# (`--num_workers 0` reads videos in this process, as a notebook needs it; leave it out on the command line.)

# %%
words = ["--window_s=2", "--hop_s=1", "--num_workers=0"]
if rspnet_command(["embed", str(videos), "--weights=rspnet-small", f"--out={work / 'features'}", *words]) != 0:
    raise SystemExit("no features: see the message above")

# %% [markdown]
# A row is a window. `features` is what the backbone sees, `motion` how things move, `appearance` how they look; the
# last two are unit vectors, so that a product of two is their cosine.

# %%
found = rspnet.read_features(work / "features")
print(found.table.select(["name", "start_s", "end_s"]).slice(0, 5).to_pylist())
print(f"{len(found)} windows; features {found.features.shape}, motion {found.motion.shape}")

# %% [markdown]
# The window that moves most like the first, in another video: compare the two names.

# %%
names = np.array(found.table["name"].to_pylist())
cosines = found.motion @ found.motion[0]
cosines[names == names[0]] = -1
nearest = int(cosines.argmax())
start_s = found.table["start_s"][nearest].as_py()
print(f"{names[0]} moves most like {names[nearest]} at {start_s:.0f} s (cosine {cosines[nearest]:.2f})")
