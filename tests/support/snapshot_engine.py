"""A double of an engine whose helpers pack volumes into images, and unpack them, as tar does."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fake_engine import FakeEngine, FakeImage, FakeVolume

from lab.base.errors import EngineError
from lab.engine.files import File
from lab.lifecycle.volumes_archive import PACK, TARS, UNPACK, VOLUMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NEVER = 10_000


@dataclass
class SnapshotEngine(FakeEngine):
    """Carries out the scripts of helpers; it may run out of disk, or lose its caller."""

    about: dict[str, Any] = field(
        default_factory=lambda: {"Architecture": "x86_64", "BridgeNfIptables": True}
    )
    scripts: dict[str, str] = field(default_factory=dict)
    """By helper."""
    full: int = NEVER
    """After so many volumes were packed or unpacked, the disk is full."""
    left: int = NEVER
    """It hears nothing more after so many calls: its caller was killed."""
    interrupts: str = ""
    """What is called so ends by ^C."""

    def save(self, tags: Sequence[str], arch: str) -> Iterator[bytes]:
        """A tar as Docker writes it: the list of names, and what else it has of each image."""
        self._call("save", f"{' '.join(tags)} {arch}")
        rows = [{"Config": f"{number}.json", "RepoTags": [tag]} for number, tag in enumerate(tags)]
        parts = {"manifest.json": json.dumps(rows)} | {
            f"{number}.json": json.dumps(self.committed[tag].labels)
            for number, tag in enumerate(tags)
        }
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as archive:
            for name, text in parts.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        yield target.getvalue()

    def load(self, data: Iterable[bytes]) -> Iterator[str]:
        with tarfile.open(fileobj=io.BytesIO(b"".join(data))) as archive:
            parts = {
                one.name: json.load(archive.extractfile(one) or io.BytesIO()) for one in archive
            }
        for row in parts["manifest.json"]:
            (tag,) = row["RepoTags"]
            if not self._room():
                raise EngineError("loading images: no space left on device")
            self.committed[tag] = FakeImage(parts[row["Config"]])
            self._call("load", tag)
            yield f"Loaded image: {tag}"

    def create_helper(
        self,
        image: str,
        command: Sequence[str],
        labels: dict[str, str],
        host: dict[str, Any] | None = None,
    ) -> str:
        name = super().create_helper(image, command, labels, host)
        self.scripts[name] = command[-1]
        return name

    def start(self, container: str) -> None:
        super().start(container)
        script = self.scripts.get(container)
        item = self.containers[container]
        for volume, place in item.mounts.items():
            word = place.removeprefix(f"{VOLUMES}/")
            if script not in {PACK, UNPACK} or not self._room():
                continue
            tar, content = f"{TARS}/{word}.tar", self.volumes[volume].files
            if script == PACK:
                item.files[tar] = File(path=tar)
                item.files |= {f"{tar}{path}": file for path, file in content.items()}
            else:
                content.clear()
                content |= _within(item.files, tar)

    def wait(self, container: str, timeout_s: float) -> int:
        super().wait(container, timeout_s)
        return 2 if self.full < 0 and container in self.scripts else 0

    def logs(self, container: str) -> str:
        super().logs(container)
        return "tar: etcd.tar: Cannot write: No space left on device" if self.full < 0 else ""

    def _room(self) -> bool:
        self.full -= 1
        return self.full >= 0

    def _call(self, verb: str, what: str) -> None:
        if self.interrupts and self.interrupts in f"{verb} {what}":
            self.interrupts = ""
            raise KeyboardInterrupt
        if self.left <= 0:
            raise EngineError("killed")
        super()._call(verb, what)
        self.left -= 1

    def volume(self, name: str) -> FakeVolume:
        return self.volumes[name]


def _within(files: dict[str, File], tar: str) -> dict[str, File]:
    prefix = f"{tar}/"
    return {path.removeprefix(tar): file for path, file in files.items() if path.startswith(prefix)}
