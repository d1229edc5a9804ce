"""The only files that are served: by names that cannot be made up, from one bounded folder."""

from __future__ import annotations

import pytest

from rspnet.core.errors import RSPNetError
from rspnet.search.ui.previews import BoundedFolder, Previews


def test_only_names_that_were_given_out_lead_anywhere(tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    previews = Previews(tmp_path / "private", limit_bytes=1000)
    made = []
    name = previews.offer(("clip", 1), ".mp4", lambda path: made.append(path.write_bytes(b"film")))
    assert not made
    assert previews.offers(name)
    assert previews.made(name) is None
    assert previews.get(name).read_bytes() == b"film"
    assert previews.get(name).parent == tmp_path / "private"
    assert previews.get(name) == previews.made(name)
    assert len(made) == 1
    other = ("0" if name[0] != "0" else "1") + name[1:]
    for bad in (
        other,
        "../secret.mp4",
        "..%2fsecret.mp4",
        str(secret),
        name + "/../x",
        name.upper(),
        name[:-4],
        "",
        ".",
    ):
        assert not previews.offers(bad), bad
        assert previews.made(bad) is None, bad
        with pytest.raises(RSPNetError, match="no such preview"):
            previews.get(bad)
    (tmp_path / "private" / other).write_bytes(b"lies there, was never offered")
    assert not previews.offers(other)
    assert previews.made(other) is None


def test_names_differ_from_server_to_server(tmp_path):
    names = {Previews(tmp_path / str(i), limit_bytes=9).offer("same", ".mp4", lambda _: None) for i in range(2)}
    assert len(names) == 2


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    previews = Previews(tmp_path / "private", limit_bytes=1000)

    def make(path):
        path.unlink(missing_ok=True)
        path.write_bytes(b"film")

    name = previews.offer("clip", ".mp4", make)
    path = previews.get(name)
    path.unlink()
    path.symlink_to(secret)
    assert previews.get(name).read_bytes() == b"film"
    assert secret.read_bytes() == b"secret"


def test_the_longest_unused_files_go_first(tmp_path):
    folder = BoundedFolder(tmp_path / "private", limit_bytes=30)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o700
    for name in ("a", "b", "c"):
        (folder.folder / name).write_bytes(b"0123456789")
        folder.add(name)
    assert folder.find("a") is not None  # used: b is now the oldest
    (folder.folder / "d").write_bytes(b"0123456789")
    folder.add("d")
    assert {path.name for path in folder.folder.iterdir()} == {"a", "c", "d"}
    assert folder.find("b") is None
    (folder.folder / "large").write_bytes(bytes(100))
    folder.add("large")
    assert {path.name for path in folder.folder.iterdir()} == {"large"}


def test_a_preview_that_had_to_go_is_made_again(tmp_path):
    previews = Previews(tmp_path / "private", limit_bytes=5)
    one, two = (previews.offer(name, ".mp4", lambda path: path.write_bytes(b"film")) for name in ("one", "two"))
    assert previews.get(one).exists()
    assert previews.get(two).exists()
    assert previews.made(one) is None
    assert previews.get(one).read_bytes() == b"film"


def test_a_preview_that_cannot_be_made_says_why(tmp_path):
    def fail(_path):
        raise RSPNetError("it has gone")

    previews = Previews(tmp_path / "private", limit_bytes=5)
    name = previews.offer("film", ".mp4", fail)
    with pytest.raises(RSPNetError, match="it has gone"):
        previews.get(name)
