"""Names of labs and nodes: hostnames that no resolver takes for an address."""

from __future__ import annotations

import re

from lab.base.errors import InputError, WrongError
from lab.base.messages import shown

MAX_NAME = 30
"""A lab's and a node's name, joined by a dash, fit into the 63 characters of a hostname's label
(RFC 1123, section 2.1)."""
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_NUMBER_ADDRESS = re.compile(r"[0-9]+|0x[0-9a-f]+")


def check_label(name: str) -> None:
    """Raise WrongError if a name is not a hostname's label (RFC 1123) of at most 30 characters.

    `localhost` is refused, too.
    """
    if not _LABEL.fullmatch(name):
        lower = re.sub(r"[^a-z0-9]+", "-", name.lower())[:MAX_NAME].strip("-")
        hint = "use a-z, 0-9 and -, beginning and ending with a letter or digit" + (
            f": `{lower}`" if lower else ""
        )
        raise WrongError(f"`{shown(name)}` is not a hostname (RFC 1123)", hint)
    if len(name) > MAX_NAME:
        raise WrongError(f"`{shown(name)}` has {len(name)} characters", f"at most {MAX_NAME}")
    if name == "localhost":
        raise WrongError("`localhost` is every machine's name for itself", "choose another name")


def check_node_name(name: str) -> None:
    """Raise WrongError like `check_label`, and if inet_aton(3) takes the name for an address.

    `ping 1` asks 0.0.0.1.
    """
    check_label(name)
    if _NUMBER_ADDRESS.fullmatch(name):
        raise WrongError(
            f"`{name}` is a number, which programs take for an IP address", f"for example `w{name}`"
        )


def is_name(text: str) -> bool:
    """Whether a text can be a lab's name: on the command line and in labels it may be anything."""
    try:
        check_label(text)
    except WrongError:
        return False
    return True


def check_name(lab: str) -> None:
    """Raise InputError if a text cannot be a lab's name: as part of a path it could lead away."""
    try:
        check_label(lab)
    except WrongError as wrong:
        raise InputError(
            f"no lab has such a name: {wrong.message}", "`halab list` names labs"
        ) from None
