"""What other programs write: joined recordings, stamps that jump, covers, odd colours, pixels and angles."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.videos import (
    barcode_picture,
    decode_plainly,
    plain_picture,
    read_barcode,
    with_display_matrix,
    write_barcode_video,
    write_video,
)

from rspnet.cli import main
from rspnet.core.errors import DecodeError
from rspnet.video.clips import tick_frames, true_windows, uniform_windows
from rspnet.video.colour_spaces import rgb_by_formula
from rspnet.video.packets import PacketInfo, parsed_cuts
from rspnet.video.reader import View, open_video

LENGTH = 24
TINY = (64, 48)


def found_by_doctor(tmp_path: Path, *options: str) -> dict[str, str]:
    """Kinds and details of what the doctor finds in the one video of a folder."""
    main(["doctor", str(tmp_path), "--out", str(tmp_path / "out"), "--num-workers", "1", "--num-frames", "4", *options])
    (report,) = json.loads((tmp_path / "out" / "report.json").read_text())
    return {finding["kind"]: finding["detail"] for finding in report["findings"]}


# --- joined recordings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "lengths"),
    [
        ("a.ts", "libx264", (24, 24)),
        ("a.ts", "libx264", (24, 10)),
        ("a.ts", "libx264", (10, 24, 13)),
        ("a.mpg", "mpeg2video", (24, 24)),
        ("a.mpg", "mpeg2video", (10, 24, 13)),
        ("a.mkv", "libx264", (24, 10)),  # of a third one FFmpeg shows nothing
    ],
)
def test_joined_recordings_are_read_one_after_another(
    tmp_path: Path, name: str, codec: str, lengths: tuple[int, ...]
) -> None:
    """Their clocks overlap: by the time stamps their frames would alternate."""
    path = tmp_path / name
    parts = [
        write_barcode_video(path, length, size=TINY, codec=codec, options={"bf": "2"}).read_bytes()
        for length in lengths
    ]
    path.write_bytes(b"".join(parts))
    codes = [code for length in lengths for code in range(length)]
    joints = np.cumsum(lengths)[:-1].tolist()
    with open_video(path) as video:
        assert [read_barcode(frame) for frame in video.frames_at(range(len(video)))] == codes
        for index in np.random.default_rng(0).permutation(len(codes))[:10]:
            assert read_barcode(video.frames_at([index])[0]) == codes[index]
        assert video.joints == joints
        assert video.fps == pytest.approx(30, rel=0.02)
        times = video.times
        assert (np.diff(times) > 0).all()
        for fps in (None, 30.0, 12.0):
            shown = tick_frames(times, fps)
            for start in np.flatnonzero(true_windows(times, 6, fps)):
                first, last = shown[start], shown[start + 5]
                assert not any(first < joint <= last for joint in joints)
        assert true_windows(times, 6, None).sum() == sum(length - 5 for length in lengths)
    assert found_by_doctor(tmp_path)["joined"] == f"another recording starts with frame {', '.join(map(str, joints))}"


def test_a_gap_in_one_recording_is_no_joint(tmp_path: Path) -> None:
    path = write_barcode_video(tmp_path / "a.ts", LENGTH, size=TINY, times=[i + 300 * (i > 9) for i in range(LENGTH)])
    with open_video(path) as video:
        assert video.joints == []
        assert [read_barcode(frame) for frame in video.frames_at(range(LENGTH))] == list(range(LENGTH))


# --- stamps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [200 * 3600 * 30, 10**9 * 30])
@pytest.mark.parametrize("place", [LENGTH // 2, LENGTH - 1])
def test_a_late_stamp_makes_no_more_ticks_than_frames_bear(place: int, late: int) -> None:
    times = np.array([i + late * (i >= place) for i in range(LENGTH)]) / 30
    for fps in (1.0, 12.5, 30.0, 60.0):
        ticks = tick_frames(times, fps)
        assert len(ticks) <= (LENGTH + 10) * max(1, fps / 30) + 1
        assert sorted(set(ticks.tolist())) == list(range(LENGTH)) or fps < 30
        for start in np.flatnonzero(true_windows(times, 5, fps)) if len(ticks) > 4 else ():
            assert not ticks[start] < place <= ticks[start + 4]
    assert true_windows(times, 5, 30.0).any()


def test_a_time_lapse_has_ticks_by_its_frames(tmp_path: Path) -> None:
    path = write_barcode_video(
        tmp_path / "lapse.mkv", LENGTH, size=TINY, options={"bf": "2"}, times=[i * 768 * 30 for i in range(LENGTH)]
    )
    with open_video(path) as video:
        times = video.times
        np.testing.assert_allclose(times, 768 * np.arange(LENGTH))
        assert uniform_windows(times, 8).all()  # native windows are sound
        assert video.fps == pytest.approx(1 / 768)
        assert len(tick_frames(times, 25.0)) <= 16 * LENGTH
        assert not true_windows(times, 8, 25.0).any()
    found = found_by_doctor(tmp_path, "--fps", "25")
    assert "0% of its windows" in found["uneven"]


def test_the_average_rate_is_that_of_the_stamps(tmp_path: Path) -> None:
    """A recording's header says the rate that was asked of the camera."""
    options = {"deadline": "realtime", "cpu-used": "8"}
    path = write_barcode_video(
        tmp_path / "live.webm",
        LENGTH,
        size=TINY,
        codec="libvpx",
        options=options,
        times=[6 * i + i % 2 for i in range(LENGTH)],
    )
    with av.open(str(path)) as container:
        said = container.streams.video[0].average_rate
    assert said is not None
    assert float(said) > 20
    with open_video(path) as video:
        assert video.fps == pytest.approx(5, rel=0.02)
        assert video.fps == pytest.approx((LENGTH - 1) / (video.times[-1] - video.times[0]), rel=1e-6)


