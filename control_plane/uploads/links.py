"""Signed addresses of this API's own, for objects that lie in a folder.

``PUT /objects/<id>?tenant=…&expires=…&signature=…``. The signature is the right: no API key comes
with such a request, and nothing is asked of any server to find that a signature does not fit. It
binds method, object, tenant, size, media type and end: HMAC-SHA-256 (RFC 2104) with a key that
HKDF (RFC 5869) makes of the data key, so that it is good for nothing else.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from urllib.parse import urlencode

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

METHOD: Final = "PUT"
PATH: Final = "/objects/"
_LABEL: Final = b"tidegate signed addresses of objects"


class Link(Struct, frozen=True):
    """What an address is signed for.

    Attributes:
        upload_id: The one object.
        tenant: Whose it is.
        size: Bytes, as in Content-Length.
        media_type: As in Content-Type.
        expires: Epoch second after which it is good for nothing.
    """

    upload_id: str
    tenant: str
    size: int
    media_type: str
    expires: int

    def text(self) -> bytes:
        """What is signed; no part of it can hold a line break."""
        parts = (METHOD, self.upload_id, self.tenant, str(self.size), self.media_type,
                 str(self.expires))  # fmt: skip
        return "\n".join(parts).encode()


class LinkSigner:
    """Signs and checks with one key."""

    def __init__(self, data_key: str) -> None:
        """Derive the key.

        Args:
            data_key: 32 bytes, base64url with or without padding (``Settings.data_key``).
        """
        secret = urlsafe_b64decode(data_key.rstrip("=") + "=")
        self._key = HKDF(SHA256(), 32, salt=None, info=_LABEL).derive(secret)

    def url(self, link: Link) -> str:
        """The address: a path with a query, relative to wherever this API is reached."""
        query = {
            "tenant": link.tenant,
            "expires": link.expires,
            "signature": self._signature(link),
        }
        return f"{PATH}{link.upload_id}?{urlencode(query)}"

    def fits(self, link: Link, signature: str) -> bool:
        """True if the signature is this link's; takes the same time wherever they differ."""
        return hmac.compare_digest(self._signature(link).encode(), signature.encode())

    def _signature(self, link: Link) -> str:
        digest = hmac.digest(self._key, link.text(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
