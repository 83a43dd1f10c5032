"""Opens the object store that the settings name, or says in one line why it cannot be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from msgspec import Struct
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from control_plane.environment import InvalidSettings
from control_plane.setting_groups import UploadSettings
from control_plane.uploads.bucket import BucketContents, ProviderSigner, S3Signer
from control_plane.uploads.folder import FolderContents
from control_plane.uploads.links import LinkSigner
from control_plane.uploads.shapes import Contents
from control_plane.uploads.sigv4 import Credentials
from control_plane.uploads.store import ObjectStore

_CLIENT: Final[dict[str, Any]] = {"connect_timeout": "2s", "timeout": "30s"}
_RETRY: Final[dict[str, Any]] = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_AZURE_HEADERS: Final = {"x-ms-blob-type": "BlockBlob"}


class Opened(Struct, frozen=True):
    """An object store.

    Attributes:
        objects: Objects by key.
        contents: Those of uploads.
        own: Of a folder: where objects are written, and who signs for them.
    """

    objects: ObjectStore
    contents: Contents
    own: tuple[FolderContents, LinkSigner] | None = None


def open_objects(
    settings: UploadSettings,
    data_key: str,
    environment: Mapping[str, str] = os.environ,
) -> Opened:
    """Open the store; no server is asked for anything yet.

    A folder is made if the one above it is there.

    Args:
        settings: Name the store.
        data_key: ``Settings.data_key``; addresses of a folder's objects are signed with one of it.
        environment: Has the provider's own variables.

    Raises:
        InvalidSettings: With one line, if a folder is missing or cannot be written, or credentials
            are.
    """
    scheme, _, place = settings.store.rpartition("://")
    if not scheme:
        return _folder(Path(place), LinkSigner(data_key))
    bucket, _, prefix = place.partition("/")
    prefix = prefix.strip("/")
    try:
        if scheme == "s3":
            return _s3(settings, bucket, prefix, environment)
        return _provider(scheme, bucket, prefix)
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise _refused(f"{settings.store} cannot be opened: {reason}") from None


def _folder(path: Path, signer: LinkSigner) -> Opened:
    root = path.absolute()
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise _refused(f"the folder {root} cannot be written: {error.strerror}") from None
    contents = FolderContents(root, signer)
    return Opened(ObjectStore(LocalStore(root)), contents, (contents, signer))


def _s3(
    settings: UploadSettings, bucket: str, prefix: str, environment: Mapping[str, str]
) -> Opened:
    credentials = Credentials(
        environment.get("AWS_ACCESS_KEY_ID", ""),
        environment.get("AWS_SECRET_ACCESS_KEY", ""),
        environment.get("AWS_SESSION_TOKEN", ""),
    )
    if not credentials.access_key or not credentials.secret_key:
        raise _refused("s3:// needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    base = f"https://{bucket}.s3.{region}.amazonaws.com"
    config: dict[str, Any] = {
        "aws_access_key_id": credentials.access_key,
        "aws_secret_access_key": credentials.secret_key,
        "region": region,
    }
    if credentials.token:
        config["aws_session_token"] = credentials.token
    if settings.endpoint is not None:
        base = f"{settings.endpoint}/{bucket}"
        config |= {"endpoint": settings.endpoint, "virtual_hosted_style_request": False}
    plain = urlsplit(base).scheme == "http"
    backend = S3Store(
        bucket,
        prefix=prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options={**_CLIENT, "allow_http": plain},  # type: ignore[arg-type]
        retry_config=_RETRY,  # type: ignore[arg-type]
    )
    signer = S3Signer("/".join(part for part in (base, quote(prefix)) if part), region, credentials)
    objects = ObjectStore(backend)
    return Opened(objects, BucketContents(objects, signer))


def _provider(scheme: str, bucket: str, prefix: str) -> Opened:
    opened: dict[str, Any] = {"prefix": prefix or None, "client_options": _CLIENT,
                              "retry_config": _RETRY}  # fmt: skip
    backend: GCSStore | AzureStore
    if scheme == "gs":
        backend, headers = GCSStore(bucket, **opened), {}
    else:
        backend, headers = AzureStore(bucket, **opened), _AZURE_HEADERS
    objects = ObjectStore(backend)
    return Opened(objects, BucketContents(objects, ProviderSigner(backend, headers)))


def _refused(line: str) -> InvalidSettings:
    return InvalidSettings([f"TIDEGATE_UPLOADS_STORE: {line}"])
