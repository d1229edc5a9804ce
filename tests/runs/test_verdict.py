"""What runs end with: against guessing, against collapse, and what comes next."""

from __future__ import annotations

from math import comb

import pytest
import torch

from rspnet.core.console import PlainConsole
from rspnet.engine.diagnostics import vector_spread
from rspnet.features.scores import Interval
from rspnet.runs.verdict import Verdict, _by_guessing, named_for_shell, rank_line, report_command, rsp_line, score_line


@pytest.mark.parametrize(
    ("accuracy", "clips", "judged"),
    [
        (0.52, 640, "nothing of speed is learned yet"),
        (0.9, 4, "nothing of speed is learned yet"),  # four answers may all be luck
        (0.56, 64_000, "hardly more than fresh weights tell"),
        (0.66, 640, "hardly more than fresh weights tell"),
        (0.81, 6_400, "speed is learned"),
    ],
)
def test_rsp_is_judged_against_guessing(accuracy: float, clips: int, judged: str) -> None:
    finding = rsp_line(accuracy, clips)
    line = finding.text
    assert judged in line
    assert finding.is_good == (judged == "speed is learned")
    assert ("train longer, or on more videos" in line) != finding.is_good
    assert line.startswith(f"RSP: {accuracy:.0%} right")
    assert "guessing gives 50 %" in line


def test_the_line_says_which_videos_judged() -> None:
    assert "on new clips of the training videos," in rsp_line(0.8, 96).text
    line = rsp_line(0.8, 96, held_out=12, fresh=0.55).text
    assert "on 12 videos that were not trained on, 55% before training," in line
    assert line.endswith("speed is learned")
    assert "hardly more than fresh weights" in rsp_line(0.8, 96, held_out=12, fresh=0.7).text


def test_equal_vectors_are_called_collapsed() -> None:
    torch.manual_seed(0)
    spread_out = torch.nn.functional.normalize(torch.randn(64, 16), dim=1)
    alike = torch.nn.functional.normalize(torch.ones(64, 16) + 0.5 * torch.randn(64, 1) * torch.eye(16)[0], dim=1)
    findings = [rank_line(vector_spread(v), count=64, length=16) for v in (spread_out, alike)]
    assert [finding.is_good for finding in findings] == [True, False]
    lines = [finding.text for finding in findings]
    assert lines[0].endswith("no collapse")
    assert "of 16 possible (64 clips)" in lines[0]
    assert "collapsed: all videos look the same to it" in lines[1]


def test_a_score_is_above_guessing_only_with_its_whole_interval() -> None:
    row = {"value": 0.4, "low": 0.3, "high": 0.5}
    assert score_line("top-1", row, chance=0.2, videos=90).endswith("guessing gives 20.0%; above guessing")
    assert score_line("top-1", row, chance=1 / 3, videos=90).endswith("guessing gives 33.3%; not above guessing")


def test_it_is_printed_so_that_commands_can_be_copied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = Verdict(["all well"], [report_command("my runs/first", shows="curves")])
    assert verdict.as_ending() == {"verdict": ["all well"], "next": ["rspnet report 'my runs/first'"]}
    monkeypatch.setenv("COLUMNS", "20")
    verdict.print_to(PlainConsole())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "all well"
    assert lines[1].startswith("next: rspnet report 'my runs/first'    # curves")


@pytest.mark.parametrize(("videos", "is_above"), [(2, False), (3, False), (5, False), (6, True), (20_000, True)])
def test_a_few_right_answers_may_be_guessed(videos: int, is_above: bool) -> None:
    line = score_line("top-1", Interval(1.0, 1.0, 1.0), chance=0.5, videos=videos)
    assert line.endswith("; above guessing") == is_above, line


@pytest.mark.parametrize("right", [0, 1, 40, 100])
def test_what_guessing_reaches_is_the_binomial_tail(right: int) -> None:
    tail = sum(comb(100, hits) * 0.25**hits * 0.75 ** (100 - hits) for hits in range(right, 101))
    assert _by_guessing(right, 100, chance=0.25) == pytest.approx(tail)
    assert _by_guessing(right, 100, chance=1.0) == 1


@pytest.mark.parametrize(
    ("root", "listed", "words"),
    [
        ("my videos", None, ("'my videos'", "'my videos'")),
        (None, "list.csv", ("list.csv", "list.csv")),
        ("videos", "list.csv", ("videos --data.list list.csv", "videos")),
    ],
)
def test_commands_to_copy_name_the_folder_that_a_list_is_relative_to(
    root: str | None, listed: str | None, words: tuple[str, str]
) -> None:
    assert named_for_shell(root, listed) == words
