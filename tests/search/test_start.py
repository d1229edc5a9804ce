"""What a query does not wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHOWN = """
import sys
from rspnet.engine.multiply_adds import multiply_adds
from rspnet.models.fold import fold_batch_norms
from rspnet.models.registry import create_backbone
from rspnet.search.lance import import_lancedb

network = create_backbone("r3d_10_slim", input="difference")
multiply_adds(network, (3, 8, 32, 32))
fold_batch_norms(network)
lancedb = import_lancedb()
compiler = [name for name in ("torch._dynamo", "sympy") if name in sys.modules]
print(compiler, "lance_namespace_urllib3_client.api" in sys.modules, hasattr(lancedb, "connect"))
import lance_namespace_urllib3_client as client

print(client.ApiClient.__name__, "lance_namespace_urllib3_client.api" in sys.modules, hasattr(client, "no such name"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["search.search_command", "search.hit_sheet", "lab.study.study"])
def test_what_needs_no_network_does_not_wait_for_torch(module: str) -> None:
    words = [sys.executable, "-c", f"import sys, rspnet.{module}; print('torch' in sys.modules)"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.slow
def test_torchs_compiler_and_the_client_of_remote_catalogues_are_not_imported() -> None:
    """But who asks for that client gets it."""
    done = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] False True", "ApiClient True False"]
