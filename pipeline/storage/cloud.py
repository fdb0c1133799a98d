"""Google Cloud Storage and Azure Blob Storage behind the same interface as S3; reached through `open_storage` only."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
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
    describe_cause,
)

_ACCOUNT = "AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCOUNT or storage.endpoint_url"


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
        raise ConfigError(f"{uri}: needs an extra package; run: {name_extra(extra)}") from error


class _CloudStorage(Storage):
    def __init__(self, uri: str, settings: StorageConfig) -> None:
        super().__init__(uri.rstrip("/"), settings)
        self._bucket, _, prefix = self.uri.partition("://")[2].partition("/")
        if not self._bucket:
            raise ConfigError(f"{uri}: expected {uri.partition('://')[0]}://BUCKET/PREFIX")
        self._prefix = f"{prefix}/" if prefix else ""

    def _not_found(self, operation: str, path: str, cause: Exception) -> Exception:
        if operation in ("put", "list"):  # These need no object, so it is the bucket that is missing.
            kind = "container" if self.uri.startswith("az:") else "bucket"
            return self._refuse(operation, path, cause, f"create the {kind} or correct its name")
        return FileNotFoundError(errno.ENOENT, "no such object", f"{self.uri}/{path}")


class GoogleStorage(_CloudStorage):
    """A GCS bucket; an etag is the object's generation."""

    @cached_property
    def _client(self) -> Any:
        from google.cloud import storage

        return storage.Client(project=None)  # Buckets have names of their own; a project need not be known.

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
        except (exceptions.TooManyRequests, exceptions.ServiceUnavailable) as error:
            raise Throttled from error
        except (exceptions.ServerError, exceptions.RetryError, RequestException) as error:
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
            prefix = self._prefix + prefix
            listing = self._client.list_blobs(self._bucket, prefix=prefix, page_token=token, retry=None)
            page = [
                ObjectInfo(blob.name[len(self._prefix) :], blob.size, str(blob.generation))
                for blob in next(listing.pages, ())
                if not blob.name.endswith("/")
            ]
            return page, listing.next_page_token

    def _read_range(self, info: ObjectInfo, start: int, stop: int) -> bytes:
        with self._explained("read", info.path):
            blob = self._blob(info.path)
            condition = {"if_generation_match": int(info.etag)}
            data = blob.download_as_bytes(start=start, end=stop - 1, retry=None, **condition)
        if str(blob.generation) != info.etag:  # Not every store that speaks this protocol heeds the condition.
            raise PreconditionFailed(info.path)
        return bytes(data)


class AzureStorage(_CloudStorage):
    """An Azure container.

    The account and the right to use it come from `AZURE_STORAGE_CONNECTION_STRING`; or the account's address from
    `storage.endpoint_url` or `AZURE_STORAGE_ACCOUNT`, and the right from a managed or workload identity, a service
    principal or a login, whichever `azure-identity` finds.
    """

    @cached_property
    def _client(self) -> Any:
        from azure.storage.blob import ContainerClient

        # Each request would be logged on thirty lines.
        quiet = logging.getLogger(f"{__name__}.azure")
        quiet.setLevel(logging.WARNING)
        options: dict[str, Any] = {"retry_total": 0, "logger": quiet, "connection_timeout": 10, "read_timeout": 60}
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        try:
            if connection:
                return ContainerClient.from_connection_string(connection, self._bucket, **options)
            return ContainerClient(self._account_url(), self._bucket, credential=self._credential(), **options)
        except ValueError as error:
            raise ConfigError(f"{self.uri}: no Azure account: {describe_cause(error)}; correct {_ACCOUNT}") from None

    def _account_url(self) -> str:
        account = os.environ.get("AZURE_STORAGE_ACCOUNT")
        url = self.settings.endpoint_url or (f"https://{account}.blob.core.windows.net" if account else "")
        if not url:
            raise ConfigError(f"{self.uri}: which account is not known; set {_ACCOUNT} to reach this store")
        return url

    def _credential(self) -> Any:
        try:
            from azure.identity import DefaultAzureCredential
        except ImportError as error:
            raise ConfigError(f"{self.uri}: needs an extra package; run: {name_extra('azure')}") from error
        return DefaultAzureCredential()

    @contextmanager
    def _explained(self, operation: str, path: str) -> Iterator[None]:
        from azure.core import exceptions

        try:
            yield
        except exceptions.ClientAuthenticationError as error:
            raise self._refuse(
                operation, path, error, f"give an identity the right to use it, or set {_ACCOUNT}"
            ) from error
        except exceptions.HttpResponseError as error:
            code = getattr(error, "error_code", None)
            if (
                error.status_code == 412
                or code == "BlobAlreadyExists"
                or (operation == "put" and code == "BlobNotFound")
            ):
                raise PreconditionFailed(path) from error
            if error.status_code == 404:
                raise self._not_found(operation, path, error) from error
            if error.status_code in (429, 503):
                raise Throttled from error
            if error.status_code is None or error.status_code >= 500 or error.status_code == 408:
                raise TransientError from error
            raise self._refuse(
                operation, path, error, "check the account, its container and your permissions"
            ) from error
        except exceptions.AzureError as error:
            raise TransientError from error

    def _put(self, path: str, data: bytes, if_absent: bool, if_match: str | None) -> str:
        from azure.core import MatchConditions
        from azure.storage.blob import ContentSettings

        condition = {} if if_match is None else {"etag": if_match, "match_condition": MatchConditions.IfNotModified}
        try:
            with self._explained("put", path):
                blob = self._client.get_blob_client(self._prefix + path)
                kind = ContentSettings(content_type=content_type(path))
                # The etag of the answer: whoever asks for it afterward may get that of somebody else's object.
                answer = blob.upload_blob(data, overwrite=not if_absent, content_settings=kind, **condition)
                return _quoted(answer["etag"])
        except PreconditionFailed as error:
            raise (ObjectExists(path) if if_absent else error) from error

    def _get(self, path: str) -> tuple[bytes, str]:
        with self._explained("get", path):
            stream = self._client.download_blob(self._prefix + path)
            return stream.readall(), _quoted(stream.properties["etag"])

    def _find(self, path: str) -> ObjectInfo | None:
        try:
            with self._explained("head", path):
                found = self._client.get_blob_client(self._prefix + path).get_blob_properties()
        except FileNotFoundError:
            return None
        return None if _is_folder(found) else ObjectInfo(path, found["size"], _quoted(found["etag"]))

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError), self._explained("delete", path):
            self._client.delete_blob(self._prefix + path)

    def _list_page(self, prefix: str, token: str | None) -> tuple[list[ObjectInfo], str | None]:
        with self._explained("list", prefix):
            listing = self._client.list_blobs(name_starts_with=self._prefix + prefix, include=["metadata"])
            pages = listing.by_page(token)
            page = [
                ObjectInfo(blob["name"][len(self._prefix) :], blob["size"], _quoted(blob["etag"]))
                for blob in next(pages, ())
                if not _is_folder(blob)
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


def _quoted(etag: Any) -> str:
    """Return an etag as answers and conditions have it; listings leave the quotes out."""
    return f'"{str(etag).strip(chr(34))}"'


def _is_folder(blob: Any) -> bool:
    # Accounts with a hierarchical namespace list folders, too.
    return str(blob["name"]).endswith("/") or (blob["metadata"] or {}).get("hdi_isfolder") == "true"
