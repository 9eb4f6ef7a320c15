"""What is logged or exported holds no secret, and everything else."""

from __future__ import annotations

import pytest

from lab.base.redaction import LEFT_OUT, without_secrets

BEGIN, END = "-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"a\n{BEGIN}\nMHcCAQ\n{END}\nb", f"a\n{LEFT_OUT}\nb"),
        (f"a\n{BEGIN}\nMHcC", f"a\n{LEFT_OUT}"),
        ("--token=abc.def next", f"--token={LEFT_OUT} next"),
        ("k3s agent --token K10x::y next", f"k3s agent --token {LEFT_OUT} next"),
        ("password: hunter2", f"password: {LEFT_OUT}"),
        ('{"token": "abc", "a": 1}', f'{{"token": "{LEFT_OUT}", "a": 1}}'),
        ("Authorization: Bearer abc", f"Authorization: Bearer {LEFT_OUT}"),
        ("sent eyJhbGci.eyJpc3Mi.sig away", f"sent {LEFT_OUT} away"),
    ],
)
def test_without_secrets_leaves_their_values_out(text: str, left: str) -> None:
    assert without_secrets(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "Token has not been received in 750 ms",
        '{"token_ms": 1000}',
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "kubectl get secrets -A",
    ],
)
def test_without_secrets_keeps_what_is_none(text: str) -> None:
    assert without_secrets(text) == text
