"""`rspnet serve` before it serves: bad input, a missing extra, a warning to whom it may concern."""

from __future__ import annotations

import importlib.util
import re
import socket

import pytest
from helpers.extras import need
from helpers.served import make_library

from rspnet.cli import main
from rspnet.config.search import ServeConfig
from rspnet.core.errors import ConfigError
from rspnet.search.ui.serve import announce, serve

need("lancedb")
if importlib.util.find_spec("uvicorn") is None:
    pytest.skip("the extra rspnet[ui] is not installed", allow_module_level=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "'nowhere' is no library of videos: make one with rspnet index DIR --out nowhere"),
        (["nowhere", "--port=99999"], "--port 99999: must be from 0 to 65535"),
        (["nowhere", "--max_upload_mb=0"], "--max_upload_mb 0: must be at least 1"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port=0", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_labels_that_cannot_be_kept_or_read_are_said_before_it_serves(tmp_path, monkeypatch, capsys):
    library = make_library(tmp_path)
    monkeypatch.setattr("rspnet.search.ui.serve.announce", lambda host, port: pytest.fail("it serves"))
    (tmp_path / "file").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / f"{0:016x}.csv").write_text("path,label\na,b\n")
    capsys.readouterr()
    for name, message in (("file", "it is a file; name a folder"), ("broken", "is no longer a table of labels")):
        assert main(["serve", str(library), "--port=0", f"--marks={tmp_path / name}", "--device=cpu"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_an_address_that_cannot_be_used_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at --host 127.0.0.1 --port {port}: Address already in"):
            serve(ServeConfig("library", port=port))
    with pytest.raises(ConfigError, match=r"cannot listen at --host no\.such\.name\.invalid --port 7860: "):
        serve(ServeConfig("library", host="no.such.name.invalid"))


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape("install the extra, pip install 'rspnet[ui]'")):
        serve(ServeConfig("library"))


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "http://0.0.0.0:80"), ("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")],
)
def test_another_host_than_this_machine_is_warned_of(capsys, host, address):
    announce(host, 80)
    said = capsys.readouterr().err
    assert (f"warning: --host {host}: anyone who reaches this address" in said) == (host == "0.0.0.0")
    assert f"{address} (" in said
