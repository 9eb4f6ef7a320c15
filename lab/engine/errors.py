"""The docker library's errors, turned into halab's."""

from __future__ import annotations

import contextlib
import logging
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import docker.errors

from lab.base.errors import EngineError
from lab.base.redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


LOG = logging.getLogger("halab.engine")


@contextlib.contextmanager
def engine_errors(
    what: str, hint: str = "", kinds: Mapping[str, type[EngineError]] = MappingProxyType({})
) -> Iterator[None]:
    """Turn the docker library's errors into EngineError, and log how long the block took.

    The error's message is `what` ("removing halab-x-m") and the engine's own message. `kinds` maps
    phrases of that message to a subclass that is raised instead.
    """
    begin = time.monotonic()
    try:
        yield
    except docker.errors.APIError as error:
        message = f"{what}: {error.explanation or error}"
        kind = next((kind for phrase, kind in kinds.items() if phrase in message), EngineError)
        raise kind(message, hint) from error
    except (docker.errors.DockerException, OSError) as error:
        # OSError comes from the HTTP library, from a command's stream that was cut because its
        # container died, and from an input file that cannot be read.
        raise EngineError(f"{what}: {error}", hint) from error
    finally:
        LOG.debug("%.200s: %.0f ms", without_secrets(what), (time.monotonic() - begin) * 1000)
