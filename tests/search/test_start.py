"""What a query does not wait for."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHOWN = """
import sys
from rspnet.models.fold import fold_batch_norms
from rspnet.models.registry import create_backbone
from rspnet.search.lance import import_lancedb

fold_batch_norms(create_backbone("r3d_10_slim", input="difference"))
lancedb = import_lancedb()
print("torch._dynamo" in sys.modules, "lance_namespace_urllib3_client.api" in sys.modules, hasattr(lancedb, "connect"))
import lance_namespace_urllib3_client as client

print(client.ApiClient.__name__, "lance_namespace_urllib3_client.api" in sys.modules, hasattr(client, "no such name"))
"""


@pytest.mark.slow
def test_torchs_compiler_and_the_client_of_remote_catalogues_are_not_imported() -> None:
    """But who asks for that client gets it."""
    done = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False False True", "ApiClient True False"]
