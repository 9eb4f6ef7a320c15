"""The docker library's errors in our words."""

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
    """Turn the docker library's errors into ours; the engine's own words stay in the message.

    `kinds` maps words of the engine's message to the error that it then becomes.
    """
    begin = time.monotonic()
    try:
        yield
    except docker.errors.APIError as error:
        said = f"{what}: {error.explanation or error}"
        kind = next((kind for words, kind in kinds.items() if words in said), EngineError)
        raise kind(said, hint) from error
    except (docker.errors.DockerException, OSError) as error:
        # OSError: the HTTP library's errors are such; a command's stream, cut because its container
        # died; a file that it is fed cannot be read.
        raise EngineError(f"{what}: {error}", hint) from error
    finally:
        LOG.debug("%.200s: %.0f ms", without_secrets(what), (time.monotonic() - begin) * 1000)
