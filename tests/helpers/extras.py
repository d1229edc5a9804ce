"""Optional packages, looked for without importing them: at collection every worker would pay for all."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

_EXTRAS = {
    "lancedb": "search",
    "sklearn": "probe",
    "scipy": "probe",
    "transformers": "hf",
    "s3fs": "remote",
    "moto": "dev",
}


def need(*modules: str) -> None:
    """Skip the test, or the file that says so at its top, where a package is not installed."""
    for name in modules:
        if find_spec(name) is None:
            pytest.skip(f"the extra rspnet[{_EXTRAS[name]}] is not installed", allow_module_level=True)
