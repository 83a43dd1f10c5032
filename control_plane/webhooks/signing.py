"""Signatures and secrets of Standard Webhooks (standardwebhooks.com, specification 1.0.0)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
"""Random bytes of a secret; the specification asks for 24 to 64."""


def mint() -> str:
    """A secret in its serialized form: ``whsec_`` and base64."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    """A symmetric signature, ``v1,<base64 of HMAC-SHA256>``.

    Args:
        secret: Serialized.
        message: The ``webhook-id``.
        timestamp: Of the attempt, epoch seconds.
        body: As it is sent.
    """
    key = b64decode(secret.removeprefix(PREFIX))
    signed = b"%s.%d.%s" % (message.encode(), timestamp, body)
    return "v1," + b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(keys: Sequence[str], message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery, with a signature of every secret.

    Args:
        keys: Serialized secrets.
        message: The ``webhook-id``.
        timestamp: Of the attempt, epoch seconds.
        body: As it is sent.
    """
    signatures = (signature(key, message, timestamp, body) for key in keys)
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
