"""S3, and stores that speak it, behind the same interface as a local folder; reached through `open_storage` only.

boto3 rather than smart_open: conditional puts need the etag of the answer, and a WAV is one request, not three.
"""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from typing import Any

from pipeline.config.extras import name_extra
from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError
from pipeline.storage.base import (
    ObjectExists,
    ObjectInfo,
    PreconditionFailed,
    Storage,
    Throttled,
    TransientError,
    content_type,
)

_READ_TIMEOUT_S = 60.0
"""Of silence while an answer is awaited or read."""


class S3Storage(Storage):
    """An S3 bucket or a prefix in it, or any store that speaks S3 (`storage.endpoint_url`)."""

    # Refusals with a status below 500 that pass all the same.
    _THROTTLES = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown"})

    def __init__(self, uri: str, settings: StorageConfig) -> None:
        super().__init__(uri.rstrip("/"), settings)
        self._bucket, _, prefix = self.uri.partition("://")[2].partition("/")
        if not self._bucket:
            raise ConfigError(f"{uri}: expected s3://BUCKET/PREFIX")
        self._prefix = f"{prefix}/" if prefix else ""
        self._lock = threading.Lock()
        self._made: tuple[Any, Any] | None = None
        """The client, and the credentials that were found for it."""

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                try:
                    self._made = _make_s3_client(self.settings)
                except ImportError as error:
                    raise ConfigError(f"{self.uri}: needs an extra package; run: {name_extra('s3')}") from error
            return self._made[0]

    def _find_newer_credentials(self, refused: Any) -> bool:
        """Look whether credentials were renewed, in a file or by a role, since the refused client was made."""
        with self._lock:
            if self._made is not None and self._made[0] is refused:
                made = _make_s3_client(self.settings)
                if made[1] == self._made[1]:
                    return False
                self._made = made
            return True

    def _call(self, operation: str, path: str, **arguments: Any) -> Any:
        """Send one request and sort its failure: transient, refused for good, or an answer of its own."""
        client = self._client
        import botocore.exceptions as failures

        try:
            return getattr(client, operation)(Bucket=self._bucket, **arguments)
        except failures.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("NoSuchKey", "404", "NotFound") or (status == 404 and code != "NoSuchBucket"):
                raise FileNotFoundError(errno.ENOENT, "no such object", f"{self.uri}/{path}") from error
            if status == 412 or code == "PreconditionFailed":
                raise PreconditionFailed(path) from error
            if status in (429, 503) or code in self._THROTTLES:
                raise Throttled from error
            if status >= 500 or status in (408, 409) or code == "RequestTimeout":
                raise TransientError from error
            # Expired ones are refused with 400 or 403, and a HEAD without a word of why.
            if status in (400, 401, 403) and self._find_newer_credentials(client):
                raise TransientError from error
            remedy = {
                "ExpiredToken": "renew the credentials, then run the same command again",
                "EntityTooLarge": "begin a new output with a smaller unit_size: packed clips of a unit are one object",
                "NoSuchBucket": "create the bucket or correct its name",
                "AccessDenied": "give these credentials the right to list, read, write and delete here",
            }.get(code, "check the credentials, the region and storage.endpoint_url")
            raise self._refuse(operation, path, error, remedy) from error
        except (failures.NoCredentialsError, failures.PartialCredentialsError, failures.ParamValidationError) as error:
            raise self._refuse(operation, path, error, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
        except _broken_answers() as error:
            raise TransientError from error

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        conditions = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        try:
            answer = self._call(
                "put_object",
                path,
                Key=self._prefix + path,
                Body=data,
                ContentType=content_type(path),
                **conditions,
            )
        except PreconditionFailed as error:
            raise (ObjectExists(path) if if_absent else error) from error
        except FileNotFoundError as error:  # How some stores answer If-Match on an object that is gone.
            raise PreconditionFailed(path) from error
        return str(answer["ETag"])

    def _get(self, path: str) -> tuple[bytes, str]:
        answer = self._call("get_object", path, Key=self._prefix + path)
        return self._read_body(answer), str(answer["ETag"])

    def _read_body(self, answer: Any) -> bytes:
        try:
            return bytes(answer["Body"].read())
        except _broken_answers() as error:
            raise TransientError from error

    def _find(self, path: str) -> ObjectInfo | None:
        try:
            answer = self._call("head_object", path, Key=self._prefix + path)
        except FileNotFoundError:
            return None
        return ObjectInfo(path, answer["ContentLength"], str(answer["ETag"]))

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._call("delete_object", path, Key=self._prefix + path)

    def _list_page(self, prefix: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        more = {"ContinuationToken": token} if token else {}
        answer = self._call("list_objects_v2", prefix, Prefix=self._prefix + prefix, **more)
        skip = len(self._prefix)
        found = [
            ObjectInfo(item["Key"][skip:], item["Size"], str(item["ETag"]))
            for item in answer.get("Contents", ())
            if not item["Key"].endswith("/")  # Markers that browsers put for "folders".
        ]
        return found, answer.get("NextContinuationToken")

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        key = self._prefix + info.path
        answer = self._call("get_object", info.path, Key=key, Range=f"bytes={start}-{stop - 1}", IfMatch=info.etag)
        return self._read_body(answer)


def _broken_answers() -> tuple[type[Exception], ...]:
    """What is raised where a connection breaks or stands still: botocore wraps only some of what lies below it."""
    from botocore.exceptions import BotoCoreError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, ResponseParserError, HTTPError, OSError


def _make_s3_client(settings: StorageConfig) -> tuple[Any, Any]:
    """Return a client and the credentials that it signs with now."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ConfigError(f"s3:// needs an extra package; run: {name_extra('s3')}") from error

    endpoint_url = settings.endpoint_url or os.environ.get("AWS_ENDPOINT_URL")
    config = Config(
        connect_timeout=10,
        read_timeout=_READ_TIMEOUT_S,
        # The retries are ours: they end in a StorageError that says what to do.
        retries={"total_max_attempts": 1},
        max_pool_connections=max(16, 2 * settings.upload_threads),
        # Checksums that only AWS knows make other stores refuse the put.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint_url else None,
    )
    # A session of its own: the default one is not thread-safe while it makes clients, and remembers credentials.
    session = boto3.session.Session()
    client = session.client(
        "s3", endpoint_url=endpoint_url, region_name=settings.region or os.environ.get("AWS_REGION"), config=config
    )
    credentials = session.get_credentials()
    return client, credentials and credentials.get_frozen_credentials()
