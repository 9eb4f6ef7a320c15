"""The engine's calls about images: build, fetch, save, load, remove."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import docker
import docker.errors

from lab.base.errors import EngineError
from lab.engine.errors import engine_errors
from lab.engine.labels import OF_CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


BAD_NAME = 400
"""HTTP's, for what no image can be called: "invalid reference format"."""
PLATFORM_API = (1, 48)
"""Docker 28: GET /images/get takes a platform."""


class ImageCalls:
    """The calls about images; a part of Engine."""

    api: tuple[int, ...]
    _client: docker.DockerClient
    _api: Any

    def images(self, repository: str = "halab/*") -> dict[str, dict[str, Any]]:
        """Return the images that match a repository pattern: tag → the engine's description.

        An empty pattern means all images.
        """
        filters = {"reference": repository} if repository else None
        with engine_errors("listing images"):
            items = self._api.images(filters=filters)
        return {tag: item for item in items for tag in (item.get("RepoTags") or [])}

    def images_bearing(self, label: str) -> dict[str, dict[str, Any]]:
        """Return the images that have a label (`key` or `key=value`): tag → description."""
        with engine_errors(f"listing images with the label {label}"):
            items = self._api.images(filters={"label": label})
        return {tag: item for item in items for tag in (item.get("RepoTags") or [])}

    def has_image(self, tag: str) -> bool:
        """Whether the engine has an image of this tag."""
        try:
            self._api.inspect_image(tag)
        except docker.errors.ImageNotFound:
            return False
        return True

    def image(self, name: str) -> dict[str, Any] | None:
        """Return the engine's description of an image; None where it has none of that name."""
        with engine_errors(f"inspecting image {name}"):
            try:
                return dict(self._api.inspect_image(name))
            except docker.errors.ImageNotFound:
                return None
            except docker.errors.APIError as error:
                if error.status_code == BAD_NAME:
                    return None
                raise

    def build(
        self, context: str, tag: str, arguments: dict[str, str], labels: dict[str, str]
    ) -> Iterator[str]:
        """Build an image from the folder `context`, and yield the build's lines.

        Raises EngineError with the engine's message if a step fails.
        """
        with engine_errors(f"building {tag}"):
            # With the host's network, package sources are reached as from the host, its proxies and
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

    def commit(self, container: str, tag: str, labels: dict[str, str]) -> None:
        """Make an image of what a container wrote on its own disk; volumes are not in it.

        The engine gives the image all labels of the container. Those that say whose a container is
        become empty: what is made of the image must not count as a part of that lab.
        """
        repository, version = tag.rsplit(":", 1)
        config = {"Labels": {**dict.fromkeys(OF_CONTAINERS, ""), **labels}}
        with engine_errors(f"making image {tag} of {container}"):
            self._api.commit(container, repository=repository, tag=version, conf=config)

    def import_rootfs(self, tar: str, tag: str) -> None:
        """Make an image from a tar file with a root file system. `tar` is its path."""
        repository, version = tag.rsplit(":", 1)
        with engine_errors(f"importing {tag}"):
            self._api.import_image_from_file(tar, repository=repository, tag=version)

    def labels(self, tag: str) -> dict[str, str]:
        """Return an image's labels. Raises EngineError if the engine does not have it."""
        with engine_errors(f"inspecting {tag}"):
            # Docker 29 leaves out what would be empty (changes of API 1.52).
            config = self._api.inspect_image(tag).get("Config") or {}
            return dict(config.get("Labels") or {})

    def pull(self, reference: str, tag: str) -> None:
        """Fetch an image, `name@digest` or `name:version`, and tag it `tag`."""
        name, version = reference.split("@") if "@" in reference else reference.rsplit(":", 1)
        with engine_errors(f"fetching {reference}"):
            self._client.images.pull(name, tag=version)
            self._api.tag(reference, *tag.rsplit(":", 1))

    def save(self, tags: Sequence[str], arch: str) -> Iterator[bytes]:
        """Yield a tar with these images for one architecture, shared layers only once.

        The containerd store keeps a pulled image as an index of all its platforms, most of which
        are not here. If asked for one platform, it writes that one's manifest alone. Engines before
        API 1.48 cannot be asked and write the index, too: `docker load` skips what is missing, but
        `ctr images import` needs `--platform` (moby daemon/containerd/image_exporter.go).
        """
        parameters: dict[str, Any] = {"names": list(tags)}
        if self.api >= PLATFORM_API:
            parameters["platform"] = json.dumps({"os": "linux", "architecture": arch})
        with engine_errors("saving images"):
            # The library can save a single image only.
            url = self._api._url("/images/get")  # noqa: SLF001
            response = self._api._get(url, params=parameters, stream=True)  # noqa: SLF001
            self._api._raise_for_status(response)  # noqa: SLF001
            yield from response.iter_content(1024 * 1024)

    def load(self, data: Any) -> Iterator[str]:  # noqa: ANN401 (whatever requests can send)
        """Load a tar that `save` wrote, a file or an iterator; yield the engine's lines."""
        with engine_errors("loading images"):
            for event in self._api.load_image(data):
                if "error" in event:
                    raise EngineError(f"loading images: {event['error']}")
                yield str(event.get("stream", "")).strip()

    def remove_image(self, tag: str) -> None:
        """Remove an image's tag, and its layers if nothing else needs them; no image is fine."""
        with (
            engine_errors(f"removing image {tag}"),
            contextlib.suppress(docker.errors.ImageNotFound),
        ):
            self._api.remove_image(tag)
