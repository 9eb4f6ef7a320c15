"""Parts of JSON Schemas that the schemas of topologies and of lessons are built from."""

from __future__ import annotations

from typing import Any


def described(description: str, **rest: Any) -> dict[str, Any]:  # noqa: ANN401 (any keyword of JSON Schema)
    """Return a schema with a description; `rest` are JSON Schema's own keywords."""
    return {"description": description, **rest}


def mapping(description: str, properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """Return the schema of a mapping that takes these keys and no others."""
    return described(
        description,
        type="object",
        properties=properties,
        required=[*required],
        additionalProperties=False,
    )


def keys_of(schema: dict[str, Any]) -> dict[str, bool]:
    """Return the keys of a `mapping`: key → whether it is required."""
    return {key: key in schema["required"] for key in schema["properties"]}