# --- several streams -----------------------------------------------------------------------------------------------


def write_two_streams(path: Path, others: list[np.ndarray], *, fps: int) -> None:
    """An unmarked stream of pictures first, and then a barcode video of LENGTH frames."""
    with av.open(str(path), "w") as container:
        small: Any = container.add_stream("mjpeg", rate=fps, options={"strict": "-1"})
        small.height, small.width, small.pix_fmt = *others[0].shape[:2], "yuvj420p"
        large: Any = container.add_stream("libx264", rate=25, options={"bf": "2"})
        large.width, large.height, large.pix_fmt = *TINY, "yuv420p"
        for stream, pictures, rate in (
            (small, others, fps),
            (large, [barcode_picture(index, size=TINY) for index in range(LENGTH)], 25),
        ):
            for index, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
@pytest.mark.parametrize("count", [1, 2])
def test_the_film_is_read_and_not_its_cover_or_preview(tmp_path: Path, name: str, count: int) -> None:
    write_two_streams(tmp_path / name, [np.full((32, 32, 3), 90, np.uint8)] * count, fps=1)
    with open_video(tmp_path / name) as video:
        assert [read_barcode(frame) for frame in video.frames_at(range(len(video)))] == list(range(LENGTH))
    assert found_by_doctor(tmp_path)["streams"] == "2 video streams; number 1 of the file is read"


# --- colours -------------------------------------------------------------------------------------------------------

RGB = [(200, 60, 90), (20, 180, 70), (90, 80, 220), (128, 128, 128), (250, 250, 250), (10, 10, 10)]


