# %% [markdown]
# # Ten labels to a timeline
#
# Label ten moments in a table, and get all others with their times: as a table, subtitles, BORIS and ELAN files, and a
# page of coloured strips. Here drawn people walk and, now and then, bow or do a jumping jack, each event another person
# at another place; five labels a class are ours to give. Needs the extra `probe`.

# %%
import csv
import os
from pathlib import Path

import numpy as np

from rspnet.cli import main as rspnet_command
from rspnet.core.rng import derive_seed, numpy_rng
from rspnet.data.synthetic.acting_picture import FRAMES_PER_SECOND
from rspnet.data.synthetic.acts import OUTFITS, PLACES, ActClip, render_act
from rspnet.video.writer import write_video

work = Path(os.environ.get("EXAMPLE_OUT", "example-run")) / "timeline"
labels_a_class = int(os.environ.get("EXAMPLE_VIDEOS", "5"))
ACT_SECONDS = 4

# %% [markdown]
# A film alternates walking and events. To use your own, skip this cell, and write a `labels.csv` with the columns
# `path,label,start_s,end_s` by hand, by BORIS, or in the page (`rspnet serve`).


# %%
def film(path: Path, acts: list[str]) -> list[tuple[str, str, int, int]]:
    """Write a film of these acts and of walking between them; returns its events as rows of a table of labels."""
    frames, rows = [], []
    played = ["walk"] * (2 * len(acts) + 1)
    played[1::2] = acts
    for place, act in enumerate(played):
        rng = numpy_rng("example-looks", path.name, place)
        looks = rng.choice(list(OUTFITS)), rng.choice(list(PLACES))
        seed = derive_seed("example-act", path.name, place)
        clip = ActClip(act, act, *looks, "train", ACT_SECONDS * FRAMES_PER_SECOND, 64, seed)
        frames.append(render_act(clip))
        if act != "walk":
            rows.append((str(path.absolute()), act, place * ACT_SECONDS, (place + 1) * ACT_SECONDS))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.concatenate(frames), fps=FRAMES_PER_SECOND)
    return rows


labels = []
for number in range(labels_a_class):
    labels += film(work / "labelled" / f"{number}.mp4", ["bow", "jumping jack"])
truth = film(work / "new" / "film.mp4", ["jumping jack", "bow", "bow", "jumping jack"])
with (work / "labels.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("path", "label", "start_s", "end_s"), *labels])

# %% [markdown]
# Features first, then the classifier. `--background` takes the unlabelled time of labelled videos for a class of its
# own. What it prints is cross-validated by video, with intervals.

# %%
features, classifier, timeline = (str(work / name) for name in ("features", "classifier", "timeline"))
commands = [
    ["embed", str(work / "labelled"), "--weights=rspnet-small", "--window_s=2", "--hop_s=1", f"--out={features}"],
    ["classify", "fit", str(work / "labels.csv"), f"--features={features}", "--background", f"--out={classifier}"],
    ["classify", "run", classifier, str(work / "new"), f"--out={timeline}"],
]
for words in commands:
    here = [] if "fit" in words else ["--num_workers=0"]  # reads videos in this process, as a notebook needs it
    if rspnet_command([*words, *here]) != 0:
        raise SystemExit("it stopped: see the message above")

# %% [markdown]
# `timeline/timeline.html` shows the strips; `events.csv` is a table of labels again: correct it, and fit again.

# %%
with (Path(timeline) / "events.csv").open(newline="") as file:
    events = list(csv.DictReader(file))
print("true: ", ", ".join(f"{name} {start}-{end} s" for _, name, start, end in truth))
found = [f"{row['label']} {float(row['start_s']):.0f}-{float(row['end_s']):.0f} s" for row in events]
print("found:", ", ".join(found))
