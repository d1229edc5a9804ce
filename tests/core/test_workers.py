"""A pool that outlives crashing, hanging and failing tasks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tasks_for_workers import NotImportable, Part, busy, frozen_objects, late, part, risky, square, variable

from rspnet.core.worker_life import _send
from rspnet.core.workers import Death, Replace, ordered_map

GOOD = list(range(20))


def unexpected(task: object, death: Death) -> Replace[object]:
    raise AssertionError(f"{task} died: {death}")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order(workers: int) -> None:
    results = ordered_map(square, iter(GOOD), workers=workers, after_death=unexpected, hang_seconds=60)
    assert list(results) == [task * task for task in GOOD]
    assert not multiprocessing.active_children()


def test_no_tasks() -> None:
    assert list(ordered_map(square, [], workers=2, after_death=unexpected, hang_seconds=60)) == []


def test_tasks_are_drawn_lazily() -> None:
    drawn = 0

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for task in range(1000):
            drawn += 1
            yield task

    stream = ordered_map(square, tasks(), workers=2, after_death=unexpected, hang_seconds=60)
    assert [next(stream) for _ in range(3)] == [0, 1, 4]
    assert drawn <= 3 + 4
    stream.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_deaths_are_told_and_everything_else_is_done() -> None:
    tasks: list[int | str] = [0, "abort", 2, 3, "hang", 5, "leave", 7, 8, "abort"]
    deaths: dict[int | str, Death] = {}

    def after_death(task: int | str, death: Death) -> Replace[int | str]:
        deaths[task] = death
        return Replace(f"died of {task}")

    results = ordered_map(risky, tasks, workers=2, after_death=after_death, hang_seconds=1.0)
    assert list(results) == [task if isinstance(task, int) else f"died of {task}" for task in tasks]
    assert deaths["abort"] == Death(42, signal.SIGABRT, hung=False)
    assert deaths["abort"].reason == "the decoder crashed (SIGABRT)"
    assert deaths["leave"] == Death(42, 0, hung=False)
    assert deaths["hang"].hung
    assert deaths["hang"].reason == "the decoder hung"


def test_a_deadly_task_can_be_changed_and_run_again() -> None:
    results = ordered_map(risky, [1, "abort", 3], workers=1, after_death=lambda *_: 2, hang_seconds=60)
    assert list(results) == [1, 2, 3]


def test_notes_are_progress() -> None:
    assert list(ordered_map(busy, [1], workers=1, after_death=unexpected, hang_seconds=1.0)) == [1]


def test_exceptions_arrive_with_their_place() -> None:
    with pytest.raises(KeyError, match="as asked") as caught:
        list(ordered_map(risky, [1, "raise"], workers=1, after_death=unexpected, hang_seconds=60))
    assert "in risky" in caught.value.__notes__[0]
    assert not multiprocessing.active_children()


def test_workers_ignore_ctrl_c() -> None:
    stream = ordered_map(square, GOOD, workers=2, after_death=unexpected, hang_seconds=60)
    next(stream)
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGINT)
    assert len(list(stream)) == len(GOOD) - 1


def test_workers_that_cannot_start_are_an_error_at_once() -> None:
    with pytest.raises(RuntimeError, match="before their first task"):
        list(ordered_map(NotImportable(), GOOD, workers=1, after_death=unexpected, hang_seconds=60))


def test_workers_do_not_look_through_what_was_imported_again() -> None:
    (count,) = ordered_map(frozen_objects, [0], workers=1, after_death=unexpected, hang_seconds=60)
    assert count > 1000


def parts_of(task: Part, _result: object) -> Iterator[Part]:
    """What follows the first part of three films."""
    name, _, count = task
    return ((name, number, count) for number in range(1, count))


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_what_follows_a_result_comes_right_after_it(workers: int) -> None:
    films: list[Part] = [("a", 0, 1), ("b", 0, 40), ("c", 0, 3), ("d", 0, 1), ("e", 0, 25), *[("f", 0, 2)] * 30]
    results = ordered_map(part, films, workers=workers, after_death=unexpected, hang_seconds=60, follow_up=parts_of)
    assert [result[:2] for result in results] == [(name, n) for name, _, count in films for n in range(count)]
    assert not multiprocessing.active_children()


def test_followers_are_drawn_lazily_and_a_death_among_them_changes_no_order() -> None:
    drawn = 0

    def counted(task: Part, result: object) -> Iterator[Part]:
        nonlocal drawn
        for item in parts_of(task, result):
            drawn += 1
            yield item

    def after_death(task: Part, death: Death) -> Replace[tuple[str, int, int]]:
        assert death.signal == signal.SIGABRT
        return Replace((task[0], task[1], 0))

    films: list[Part] = [("abort", 0, 100), ("b", 0, 4)]
    stream = ordered_map(part, films, workers=2, after_death=after_death, hang_seconds=60, follow_up=counted)
    assert [next(stream)[1] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert drawn <= 5 + 2 * 4 + 2
    assert [result[:2] for result in stream] == [("abort", n) for n in range(5, 100)] + [("b", n) for n in range(4)]


def test_a_result_that_is_lost_with_its_process_is_made_again_and_the_right_task_blamed() -> None:
    tasks = [(number, "abort" if number % 3 == 2 else "good") for number in range(7)]
    blamed = []

    def after_death(task: tuple[int, str], death: Death) -> tuple[int, str] | Replace[Any]:
        if death.note != task[0]:
            return task
        blamed.append(task)
        return Replace(None)

    for workers in (1, 2):
        results = list(ordered_map(late, tasks, workers=workers, after_death=after_death, hang_seconds=60))
        assert [None if result is None else result.task for result in results] == [
            None if name == "abort" else name for _, name in tasks
        ]
    assert blamed == [task for task in tasks if task[1] == "abort"] * 2


@pytest.mark.parametrize("from_stdin", [False, True])
def test_a_program_without_a_guard_is_not_run_again_by_workers(from_stdin: bool, tmp_path: Path) -> None:
    program = (
        "print('begins', flush=True)\n"
        "from rspnet.core.workers import ordered_map\n"
        "print(list(ordered_map(abs, [-1, -2], workers=1, after_death=None, hang_seconds=60)))\n"
    )
    file = tmp_path / "program.py"
    file.write_text(program)
    words, text = ([sys.executable, "-"], program) if from_stdin else ([sys.executable, str(file)], "")
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("begins\n[1, 2]\n", 0), done.stderr


def test_few_file_handles_mean_fewer_workers() -> None:
    program = (
        "from rspnet.core.workers import ordered_map\n"
        "if __name__ == '__main__':\n"
        "    found = ordered_map(abs, range(-50, 0), workers=40, after_death=None, hang_seconds=60)\n"
        "    first = next(found)\n"
        "    more = [open('/dev/null') for _ in range(5)]\n"
        "    print(first, sum(found), len(more))\n"
    )
    command = f'ulimit -n 64 && exec {sys.executable} -c "$PROGRAM"'
    environment = {**os.environ, "PROGRAM": program}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("50 1225 5\n", 0), done.stderr


@pytest.mark.parametrize(("as_copy", "files"), [(True, 0), (False, 20)])
def test_where_few_files_may_be_open_tensors_take_none(as_copy: bool, files: int) -> None:
    here, there = multiprocessing.Pipe()
    held = []
    for number in range(20):
        _send(there, (None, torch.full((2,), number)), as_copy=as_copy)
        held.append(here.recv()[1])
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - Path.iterdir opens one itself, too
    assert [int(tensor[0]) for tensor in held] == list(range(20))
    held.clear()
    assert before - len(os.listdir("/dev/fd")) == files  # noqa: PTH208
    here.close()
    there.close()


def test_workers_have_the_environment_of_the_time_when_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    list(ordered_map(square, [1], workers=1, after_death=unexpected, hang_seconds=60))  # the fork server runs
    monkeypatch.setenv("RSPNET_TEST_KEY", "new")
    assert list(ordered_map(variable, ["RSPNET_TEST_KEY"], workers=1, after_death=unexpected, hang_seconds=60)) == [
        "new"
    ]
