"""Texts without secrets: for logs, and for what is attached to a bug report."""

from __future__ import annotations

import re

LEFT_OUT = "(left out)"
_KEYS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
"""One that is cut off, too: its beginning is a secret as well."""
_BEARER = re.compile(r"(?i)\b(bearer\s+)\S+")
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
"""What Kubernetes gives to service accounts (RFC 7519): `{"` in base64 is `eyJ`."""
_OPTIONS = re.compile(r"(?i)(--?[\w-]*(?:token|password|secret)[\w-]*[ =])[^\s\"']+")
_VALUES = re.compile(r"(?i)\b((?:token|password|secret)\"?\s*[=:]\s*\"?)(?!\(left)[^\s,;\"']+")


def without_secrets(text: str) -> str:
    """Return a text without private keys, and without the values of tokens and passwords."""
    text = _KEYS.sub(LEFT_OUT, text)
    text = _BEARER.sub(rf"\1{LEFT_OUT}", text)
    text = _JWT.sub(LEFT_OUT, text)
    text = _OPTIONS.sub(rf"\1{LEFT_OUT}", text)
    return _VALUES.sub(rf"\1{LEFT_OUT}", text)
