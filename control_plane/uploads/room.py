"""The room's parts, put together for a process."""

from __future__ import annotations

import redis.asyncio as redis

from control_plane.egress.destinations import Fetch
from control_plane.sealing import Sealer
from control_plane.settings import Settings
from control_plane.uploads.lifecycle import Known, Lifecycle
from control_plane.uploads.opening import open_objects
from control_plane.uploads.receiving import Receiver
from control_plane.uploads.records import UploadRecords
from control_plane.uploads.remote import RemoteObjects
from control_plane.uploads.service import Uploads


class UploadRoom:
    """What a process has of the room.

    Attributes:
        uploads: Makes, shows, pins and reads uploads; an ``ObjectSource``.
        objects: Objects by key, such as large results.
        receiver: Takes objects at this API's own addresses; None if they go to a bucket.
    """

    def __init__(self, server: redis.Redis, settings: Settings, fetch: Fetch) -> None:
        """Open the store; no server is asked for anything yet.

        Args:
            server: The system of record.
            settings: Of the process.
            fetch: Reads objects at https addresses.

        Raises:
            InvalidSettings: With one line, if the store cannot be used.
        """
        given = settings.uploads
        opened = open_objects(given, settings.data_key)
        records = UploadRecords(
            server,
            Sealer(settings.data_key),
            link_s=given.link_s,
            unused_s=given.unused_s,
            most=given.open_per_tenant,
        )
        remote = RemoteObjects(fetch, given.buckets, anywhere=given.fetch == "anywhere")
        self.uploads = Uploads(records, opened.contents, remote, given.max_bytes)
        self.objects = opened.objects
        self.receiver = None if opened.own is None else Receiver(records, *opened.own)
        self._server, self._records, self._contents = server, records, opened.contents
        self._link_s = given.link_s

    def lifecycle(self, jobs: Known) -> Lifecycle:
        """What deletes objects; to be run in a worker.

        Args:
            jobs: Those of some ids of jobs that have a record; results of others are deleted.
        """
        return Lifecycle(
            self._server,
            self._records,
            self.objects,
            self._contents,
            link_s=self._link_s,
            jobs=jobs,
        )
