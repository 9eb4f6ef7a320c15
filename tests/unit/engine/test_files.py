from __future__ import annotations

from lab.engine.files import File, pack, unpack


def test_files_survive_the_tar() -> None:
    packed = pack(
        [File(path="/a/b", content=b"x", mode=0o600, owner=189), File(path="/c", link="/d")]
    )
    assert unpack(packed) == {"b": b"x"}
