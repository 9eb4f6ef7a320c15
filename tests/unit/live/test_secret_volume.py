"""Secrets in the lab's volume: whole, half written, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from fake_engine import FakeEngine

from lab.base.errors import LabError
from lab.engine.files import File
from lab.kube.pki import new_secrets
from lab.live import secret_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.client import Engine

SECRETS = new_secrets("x")


class VolumeEngine(FakeEngine):
    """An engine whose helpers all see one volume."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        paths = [f"{secret_volume.FOLDER}/{name}" for name in names]
        self.volume = {
            path: File(path=path, content=SECRETS.files[name])
            for path, name in zip(paths, names, strict=True)
        }

    def create_helper(
        self,
        image: str,
        command: Sequence[str],
        labels: dict[str, str],
        host: dict[str, Any] | None = None,
    ) -> str:
        name = super().create_helper(image, command, labels, host)
        self.containers[name].files = self.volume
        return name


def test_secrets_are_read_when_whole() -> None:
    engine = VolumeEngine(*SECRETS.files)
    assert secret_volume.read(cast("Engine", engine), "x", "halab/x:1") == SECRETS
    assert secret_volume.ensure(cast("Engine", engine), "x", "halab/x:1") == SECRETS
    assert engine.containers == {}


@pytest.mark.parametrize("kept", [(), ("ca.crt", "ca.key"), tuple(SECRETS.files)[:-1]])
def test_secrets_are_refused_and_made_anew_when_half_written(kept: tuple[str, ...]) -> None:
    engine = VolumeEngine(*kept)
    with pytest.raises(LabError, match="secrets of lab x are incomplete") as caught:
        secret_volume.read(cast("Engine", engine), "x", "halab/x:1")
    assert "halab start x" in caught.value.hint
    made = secret_volume.ensure(cast("Engine", engine), "x", "halab/x:1")
    assert made.complete
    assert made.files.keys() == SECRETS.files.keys()
    assert secret_volume.read(cast("Engine", engine), "x", "halab/x:1") == made
    assert {file.mode for file in engine.volume.values()} == {0o600}
    assert engine.containers == {}


def test_the_helper_is_removed_when_the_engine_fails() -> None:
    class Broken(VolumeEngine):
        def read(self, container: str, path: str) -> bytes:
            raise LabError("the engine broke off")

    engine = Broken()
    with pytest.raises(LabError, match="broke off"):
        secret_volume.ensure(cast("Engine", engine), "x", "halab/x:1")
    assert engine.containers == {}
