"""AWS Signature Version 4 in the query string, for addresses that bind headers.

"Authenticating Requests: Using Query Parameters (AWS Signature Version 4)" of the Amazon S3 API
reference. Libraries sign the host alone; here each header that the request has to carry is signed
with it, so that one of another value, or left out, makes the server refuse the request.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"


class Credentials(Struct, frozen=True):
    """Of an account; never shown.

    Attributes:
        access_key: Its public part.
        secret_key: Its secret part.
        token: Of temporary credentials; empty for others.
    """

    access_key: str
    secret_key: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r})"


def presigned(
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
    seconds: int,
) -> str:
    """A signed address.

    Args:
        method: Of the request.
        url: ``https://host/path``, percent-encoded, without a query.
        headers: That the request has to carry, by lower-case name, beside Host.
        credentials: Who signs.
        region: Of the bucket.
        now: The time, UTC.
        seconds: How long it is good for, at most 604,800.
    """
    parts = urlsplit(url)
    signed = dict(sorted({**headers, "host": parts.netloc}.items()))
    names = ";".join(signed)
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": names,
    }
    if credentials.token:
        query["X-Amz-Security-Token"] = credentials.token
    asked = "&".join(f"{_quoted(name)}={_quoted(query[name])}" for name in sorted(query))
    lines = "".join(f"{name}:{value.strip()}\n" for name, value in signed.items())
    canonical = "\n".join((method, parts.path, asked, lines, names, UNSIGNED))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join((ALGORITHM, query["X-Amz-Date"], scope, digest))
    signature = hmac.new(_key(credentials, now, region), text.encode(), "sha256").hexdigest()
    return f"{url}?{asked}&X-Amz-Signature={signature}"


def _key(credentials: Credentials, now: datetime, region: str) -> bytes:
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (f"{now:%Y%m%d}", region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
