# %% [markdown]
# # Find this motion
#
# Show one clip, and find where else something moves like that, whatever it looks like. `MY_VIDEOS` is your folder, and
# `MY_QUERY` the video to ask with; without them small videos of drawn people are made, whose acts their names tell.
# Needs the extra `search`.

# %%
import os
from pathlib import Path

import rspnet
from rspnet.cli import main as rspnet_command
from rspnet.data.synthetic.acts import plan_acts, write_acts

work = Path(os.environ.get("EXAMPLE_OUT", "example-run")) / "search"
videos = Path(os.environ.get("MY_VIDEOS", work / "videos"))
if "MY_VIDEOS" not in os.environ and not (videos / "clips.csv").exists():
    count = int(os.environ.get("EXAMPLE_VIDEOS", "32"))
    write_acts(videos, plan_acts(num_videos=count, seed=0, size=64))

# %% [markdown]
# First a library: `rspnet index my_videos --out library`. Run it again after changes; only new and changed videos are
# read, and those that are gone leave it.

# %%
store = str(work / "library")
if rspnet_command(["index", str(videos), f"--out={store}", "--num_workers=0"]) != 0:
    raise SystemExit("no library: see the message above")
library = rspnet.Library.open(store)

# %% [markdown]
# `alpha` 1 asks for the same motion, 0 for the same appearance. A hit names the part of the video that is like the
# query.

# %%
drawn = sorted(path for path in videos.rglob("*") if path.suffix in (".mp4", ".avi"))
query = Path(os.environ.get("MY_QUERY", drawn[0]))
print(f"query: {query.name}")
by_motion = library.search(query, alpha=1, k=3)
by_appearance = library.search(query, alpha=0, k=3)
for asked, hits in (("motion", by_motion), ("appearance", by_appearance)):
    for hit in hits:
        print(f"by {asked}: {Path(hit.path).name} {hit.start_s:.1f} to {hit.end_s:.1f} s, score {hit.score:.2f}")

# %% [markdown]
# Not quite? Add a second example, a part of a video, and what is not meant. The page does the same with the mouse:
# `rspnet serve library`.

# %%
like = [rspnet.ClipOf(query), rspnet.ClipOf(by_motion[0].path, by_motion[0].start_s, by_motion[0].end_s)]
better = library.search_like(like, [rspnet.ClipOf(by_motion[-1].path)], alpha=1, k=3)
print("again:", ", ".join(Path(hit.path).name for hit in better))
