"""The docker library's errors in our words."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import docker.errors

from lab.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def told(what: str, hint: str = "") -> Iterator[None]:
    """Turn the docker library's errors into ours; the engine's own words stay in the message."""
    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(f"{what}: {error.explanation or error}", hint) from error
    except (docker.errors.DockerException, OSError) as error:
        # OSError: the HTTP library's errors are such; a command's stream, cut because its container died; a file that it is fed cannot be read.
        raise EngineError(f"{what}: {error}", hint) from error
