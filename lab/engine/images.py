"""The engine's calls about images."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import docker
import docker.errors

from lab.base.errors import EngineError
from lab.engine.errors import engine_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


PLATFORM_API = (1, 48)
"""Docker 28: GET /images/get takes a platform."""


class ImageCalls:
    """Building, importing, fetching, saving, loading and removing images; a part of Engine."""

    api: tuple[int, ...]
    _client: docker.DockerClient
    _api: Any

    def images(self, repository: str = "halab/*") -> dict[str, dict[str, Any]]:
        """Return the images of a repository pattern, tag → the engine's description."""
        with engine_errors("listing images"):
            found = self._api.images(filters={"reference": repository})
        return {tag: item for item in found for tag in (item.get("RepoTags") or [])}

    def has_image(self, tag: str) -> bool:
        """Whether an image is here."""
        try:
            self._api.inspect_image(tag)
        except docker.errors.ImageNotFound:
            return False
        return True

    def build(
        self, context: str, tag: str, arguments: dict[str, str], labels: dict[str, str]
    ) -> Iterator[str]:
        """Build an image and yield the build's lines.

        Raises EngineError with the engine's message where a step fails.
        """
        with engine_errors(f"building {tag}"):
            # Host network: package sources are then reached as the host reaches them, proxies and
            # resolvers included.
            stream = self._api.build(
                path=context,
                tag=tag,
                buildargs=arguments,
                labels=labels,
                rm=True,
                network_mode="host",
                decode=True,
            )
            for event in stream:
                if "error" in event:
                    raise EngineError(f"building {tag}: {event['error'].strip()}")
                yield from str(event.get("stream", "")).splitlines()

    def import_rootfs(self, tar: str, tag: str) -> None:
        """Make an image of a tar with a root file system."""
        repository, version = tag.rsplit(":", 1)
        with engine_errors(f"importing {tag}"):
            self._api.import_image_from_file(tar, repository=repository, tag=version)

    def labels(self, tag: str) -> dict[str, str]:
        """Return an image's labels. Raises EngineError where it is not here."""
        with engine_errors(f"inspecting {tag}"):
            # Docker 29 leaves out what an image has none of (changes of API 1.52).
            config = self._api.inspect_image(tag).get("Config") or {}
            return dict(config.get("Labels") or {})

    def pull(self, reference: str, tag: str) -> None:
        """Fetch an image, `name@digest` or `name:version`, and give it our tag."""
        name, version = reference.split("@") if "@" in reference else reference.rsplit(":", 1)
        with engine_errors(f"fetching {reference}"):
            self._client.images.pull(name, tag=version)
            self._api.tag(reference, *tag.rsplit(":", 1))

    def save(self, tags: Sequence[str], arch: str) -> Iterator[bytes]:
        """Yield a tar with these images for one architecture, shared layers once.

        The containerd store keeps an image that was pulled as an index of all its platforms, most
        of which are not here. Asked for one platform it writes that one's manifest alone; engines
        before API 1.48 cannot be asked and write the index, too: `docker load` skips what is
        missing, `ctr images import` wants `--platform` (moby daemon/containerd/image_exporter.go).
        """
        asked: dict[str, Any] = {"names": list(tags)}
        if self.api >= PLATFORM_API:
            asked["platform"] = json.dumps({"os": "linux", "architecture": arch})
        with engine_errors("saving images"):
            # The library saves one image only.
            url = self._api._url("/images/get")  # noqa: SLF001
            response = self._api._get(url, params=asked, stream=True)  # noqa: SLF001
            self._api._raise_for_status(response)  # noqa: SLF001
            yield from response.iter_content(1024 * 1024)

    def load(self, data: Any) -> Iterator[str]:  # noqa: ANN401 (anything that requests can send: a file or an iterator)
        """Load what `save` wrote; yields the names."""
        with engine_errors("loading images"):
            for event in self._api.load_image(data):
                if "error" in event:
                    raise EngineError(f"loading images: {event['error']}")
                yield str(event.get("stream", "")).strip()

    def remove_image(self, tag: str) -> None:
        """Remove an image's tag, and its layers where nothing else needs them."""
        with (
            engine_errors(f"removing image {tag}"),
            contextlib.suppress(docker.errors.ImageNotFound),
        ):
            self._api.remove_image(tag)
