"""Payloads that are stored are encrypted with the data key: AES-256-GCM (NIST SP 800-38D).

What is sealed is bound to its place: the ciphertext of one record cannot be read as another's.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class Unsealable(Exception):
    """The text was sealed with another key, for another place, or not at all."""


class Sealer:
    """Seals and unseals with one key.

    Nonces are 96 random bits: one key is good for four billion texts before two of them are likely
    to share one (one in four billion, NIST SP 800-38D, section 8.3).
    """

    def __init__(self, data_key: str) -> None:
        """Take the key.

        Args:
            data_key: 32 bytes, base64url with or without padding (``Settings.data_key``).

        Raises:
            ValueError: If it is not 32 bytes.
        """
        key = urlsafe_b64decode(data_key.rstrip("=") + "=")
        if len(key) != 32:
            raise ValueError("the data key must be 32 bytes in base64url")
        self._cipher = AESGCM(key)

    def seal(self, text: bytes, place: str) -> str:
        """A text encrypted for a place: nonce, ciphertext and tag, base64url without padding.

        Args:
            text: To be kept.
            place: Where it will stand; has to be the same when it is read.
        """
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text, place.encode())
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, sealed: str, place: str) -> bytes:
        """The text that was sealed for a place.

        Raises:
            Unsealable: If it was not, or not with this key.
        """
        try:
            raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            raise Unsealable("The text cannot be unsealed with this key") from None
