"""`rspnet roi`: where two clips are alike, for both pretext tasks, as a picture and a video."""

from __future__ import annotations

from rspnet.config.roi import RoiConfig
from rspnet.config.rules import DEFAULT_WEIGHTS
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.files import sha256_of
from rspnet.core.progress import print_note
from rspnet.core.urls import as_path
from rspnet.core.weights_files import weights_file
from rspnet.data.cuts import ClipShape
from rspnet.engine.runtime import pick_device
from rspnet.features.roi_maps import WORTH, explain, read_clip
from rspnet.pretext.create import require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.run_folder import open_run_folder, write_result
from rspnet.show.roi_picture import write_pictures


def roi(config: RoiConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: an unreadable video, a bad checkpoint, or one without the two heads.
    """
    model = require_heads(load_pretrained(config.weights), task="roi").to(pick_device(config.device))
    num_frames, size = config.num_frames or model.config["num_frames"], config.size or model.config["size"]
    stride = config.stride or model.config.get("stride", 1)
    shape = ClipShape(num_frames, stride, size, model.fps)
    first = read_clip(as_path(config.first), shape, start_s=config.first_start)
    second = read_clip(as_path(config.second), shape, start_s=config.second_start)
    folder = open_run_folder(config.out, config, command="roi")
    explanations = explain(model, first, second)
    write_pictures(folder, (first, second), explanations, slow=4 / stride)
    own = explanations[0]
    write_result(
        folder,
        command="roi",
        protocol={
            "num_frames": num_frames,
            "stride": stride,
            "size": size,
            "fps": model.fps,
            "weights_sha256": sha256_of(weights_file(config.weights)),
        },
        results={
            "clips": [
                {"path": str(clip.path), "start_s": clip.start_s, "repeated_frames": clip.repeated}
                for clip in (first, second)
            ],
            "motion_similarity": own.motion_similarity,
            "appearance_similarity": own.appearance_similarity,
            "files": ["roi.png", "roi.mp4"],
            "worth": f"Of such maps by the weights {DEFAULT_WEIGHTS}: {WORTH}",
        },
    )
    text = f"motion {own.motion_similarity:.3f}, appearance {own.appearance_similarity:.3f}: {folder / 'roi.png'}"
    console = PlainConsole(stderr=True)
    console.print(text)
    for clip in (first, second):
        if clip.repeated:
            missing = f"{counted(clip.repeated, 'frame')} of {num_frames}"
            print_note(console, f"{str(clip.path)!r} ends before the clip does: {missing} repeat its last one")
    print_note(console, f"of such maps by the weights {DEFAULT_WEIGHTS}: {WORTH}")
