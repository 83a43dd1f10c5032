"""What is kept of a key and of a request in place of them: keyed digests, which tell nothing."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from control_plane.errors import MalformedRequest

_PURPOSE: Final = b"tidegate idempotency"
_canonical: Final = msgspec.json.Encoder(order="deterministic").encode


class Digests:
    """Digests with a key of their own, made of the data key (HMAC-SHA256, RFC 2104)."""

    def __init__(self, data_key: str) -> None:
        """Derive the key.

        Args:
            data_key: ``Settings.data_key``.
        """
        self._key = hmac.digest(data_key.encode(), _PURPOSE, "sha256")

    def of_key(self, tenant: str, key: str) -> str:
        """Of a tenant's idempotency key, in hexadecimal."""
        return self._digest((tenant.encode(), key.encode()))

    def of_request(self, route: str, *facts: str, body: Any) -> str:
        """Of what a request asks for, in hexadecimal; the order of members makes no difference.

        Args:
            route: Template of the path.
            facts: What else decides the answer: path parameters, headers.
            body: Decoded.

        Raises:
            MalformedRequest: If the body is nested too deep to be written again.
        """
        try:
            canonical = _canonical(body)
        except RecursionError:
            raise MalformedRequest("The body is nested too deep") from None
        return self._digest((route.encode(), *(fact.encode() for fact in facts), canonical))

    def _digest(self, parts: Iterable[bytes]) -> str:
        text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, text, "sha256").hex()
