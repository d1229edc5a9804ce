from __future__ import annotations

import sys

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from rspnet.core.errors import RSPNetError
from rspnet.show import contact_sheet as module
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet, motion_trace
from rspnet.video.writer import write_video

GREEN, RED, AMBER, GREY = module._GREEN, module._RED, module._AMBER, module._GREY


def _frames(num=30, height=48, width=48):
    """A white square that walks to the right on black."""
    frames = np.zeros((num, height, width, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[20:28, t : t + 8] = 255
    return frames


def _share(path, colour):
    picture = matplotlib.image.imread(path)[..., :3]
    return float((np.abs(picture - to_rgb(colour)).max(axis=2) < 0.02).mean())


def test_frames_are_green_amber_or_red_by_the_labels(tmp_path):
    query = SheetClip(_frames(), ("walk", "white"))
    for labels, colour in ((("walk", "white"), GREEN), (("walk", "blue"), AMBER), (("run", "blue"), RED)):
        path = contact_sheet(
            tmp_path / "sheet.png", [SheetRow(query, [(SheetClip(_frames(), labels), 0.5)])], title="T"
        )
        shares = {c: _share(path, c) for c in (GREEN, AMBER, RED)}
        assert max(shares, key=shares.get) == colour
        assert shares[colour] > 0.002
        if colour != AMBER:
            assert sum(shares.values()) < shares[colour] * 1.05


def test_labels_that_do_not_count_change_no_frame(tmp_path):
    query, hit = SheetClip(_frames(), ("walk", "white")), SheetClip(_frames(), ("walk", "blue"))
    for counted, colour in (((0,), GREEN), ((1,), RED), (None, AMBER)):
        path = contact_sheet(tmp_path / "sheet.png", [SheetRow(query, [(hit, 0.5)], "by motion", counted)])
        shares = {c: _share(path, c) for c in (GREEN, AMBER, RED)}
        assert max(shares, key=shares.get) == colour
        assert shares[colour] > 0.002


def test_no_labels_means_a_grey_frame(tmp_path):
    path = contact_sheet(tmp_path / "s.png", [SheetRow(SheetClip(_frames()), [(SheetClip(_frames()), 1.0)])])
    assert _share(path, GREY) > 0.001
    assert _share(path, GREEN) == _share(path, RED) == _share(path, AMBER) == 0


def test_the_sheet_grows_with_rows_and_hits_and_takes_files_of_other_shapes(tmp_path):
    write_video(tmp_path / "wide.mp4", _frames(40, 48, 96), fps=25)
    wide, square = SheetClip(tmp_path / "wide.mp4", ("a" * 60,)), SheetClip(_frames(1), ("b",))
    small = matplotlib.image.imread(contact_sheet(tmp_path / "1.png", [SheetRow(square, [(wide, 0.1)])]))
    rows = [SheetRow(wide, [(square, 0.9), (wide, 0.8), (square, -0.1)]), SheetRow(square, [])]
    large = matplotlib.image.imread(contact_sheet(tmp_path / "deep" / "2.png", rows))
    assert large.shape[0] > small.shape[0]
    assert large.shape[1] > small.shape[1]
    assert not list(tmp_path.rglob("*.tmp"))


def test_drawing_leaves_pyplot_alone(tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    contact_sheet(tmp_path / "s.png", [SheetRow(SheetClip(_frames()), [])])
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_the_motion_trace_is_bright_on_the_way_and_runs_from_violet_to_yellow():
    trace = motion_trace(_frames()).astype(int)
    assert trace.shape == (48, 48, 3)
    assert trace[:18].max() == trace[30:].max() == 0
    early, late = trace[24, 1], trace[24, 34]
    assert early[2] > early[1]  # violet: more blue than green
    assert late[0] > 100
    assert late[1] > late[2]  # yellow
    assert motion_trace(_frames(1)).max() == 0
    assert motion_trace(np.full((5, 8, 8, 3), 90, np.uint8)).max() == 0


@pytest.mark.parametrize(
    "video", [np.zeros((4, 8, 8), np.uint8), np.zeros((4, 8, 8, 3), np.float32), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_wrong_frames_are_named(tmp_path, video):
    with pytest.raises(RSPNetError, match=r"video has shape .*uint8 \[T, H, W, 3\]"):
        contact_sheet(tmp_path / "s.png", [SheetRow(SheetClip(video), [])])
    assert not (tmp_path / "s.png").exists()


def test_no_rows_and_a_folder_in_the_way_are_errors(tmp_path):
    with pytest.raises(RSPNetError, match="there are no rows"):
        contact_sheet(tmp_path / "s.png", [])
    (tmp_path / "s.png").mkdir()
    with pytest.raises(RSPNetError, match="cannot write"):
        contact_sheet(tmp_path / "s.png", [SheetRow(SheetClip(_frames()), [])])
