"""An object store that several machines share, `s3://bucket/prefix`.

All that it must do is what S3 does: reads see the last write, and a put may be conditional, so that
of several who create an object one succeeds. obstore gives both (s3fs has no conditional put at the
time of writing). Secrets come from AWS_* variables alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"
RETRY_SECONDS = 30
"""A request is repeated for this long; obstore's own default is three minutes."""
MISSING = "RDPT_STORE is an object store, which needs obstore: pip install 'rdpt[s3]'"


class StoreUnreachable(ConnectionError):
    """The object store did not answer, or refused."""


@dataclass(frozen=True)
class Objects:
    """Objects below an address, by name. It is a Board of leases too."""

    address: str

    def read(self, name: str) -> bytes | None:
        import obstore

        with self._named(name):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def create(self, name: str, content: bytes) -> bool:
        """False, and nothing changes, if the object exists with other content."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._named(name):
            try:
                obstore.put(self._store, name, content, mode="create")
            except AlreadyExistsError:
                # A put whose answer was lost is repeated, and then meets itself.
                return self.read(name) == content
            return True

    def write(self, name: str, content: bytes) -> None:
        import obstore

        with self._named(name):
            obstore.put(self._store, name, content)

    def remove(self, name: str) -> None:
        import obstore

        with self._named(name):
            obstore.delete(self._store, name)

    def entries(self, name: str) -> list[str]:
        """Names of the objects below `name`, without it."""
        import obstore

        with self._named(name):
            listed = obstore.list(self._store, f"{name}/", chunk_size=1000)
            return [one["path"].rpartition("/")[2] for batch in listed for one in batch]

    def upload(self, name: str, path: Path) -> None:
        """In several requests where the file is large."""
        import obstore

        with self._named(name):
            obstore.put(self._store, name, path)

    def download(self, name: str, path: Path) -> bool:
        """False if there is no such object."""
        import obstore

        with self._named(name), path.open("wb") as file:
            try:
                for chunk in obstore.get(self._store, name):
                    file.write(chunk)
            except FileNotFoundError:
                return False
        return True

    @cached_property
    def _store(self) -> S3Store:
        try:
            from obstore.store import S3Store
        except ImportError as error:
            raise ModuleNotFoundError(MISSING, name="obstore") from error
        # Only an endpoint that is set to http:// is asked by it; the default ones are https.
        return S3Store.from_url(
            self.address,
            client_options={"allow_http": True, "timeout": "5min"},
            retry_config={"max_retries": 6, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        )

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Errors of obstore, most of which are no OSError, as one that names the address."""
        self._store  # noqa: B018 - obstore is there from here on
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, PermissionError) as error:
            first = str(error).splitlines()[0]
            raise StoreUnreachable(
                f"the store {self.address} failed at {name}: {first}. Check its address, the "
                "AWS_* variables (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY) and the network, then run the same command again"
            ) from error