def ycgco(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    """H.273, equations 45 to 47, on numbers from 0 to 1."""
    r, g, b = (value / 255 for value in rgb)
    return 0.25 * r + 0.5 * g + 0.25 * b, -0.25 * r + 0.5 * g - 0.25 * b, 0.5 * r - 0.5 * b


def oetf(light: float) -> float:
    return 4.5 * light if light < 0.0181 else 1.0993 * light**0.45 - 0.0993


def constant_luminance(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    """BT.2020, table 4: luma of linear light, its transfer undone by bisection."""
    lights = []
    for value in rgb:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if oetf(middle) < value / 255 else (low, middle)
        lights.append(low)
    luma = oetf(0.2627 * lights[0] + 0.6780 * lights[1] + 0.0593 * lights[2])
    blue, red = rgb[2] / 255 - luma, rgb[0] / 255 - luma
    return luma, blue / (1.9404 if blue <= 0 else 1.5820), red / (1.7182 if red <= 0 else 0.9938)


def coded_frame(colour: tuple[float, float, float], space: int, *, bits: int, full: bool, size: tuple[int, int]) -> Any:
    """A flat frame of one colour in 4:2:0."""
    scale = 2 ** (bits - 8)
    frame = av.VideoFrame(*size, "yuv420p" if bits == 8 else f"yuv420p{bits}le")
    for plane, value, is_luma in zip(frame.planes, colour, (True, False, False), strict=True):
        if full:
            code = value * (2**bits - 1) + (0 if is_luma else 2 ** (bits - 1))
        else:
            code = scale * (219 * value + 16 if is_luma else 224 * value + 128)
        dtype = np.uint8 if bits == 8 else np.uint16
        plane.update(np.full((plane.height, plane.line_size // dtype().itemsize), round(code), dtype).tobytes())
    frame.colorspace = space
    frame.color_range = 2 if full else 1
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize(("space", "formula"), [(8, ycgco), (10, constant_luminance)])
def test_colour_spaces_that_ffmpeg_does_not_convert(space: int, formula: Any, bits: int, full: bool) -> None:
    for rgb in RGB:
        frame = coded_frame(formula(rgb), space, bits=bits, full=full, size=(36, 20))
        with pytest.raises(av.error.FFmpegError):
            frame.reformat(format="rgb24")
        picture = rgb_by_formula(frame)
        assert picture.shape == (20, 36, 3)
        assert np.abs(picture.astype(int) - rgb).max() <= 4, (rgb, picture[0, 0])


def write_flat(path: Path, space: int, pictures: list[tuple[int, int, int]], *, size: tuple[int, int]) -> None:
    """An H.264 file of flat pictures in YCgCo, tagged with a colour space."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.colorspace = space
        stream.codec_context.color_range = 1
        for index, rgb in enumerate(pictures):
            frame = coded_frame(ycgco(rgb), space, bits=8, full=False, size=size)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("size", [(128, 96), (1024, 768)])
def test_such_files_are_read_by_both_routes(tmp_path: Path, size: tuple[int, int]) -> None:
    write_flat(tmp_path / "a.mkv", 8, RGB, size=size)
    with open_video(tmp_path / "a.mkv") as video:
        whole = video.frames_at(range(len(RGB)))
        (small,) = video.read_views([View(range(len(RGB)), box=(10, 20, 60, 70), size=(24, 28))])
    assert whole.shape == (len(RGB), size[1], size[0], 3)
    for frames in (whole, small):
        for frame, rgb in zip(frames, RGB, strict=True):
            assert np.abs(frame.astype(int) - rgb).max() <= 5


@pytest.mark.parametrize("size", [(128, 96), (1024, 768)])
def test_colours_that_nothing_converts_are_named_and_no_damage(tmp_path: Path, size: tuple[int, int]) -> None:
    write_flat(tmp_path / "a.mkv", 14, RGB, size=size)  # ICtCp
    with open_video(tmp_path / "a.mkv") as video:
        for view in (View([0]), View([0], size=(32, 32))):
            with pytest.raises(
                DecodeError, match=r"cannot be turned into RGB \(yuv420p, colour space 14 of H.273: .*\)"
            ):
                video.read_views([view])


# --- pixels and angles ---------------------------------------------------------------------------------------------


def write_square(path: Path, aspect: Fraction, *, rotation: int = 0, height: int = 120, codec: str = "libx264") -> None:
    """A white square of 60 square pixels a side on black, in pixels that are not square."""
    width = round(160 * height / 120 / aspect) // 2 * 2
    picture = np.zeros((height, width, 3), np.uint8)
    columns = round(60 / aspect)
    picture[30:90, width // 4 : width // 4 + columns] = 255

    def setup(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = aspect
        stream.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)

    write_video(path, [picture] * 3, codec=codec, setup=setup)


def square_sides(picture: np.ndarray) -> tuple[int, int]:
    """Height and width of the white part."""
    white = picture.mean(axis=2) > 128
    return int(white.any(axis=1).sum()), int(white.any(axis=0).sum())


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("aspect", [Fraction(16, 9), Fraction(8, 9), Fraction(64, 45), Fraction(1, 2)])
@pytest.mark.parametrize("height", [120, 720])
def test_squares_are_square(tmp_path: Path, aspect: Fraction, rotation: int, height: int) -> None:
    path = tmp_path / "a.mp4"
    write_square(path, aspect, rotation=rotation, height=height)
    with open_video(path) as video:
        frame = video.frames_at([1])[0]
        assert frame.shape[:2] == (video.height, video.width)
        down, across = square_sides(frame)
        assert abs(down - 60) <= 1
        assert abs(across - 60) <= 2
        side = min(video.height, video.width)
        crops = [
            View([1], box=(0, 0, side, side), size=(side // 2, side // 2)),
            View([1], box=(video.height - side, video.width - side, side, side)),
        ]
        for view, (crop,) in zip(crops, video.read_views(crops), strict=True):
            top, left, *_ = view.box or ()
            expected = frame[top : top + side, left : left + side].astype(int)
            if view.size is not None:
                expected = expected.reshape(side // 2, 2, side // 2, 2, 3).mean(axis=(1, 3))
            assert np.abs(crop - expected).mean() < 3
    if rotation == 0 and height == 120:
        assert (
            found_by_doctor(tmp_path, "--num-frames", "2")["stretched"]
            == f"pixels are {aspect.numerator}:{aspect.denominator}"
        )


def test_an_absurd_shape_of_pixels_is_not_believed(tmp_path: Path) -> None:
    write_square(tmp_path / "a.mkv", Fraction(1))
    with open_video(tmp_path / "a.mkv") as video:
        shape = (video.height, video.width)
    for aspect in (Fraction(100, 1), Fraction(1, 100)):
        path = write_video(
            tmp_path / "b.mkv", [np.zeros((120, 160, 3), np.uint8)] * 2,
            setup=lambda stream, aspect=aspect: setattr(stream.codec_context, "sample_aspect_ratio", aspect),  # type: ignore[misc]
        )  # fmt: skip
        with open_video(path) as video:
            assert (video.height, video.width) == shape


@pytest.mark.parametrize("degrees", [1, -2, 5, 89, 95, 178, -85])
def test_a_small_error_of_angle_is_no_other_angle(tmp_path: Path, degrees: int) -> None:
    path = write_barcode_video(tmp_path / "a.mp4", 3)
    path.write_bytes(with_display_matrix(path.read_bytes(), turned_by(degrees)))
    turns = round(degrees / 90)
    with open_video(path) as video:
        assert read_barcode(np.rot90(video.frames_at([2])[0], -turns)) == 2


@pytest.mark.parametrize("degrees", [6, 45, 80, 200])
def test_a_true_angle_is_told(tmp_path: Path, degrees: int) -> None:
    path = write_barcode_video(tmp_path / "a.mp4", 3)
    path.write_bytes(with_display_matrix(path.read_bytes(), turned_by(degrees)))
    with (
        open_video(path) as video,
        pytest.raises(DecodeError, match=rf"rotated by {degrees} degrees, no multiple of 90"),
    ):
        video.frames_at([0])


def turned_by(degrees: float) -> list[int]:
    """A display matrix that turns counter-clockwise."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b, c, d = (round(65536 * value) for value in (cos, -sin, sin, cos))
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


def test_the_plain_loop_agrees_on_stretched_pictures(tmp_path: Path) -> None:
    write_square(tmp_path / "a.mp4", Fraction(16, 9), rotation=90)
    plain = decode_plainly(tmp_path / "a.mp4")
    with open_video(tmp_path / "a.mp4") as video:
        np.testing.assert_array_equal(video.frames_at(range(3)), plain)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    assert plain_picture(frame).shape != plain[0].shape


def test_what_a_parser_says_is_cut() -> None:
    """It may be the packet behind; at a joint it is none, and a cut further before still counts."""
    rows = [PacketInfo(n, n in (0, 8), True, n in (2, 7), is_joint=n == 8) for n in range(10)]
    assert [n for n, row in enumerate(parsed_cuts(rows)) if row.is_cut] == [2, 3]
    assert [row._replace(is_cut=False) for row in parsed_cuts(rows)] == [row._replace(is_cut=False) for row in rows]
