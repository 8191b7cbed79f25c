"""A bucket whose objects are put once and locked for a time: S3 object lock, where the store has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cxr_tasks.installation.storage.objects import Bucket

_THERE_ALREADY = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_NO_LOCK = {"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented", "InvalidRequest"}


@dataclass(frozen=True, slots=True)
class Versions:
    """What a store has of one key."""

    n_versions: int
    first: str
    """Id of the oldest version."""
    is_hidden: bool
    """Whether a delete marker lies on them."""


class LockedBucket(Bucket):
    """As ``Bucket``; errors are told in the same way."""

    #: Whether it can lock, once that was asked.
    _locks: bool | None = None

    def ensure(self) -> None:
        """Make the bucket where it is not there yet, with object lock: a bucket has it from its beginning or never."""
        with self._told("the bucket"):
            if self._answer(self._client.head_bucket, Bucket=self.name) is None:
                self._client.create_bucket(Bucket=self.name, ObjectLockEnabledForBucket=True)

    def can_lock(self) -> bool:
        from botocore.exceptions import ClientError

        with self._told("the bucket"):
            try:
                answer = self._client.get_object_lock_configuration(Bucket=self.name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _NO_LOCK:
                    return False
                raise
            return answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"

    def put_once(self, key: str, content: bytes, until: datetime) -> None:
        """Put ``content`` under ``key``, locked where the bucket can; what is there already stays."""
        from botocore.exceptions import ClientError

        lock: dict[str, Any] = {}
        if self._locks is None:
            self._locks = self.can_lock()
        if self._locks:
            lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        with self._told(key):
            try:
                self._client.put_object(Bucket=self.name, Key=key, Body=content, IfNoneMatch="*", **lock)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _THERE_ALREADY:
                    raise

    def versions(self, prefix: str) -> dict[str, Versions]:
        """Key -> its versions, of all keys that begin with ``prefix``, hidden ones included; nothing for no bucket."""
        versions: dict[str, list[str]] = {}
        hidden = set()
        with self._told(f"{prefix}*"):
            if self._answer(self._client.head_bucket, Bucket=self.name) is None:
                return {}
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix):
                for version in page.get("Versions", []):  # the newest of a key first
                    versions.setdefault(version["Key"], []).append(version["VersionId"])
                hidden |= {marker["Key"] for marker in page.get("DeleteMarkers", [])}
        return {key: Versions(len(ids), ids[-1], key in hidden) for key, ids in versions.items()}

    def first(self, key: str, versions: Versions) -> bytes:
        """The content that was put under ``key`` first."""
        with self._told(key):
            answer = self._client.get_object(Bucket=self.name, Key=key, VersionId=versions.first)
            return answer["Body"].read()
