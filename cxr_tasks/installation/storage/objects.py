"""The S3 store of an installation, for what is whole and final: one bucket, named by ``CXR_BUCKET``.

Keys and endpoint come by boto3's own variables (``AWS_SHARED_CREDENTIALS_FILE``, ``AWS_ENDPOINT_URL_S3``). boto3 is
imported where it is used: one machine has no bucket and need not have the library.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable

_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchBucket"}


def bucket_name() -> str:
    """The bucket of this installation; empty where it has none."""
    return os.environ.get("CXR_BUCKET", "")


@dataclass(frozen=True, slots=True)
class ObjectState:
    """An object from outside."""

    size: int
    """Bytes."""
    etag: str
    """Another for another content."""
    modified_ns: int


class Bucket:
    """The objects of the installation's bucket.

    Every method raises ``ServiceUnavailable`` when the store does not answer or refuses, without the keys.
    """

    def __init__(self, name: str = ""):
        self.name = name or bucket_name()
        if not self.name:
            raise ConfigurationError("CXR_BUCKET: expected the name of a bucket, found none")
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigurationError(
                "CXR_BUCKET is set: expected the package boto3, found none; install with 'make CLUSTER=1'"
            ) from None
        config = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": 4, "mode": "standard"})
        # boto3's default session keeps the first keys it read for as long as the process lives.
        self._client = boto3.session.Session().client("s3", config=config)

    def ensure(self) -> None:
        """Make the bucket where it is not there yet."""
        with self._told("the bucket"):
            if self._answer(self._client.head_bucket, Bucket=self.name) is None:
                self._client.create_bucket(Bucket=self.name)

    def put(self, key: str, content: bytes) -> None:
        """Put ``content`` in the place of what is there; a reader gets the old or the new one whole."""
        with self._told(key):
            self._client.put_object(Bucket=self.name, Key=key, Body=content)

    def put_file(self, key: str, path: Path) -> None:
        with self._told(key):
            self._client.upload_file(str(path), self.name, key)

    def get(self, key: str) -> bytes | None:
        """The object's content; None where there is none."""
        with self._told(key):
            answer = self._answer(self._client.get_object, Bucket=self.name, Key=key)
            return None if answer is None else answer["Body"].read()

    def has(self, key: str) -> bool:
        with self._told(key):
            return self._answer(self._client.head_object, Bucket=self.name, Key=key) is not None

    def fetch(self, key: str, path: Path) -> None:
        """Write the object to ``path``; an object that is not there is a ``ServiceUnavailable`` too."""
        with self._told(key):
            self._client.download_file(self.name, key, str(path))

    def listing(self, prefix: str = "") -> dict[str, int]:
        """Key -> size in bytes of every object whose key begins with ``prefix``."""
        return {key: state.size for key, state in self.states(prefix).items()}

    def states(self, prefix: str = "") -> dict[str, ObjectState]:
        """Key -> what the store says of every object whose key begins with ``prefix``."""
        with self._told(f"{prefix}*"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return {
                told["Key"]: ObjectState(
                    int(told["Size"]), str(told["ETag"]).strip('"'), int(told["LastModified"].timestamp() * 1e9)
                )
                for page in pages
                for told in page.get("Contents", [])
            }

    @contextlib.contextmanager
    def opened(self, key: str) -> Iterator[tuple[Any, int]]:
        """The object's content as a stream to ``read`` from, and its size; an absent one is ``ServiceUnavailable``."""
        with self._told(key):
            answer = self._client.get_object(Bucket=self.name, Key=key)
            with contextlib.closing(answer["Body"]) as stream:
                yield stream, int(answer["ContentLength"])

    def copy(self, key: str, to: str) -> None:
        """Copy an object within the bucket, by the store itself."""
        with self._told(key):
            self._client.copy({"Bucket": self.name, "Key": key}, self.name, to)

    def _answer(self, call: Any, **arguments: Any) -> Any:
        from botocore.exceptions import ClientError

        try:
            return call(**arguments)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _ABSENT:
                return None
            raise

    @contextlib.contextmanager
    def _told(self, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise ServiceUnavailable(f"s3://{self.name}/{key}: the store does not give or take it: {error}") from None
