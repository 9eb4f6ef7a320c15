"""Names of labs and nodes: what a hostname permits, and nothing that a resolver takes for an address."""

from __future__ import annotations

import re

from lab.base.errors import InputError, WrongError
from lab.base.messages import shown

MAX_NAME = 30
"""Lab and node joined by a dash stay within the 63 characters of a hostname's label (RFC 1123,
section 2.1)."""
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_NUMBER_ADDRESS = re.compile(r"[0-9]+|0x[0-9a-f]+")


def check_label(word: str) -> None:
    """Refuse what is no RFC 1123 label of at most 30 characters, and what a resolver takes for an address."""
    if not _LABEL.fullmatch(word):
        lower = re.sub(r"[^a-z0-9]+", "-", word.lower())[:MAX_NAME].strip("-")
        hint = "use a-z, 0-9 and -, beginning and ending with a letter or digit" + (
            f": `{lower}`" if lower else ""
        )
        raise WrongError(f"`{shown(word)}` is not a hostname (RFC 1123)", hint)
    if len(word) > MAX_NAME:
        raise WrongError(f"`{shown(word)}` has {len(word)} characters", f"at most {MAX_NAME}")
    if word == "localhost":
        raise WrongError("`localhost` is every machine's name for itself", "choose another name")


def check_node_name(word: str) -> None:
    """Refuse also what inet_aton(3) takes for an address: `ping 1` asks 0.0.0.1."""
    check_label(word)
    if _NUMBER_ADDRESS.fullmatch(word):
        raise WrongError(
            f"`{word}` is a number, which programs take for an IP address", f"for example `w{word}`"
        )


def is_name(word: str) -> bool:
    """Whether a word can be a lab's name: the command line and labels may hold any other."""
    try:
        check_label(word)
    except WrongError:
        return False
    return True


def check_name(lab: str) -> None:
    """Raise InputError for what is no lab's name: as a part of a path it would lead elsewhere."""
    try:
        check_label(lab)
    except WrongError as wrong:
        raise InputError(
            f"no lab has such a name: {wrong.message}", "`halab list` names labs"
        ) from None
