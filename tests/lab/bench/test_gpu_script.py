"""benchmarks/gpu.sh on a CPU: every part works, and a slow one does not eat the rest."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.mark.timeout(600)
def test_every_part_works_on_a_cpu(tmp_path: Path) -> None:
    """But for its tests: these are run as they are."""
    environment = os.environ | {"PYTHON": sys.executable, "OUT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    # Seconds of a machine that may be busy with other tests: limits ten times as long as on a GPU.
    command = [str(BENCHMARKS / "gpu.sh"), "--device", "cpu", "--seconds", "5300", "--parts", "step", "data", "recipe"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {part: found[part]["ended"] for part in found} == {"step": 0, "data": 0, "recipe": 0}
    assert [row["compiled"] for row in found["step"]["rows"] if "clips_per_s" in row] == [False]
    whats = [row["what"] for row in found["data"]["rows"]]
    assert whats == ["augment", "draw and encode", "embed r3d_10_slim", "load packed"]
    assert found["recipe"]["rows"][0]["exit_code"] == 0
    assert found["recipe"]["rows"][-1]["step"] == 2


def test_a_part_that_is_too_slow_is_ended_and_what_it_found_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("gpu", BENCHMARKS / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    gpu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpu)
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, time\n"
        "print('busy', file=sys.stderr, flush=True)\n"
        'sys.stdout.write(\'{"row": 1}\\n{"ro\')\n'
        "sys.stdout.flush()\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setattr(gpu, "__file__", str(slow))
    found = gpu.run_part("step", argparse.Namespace(device="cpu", out=tmp_path), tmp_path, limit=10.0)
    assert (found["ended"], found["rows"]) == ("time limit", [{"row": 1}])
    assert "busy" in (tmp_path / "step.txt").read_text()
