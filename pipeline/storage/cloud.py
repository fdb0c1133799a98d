"""Google Cloud Storage and Azure Blob Storage behind the same interface as S3; reached through `open_storage` only."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from pipeline.config.run import StorageConfig
from pipeline.errors import ConfigError
from pipeline.storage.base import ObjectExists, ObjectInfo, PreconditionFailed, Storage, TransientError, content_type


def open_cloud_storage(uri: str, settings: StorageConfig) -> Storage:
    """Open `gs://bucket/prefix` or `az://container/prefix`.

    Raises:
        ConfigError: the client is not installed, or the address has no bucket.
    """
    try:
        if uri.startswith("gs://"):
            import google.cloud.storage  # noqa: F401

            return GoogleStorage(uri, settings)
        import azure.storage.blob  # noqa: F401

        return AzureStorage(uri, settings)
    except ImportError as error:
        extra = "gcs" if uri.startswith("gs://") else "azure"
        raise ConfigError(f"{uri}: needs an extra package; run: pip install 'spark-tts-batch[{extra}]'") from error


class _CloudStorage(Storage):
    def __init__(self, uri: str, settings: StorageConfig) -> None:
        super().__init__(uri.rstrip("/"), settings)
        self._bucket, _, prefix = self.uri.partition("://")[2].partition("/")
        if not self._bucket:
            raise ConfigError(f"{uri}: expected {uri.partition('://')[0]}://BUCKET/PREFIX")
        self._prefix = f"{prefix}/" if prefix else ""

    def _not_found(self, operation: str, path: str, cause: Exception) -> Exception:
        if operation in ("put", "list"):  # These need no object, so it is the bucket that is missing.
            return self._refuse(operation, path, cause, "create the bucket or correct its name")
        return FileNotFoundError(errno.ENOENT, "no such object", f"{self.uri}/{path}")


class GoogleStorage(_CloudStorage):
    """A GCS bucket; an etag is the object's generation."""

    @cached_property
    def _client(self) -> Any:
        from google.cloud import storage

        return storage.Client()

    def _blob(self, path: str) -> Any:
        return self._client.bucket(self._bucket).blob(self._prefix + path)

    @contextmanager
    def _explained(self, operation: str, path: str) -> Iterator[None]:
        from google.api_core import exceptions
        from google.auth.exceptions import DefaultCredentialsError
        from requests.exceptions import RequestException

        try:
            yield
        except exceptions.NotFound as error:
            raise self._not_found(operation, path, error) from error
        except exceptions.PreconditionFailed as error:
            raise PreconditionFailed(path) from error
        except (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError, RequestException) as error:
            raise TransientError from error
        except (exceptions.ClientError, DefaultCredentialsError) as error:
            raise self._refuse(operation, path, error, "check the credentials and the bucket's permissions") from error

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        condition = {} if if_match is None else {"if_generation_match": int(if_match)}
        if if_absent:
            condition = {"if_generation_match": 0}
        try:
            with self._explained("put", path):
                blob = self._blob(path)
                blob.upload_from_string(data, content_type=content_type(path), retry=None, **condition)
        except PreconditionFailed as error:
            raise (ObjectExists(path) if if_absent else error) from error
        return str(blob.generation)

    def _get(self, path: str) -> tuple[bytes, str]:
        with self._explained("get", path):
            blob = self._blob(path)
            data = blob.download_as_bytes(retry=None)
            return data, str(blob.generation)

    def _find(self, path: str) -> ObjectInfo | None:
        with self._explained("head", path):
            blob = self._client.bucket(self._bucket).get_blob(self._prefix + path, retry=None)
        return None if blob is None else ObjectInfo(path, blob.size, str(blob.generation))

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError), self._explained("delete", path):
            self._blob(path).delete(retry=None)

    def _list_page(self, prefix: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        with self._explained("list", prefix):
            listing = self._client.list_blobs(self._bucket, prefix=self._prefix + prefix, page_token=token)
            page = [
                ObjectInfo(blob.name[len(self._prefix) :], blob.size, str(blob.generation))
                for blob in next(listing.pages, ())
                if not blob.name.endswith("/")
            ]
            return page, listing.next_page_token

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        with self._explained("read", info.path):
            blob = self._blob(info.path)
            return bytes(
                blob.download_as_bytes(start=start, end=stop - 1, if_generation_match=int(info.etag), retry=None)
            )


class AzureStorage(_CloudStorage):
    """An Azure container; the account comes from `AZURE_STORAGE_CONNECTION_STRING`."""

    @cached_property
    def _client(self) -> Any:
        from azure.storage.blob import ContainerClient

        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if not connection:
            raise ConfigError(f"{self.uri}: set AZURE_STORAGE_CONNECTION_STRING to reach this store")
        return ContainerClient.from_connection_string(connection, self._bucket, retry_total=0)

    @contextmanager
    def _explained(self, operation: str, path: str) -> Iterator[None]:
        from azure.core import exceptions

        try:
            yield
        except exceptions.ResourceNotFoundError as error:
            raise self._not_found(operation, path, error) from error
        except (exceptions.ResourceExistsError, exceptions.ResourceModifiedError) as error:
            raise PreconditionFailed(path) from error
        except exceptions.HttpResponseError as error:
            if error.status_code is None or error.status_code >= 500 or error.status_code in (408, 429):
                raise TransientError from error
            raise self._refuse(operation, path, error, "check the connection string and its permissions") from error
        except exceptions.AzureError as error:
            raise TransientError from error

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        from azure.core import MatchConditions
        from azure.storage.blob import ContentSettings

        condition = {} if if_match is None else {"etag": if_match, "match_condition": MatchConditions.IfNotModified}
        try:
            with self._explained("put", path):
                kind = ContentSettings(content_type=content_type(path))
                answer = self._client.upload_blob(
                    self._prefix + path, data, overwrite=not if_absent, content_settings=kind, **condition
                )
                return str(answer.get_blob_properties()["etag"])
        except PreconditionFailed as error:
            raise (ObjectExists(path) if if_absent else error) from error

    def _get(self, path: str) -> tuple[bytes, str]:
        with self._explained("get", path):
            stream = self._client.download_blob(self._prefix + path)
            return stream.readall(), str(stream.properties["etag"])

    def _find(self, path: str) -> ObjectInfo | None:
        try:
            with self._explained("head", path):
                found = self._client.get_blob_client(self._prefix + path).get_blob_properties()
        except FileNotFoundError:
            return None
        return ObjectInfo(path, found["size"], str(found["etag"]))

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError), self._explained("delete", path):
            self._client.delete_blob(self._prefix + path)

    def _list_page(self, prefix: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        with self._explained("list", prefix):
            pages = self._client.list_blobs(name_starts_with=self._prefix + prefix).by_page(token)
            page = [
                ObjectInfo(blob["name"][len(self._prefix) :], blob["size"], str(blob["etag"]))
                for blob in next(pages, ())
            ]
            return page, pages.continuation_token or None

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        from azure.core import MatchConditions

        with self._explained("read", info.path):
            stream = self._client.download_blob(
                self._prefix + info.path,
                offset=start,
                length=stop - start,
                etag=info.etag,
                match_condition=MatchConditions.IfNotModified,
            )
            return bytes(stream.readall())
