"""What the reader shows of damaged videos, by codec: right pictures, refusals, and wrong pictures that nothing told.

    PYTHONPATH=tests python benchmarks/damaged.py --cases 2000

Every file is a barcode video of 60 frames of 64x48 pixels with one to three kinds of damage, those of `helpers.fuzz`;
case N of a kind is the same in every run. Frames are asked for one by one. A frame counts as wrong where its barcode
contradicts itself or names no frame of the video (broken), where it is no later picture than one shown before it
(misplaced), or where some pixel is more than 40 of 255 levels off the undamaged picture (soup). Where the reader
itself says that another recording starts, order starts anew.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from helpers.fuzz import mutated
from helpers.videos import VP9, Picture, decode_plainly, read_barcode, write_barcode_video

from rspnet.core.errors import DecodeError
from rspnet.video.reader import open_video

SEED = 2026
FRAMES = 60
SIZE = (64, 48)
SOUP_LEVELS = 40
KINDS: dict[str, dict[str, Any]] = {
    "vp8.webm": {"codec": "libvpx", "options": VP9},
    "vp9.webm": {"codec": "libvpx-vp9", "options": VP9},
    "h264.flv": {"options": {"bf": "0"}},
    "h264.ts": {"options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}
WRONG = ("broken", "misplaced", "soup")


def shown(path: Path, right: list[Picture]) -> Counter[str]:
    """How many of a file's frames are of which sort; "opened" is 1 where the file was not refused as a whole."""
    found: Counter[str] = Counter()
    try:
        video = open_video(path)
    except DecodeError:
        return found
    latest = -1
    with video:
        found["opened"] = 1
        for index in range(len(video)):
            if index in video.joints:
                latest = -1
            try:
                frame = video.frames_at([index])[0]
            except DecodeError:
                found["refused"] += 1
                continue
            sort, latest = judged(frame, right, latest)
            found[sort] += 1
    return found


def judged(frame: Picture, right: list[Picture], latest: int) -> tuple[str, int]:
    """Sort of a shown frame, and the latest number that was shown up to it."""
    code = read_barcode(frame) if frame.shape == right[0].shape else None
    if code is None or code >= len(right):
        return "broken", latest
    if np.abs(frame.astype(int) - right[code]).max() > SOUP_LEVELS:
        return "soup", max(latest, code)
    return ("misplaced" if code <= latest else "right"), max(latest, code)


def measure(kind: str, cases: range, folder: Path) -> dict[str, Any]:
    """Counts of one kind of file over damaged cases."""
    whole = write_barcode_video(folder / kind, FRAMES, size=SIZE, gop=12, **KINDS[kind])
    right, data = decode_plainly(whole), whole.read_bytes()
    undamaged = shown(whole, right)
    assert undamaged == {"opened": 1, "right": FRAMES}, undamaged
    total: Counter[str] = Counter()
    damaged = folder / f"damaged {kind}"
    for case in cases:
        damaged.write_bytes(mutated(data, np.random.default_rng([SEED, case])))
        found = shown(damaged, right)
        total.update(found)
        total["files with a wrong frame"] += any(found[sort] for sort in WRONG)
    wrong = sum(total[sort] for sort in WRONG)
    return {
        "kind": kind,
        "files": len(cases),
        **{name: total[name] for name in ("opened", "right", "refused", *WRONG, "files with a wrong frame")},
        "wrong_share_of_shown": round(wrong / max(1, wrong + total["right"]), 4),
    }


def main() -> None:
    """Print a line of JSON for every kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="damaged files of every kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rspnet-damaged-") as folder:
        for kind in options.kinds:
            started = time.perf_counter()
            row = measure(kind, range(options.first, options.first + options.cases), Path(folder))
            print(json.dumps({**row, "seconds": round(time.perf_counter() - started)}), flush=True)


if __name__ == "__main__":
    main()
