"""The wheel and the sdist: what is in them, and that the wheel works where there is no repository."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "rspnet"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_OTHERS = {
    "datasets": "mteb",
    "fiftyone": "rspnet.integrations works where it is installed",
    "huggingface_hub": "asked for only where it is installed",
    "lightly_studio_serve": "rspnet.integrations works where it is installed",
    "mteb": "rspnet.integrations works where it is installed",
    "scipy": "scikit-learn",
    "threadpoolctl": "scikit-learn",
    "umap": "used for the map only where it is installed",
}
"""Module -> the package that brings it, or why none must."""


def run(*words: str | os.PathLike[str], at: Path) -> str:
    """What a command prints."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=at, env=clean, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_lowest_versions_are_the_lower_ends_of_the_ranges() -> None:
    """Others cannot be installed: `make test-lowest` would end before its first test."""

    def lowest(lines: list[str]) -> dict[str, str]:
        return dict(re.findall(r"^([\w-]+)(?:\[.*\])?[>=]=([\d.]+)", "\n".join(lines), flags=re.MULTILINE))

    pins = dict(line.split("==") for line in (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").split())
    needed = lowest(PROJECT["dependencies"])
    extras = lowest([line for extra in PROJECT["optional-dependencies"].values() for line in extra])
    assert needed.keys() <= pins.keys()
    for name, pin in pins.items():
        assert f"{pin}.".startswith(f"{(needed | extras)[name]}."), name


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, as `make package` builds them."""
    pytest.importorskip("build", reason="python -m build is not installed")
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, at=out)
    return out


@pytest.mark.slow
def test_both_hold_every_file_of_the_package_and_the_sdist_the_tests(built: Path) -> None:
    files = {path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    (wheel,) = built.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("rspnet/")}
    assert inside == {path.relative_to(ROOT / "src").as_posix() for path in files}
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tests = (path for path in ROOT.joinpath("tests").rglob("*.py"))
    assert names >= {path.relative_to(ROOT).as_posix() for path in (*files, *tests, ROOT / "LICENSE")}


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_without_the_repository(built: Path, tmp_path: Path) -> None:
    """Its dependencies are those of this environment, by a .pth file; the package itself is the wheel's."""
    pytest.importorskip("pip", reason="pip is not installed")
    (wheel,) = built.glob("*.whl")
    fresh = tmp_path / "fresh"
    run(sys.executable, "-m", "venv", "--without-pip", fresh, at=tmp_path)
    python, script = fresh / "bin" / "python", fresh / "bin" / "rspnet"
    (packages,) = fresh.glob("lib/*/site-packages")
    run(sys.executable, "-m", "pip", f"--python={python}", "install", "--no-deps", "--no-index", wheel, at=tmp_path)
    (packages / "dependencies.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    assert "usage: rspnet COMMAND" in run(script, "--help", at=tmp_path)
    assert "queue_size" in run(script, "recipes", "pretrain/small-cpu", at=tmp_path)
    code = "import rspnet; print(rspnet.__file__, rspnet.load_pretrained('rspnet-small').config['backbone'])"
    where, backbone = run(python, "-c", code, at=tmp_path).split()
    assert Path(where).is_relative_to(packages)
    assert backbone == "two_stream_slim"


def imports_of(tree: ast.AST, *, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, and whether only inside a function or for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], inside) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], inside
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        later |= isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        yield from imports_of(node, inside=inside or later)


def names(requirements: list[str]) -> set[str]:
    """Of the packages that requirements name, spelled alike."""
    return {re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0].lower().replace("_", "-") for text in requirements}


@pytest.mark.slow
def test_everything_imported_is_declared_and_what_is_imported_at_once_is_in_the_core() -> None:
    core = names(PROJECT["dependencies"])
    extras = names([text for texts in PROJECT["optional-dependencies"].values() for text in texts])
    homes = packages_distributions()
    undeclared = set()
    for path in SOURCE.rglob("*.py"):
        of_page = path.is_relative_to(SOURCE / "search" / "ui")  # loaded by `rspnet serve` alone
        for module, inside in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            if module in sys.stdlib_module_names or module == "rspnet" or module in OF_OTHERS:
                continue
            given = names(homes.get(module, [module]))
            if not given & (core | extras if inside or of_page else core):
                undeclared.add(f"{path.relative_to(SOURCE)}: {module}")
    assert not undeclared


def test_files_are_short() -> None:
    """The house rule of CONTRIBUTING.md; who reads a file holds it in mind."""
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert not {name: count for name, count in lines.items() if count >= 400}
