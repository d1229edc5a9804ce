"""Text for people stands as it is, and readers may go."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

import rspnet
from rspnet.core import progress
from rspnet.core.console import PlainConsole
from rspnet.core.progress import print_note

ODD = "My clip [1080p] [/x] [bold] :fire: [link=a] \\[b] 100.mp4"


@pytest.mark.parametrize("stderr", [False, True])
def test_names_are_printed_raw(capsys: pytest.CaptureFixture[str], stderr: bool) -> None:
    console = PlainConsole(stderr=stderr)
    table = Table("name", title=ODD)
    table.add_row(ODD)
    console.print(table)
    console.print(ODD, soft_wrap=True)
    console.rule(ODD)
    print_note(console, ODD)
    captured = capsys.readouterr()
    text = captured.err if stderr else captured.out
    assert text.count(ODD) == 5
    assert f"note: {ODD}\n" in text


def test_there_is_no_other_console() -> None:
    """A plain rich console reads names as markup."""
    root = Path(rspnet.__file__).parent
    users = [path for path in root.rglob("*.py") if re.search(r"(?<!Plain)\bConsole\(", path.read_text())]
    assert [path.relative_to(root).as_posix() for path in users] == []


NOBODY_READS = """
import os, sys
from rspnet.core.console import PlainConsole
console = PlainConsole(stderr={stderr})
console.print("first")
sys.stdout.flush()
input()
for _ in range(3):
    console.print("later " * 5000)
print("went on", file=sys.{other}, flush=True)
"""


@pytest.mark.parametrize(("stderr", "code"), [(True, 0), (False, 1)])
def test_progress_without_a_reader_falls_silent_and_results_end(stderr: bool, code: int) -> None:
    script = NOBODY_READS.format(stderr=stderr, other="stdout" if stderr else "stderr")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", script], **pipes)  # type: ignore[call-overload]
    read, kept = (process.stderr, process.stdout) if stderr else (process.stdout, process.stderr)
    assert read.readline() == b"first\n"
    read.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    rest = kept.read()
    assert process.wait() == code
    assert (rest == b"went on\n") == stderr
    assert stderr or b"BrokenPipeError" in rest
    kept.close()


def test_an_encoding_without_the_letters_of_a_name_is_no_error() -> None:
    script = "import sys; from rspnet.core.streams import print_any_name; print_any_name(); print('h\\u00e9 \\udcff')"
    environment = {"PYTHONIOENCODING": "ascii", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=True)
    assert done.stdout == b"h\\xe9 \\udcff\n"


CLOSED = """
import os, subprocess, sys
from rspnet.core.streams import open_closed_streams
open_closed_streams()
child = "import os; exit(sum(not os.path.samestat(os.fstat(n), os.stat(os.devnull)) for n in range(3)))"
with open(sys.argv[1], "w") as file:
    os.write(1, b"what a library prints")
    os.write(2, b"what a library prints")
    print("to nobody", sys.stdout.isatty())
    file.write(str(subprocess.run([sys.executable, "-c", child]).returncode))
"""


def test_streams_that_the_shell_closed_are_no_files_of_ours(tmp_path: Path) -> None:
    words = [sys.executable, "-c", CLOSED, str(tmp_path / "file")]
    subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *words], check=True)
    assert (tmp_path / "file").read_text() == "0"


@pytest.mark.parametrize(
    ("total", "share", "wanted"),
    [
        (250_000, 125_000.0, "125,000/250,000 videos, eta"),
        (2, 0.4, "0.4/2 videos, eta"),
        (2, 0.0, "0/2 videos, eta ...\n"),
    ],
)
def test_progress_in_a_log_counts_in_whole_words(monkeypatch, capsys, total, share, wanted):
    """Large numbers as such, parts of a few long videos, and nothing done yet."""
    monkeypatch.setattr(progress, "_HEARTBEAT_SECONDS", 0.0)
    assert list(progress.track("ab", total=total, what="videos", share=lambda _: share)) == ["a", "b"]
    assert capsys.readouterr().err.startswith(wanted)
