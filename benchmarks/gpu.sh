#!/usr/bin/env bash
# What one GPU makes of rspnet, in under 9 minutes, from a bare machine with torch: benchmarks/gpu.sh [options of gpu.py]
#   OUT     folder of the results (default gpu-run): gpu.json and what every part said
#   PYTHON  the Python that has torch (default python3); it is not changed: what it lacks goes to a folder of its own
#   WHEELS  folder of wheels for a machine without network (see docs/benchmarks.md)
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
needs=(av jinja2 jsonargparse docstring_parser typeshed_client lightning_fabric matplotlib pyarrow yaml rich tensorboardX pytest pytest_timeout)
lacks() { "$python" -c 'import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n) is None))' "${needs[@]}"; }
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
export PYTHONPATH="$PWD/src:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if [ -n "$(lacks)" ]; then
  if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
  else
    names=$(lacks | sed 's/\byaml\b/pyyaml/; s/\bpytest_timeout\b/pytest-timeout/; s/\bjsonargparse\b/jsonargparse[signatures]/; s/_/-/g')
    # shellcheck disable=SC2086
    "$python" -m pip install --quiet --no-compile --target "$site" -c constraints.txt $names
  fi
fi
if ! "$python" -c 'import importlib.metadata as m; m.version("rspnet")' 2>/dev/null; then
  mkdir -p "$site/rspnet-0.dist-info"  # the sources run as they lie here; only their version is asked for by name
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)
  printf 'Metadata-Version: 2.1\nName: rspnet\nVersion: %s\n' "$version" > "$site/rspnet-0.dist-info/METADATA"
fi
"$python" benchmarks/gpu.py --out "${OUT:-gpu-run}" "$@"
