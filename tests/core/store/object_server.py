"""A server of objects on this machine, over real HTTP: moto's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from rdpt_core.store.objects import Objects

BUCKET = "bucket"


@contextmanager
def serving() -> Iterator[str]:
    """An address of a bucket on a server that AWS_* variables name. Skips without moto."""
    server_module = pytest.importorskip("moto.server", reason="needs moto[server]")
    pytest.importorskip("obstore", reason="needs obstore (rdpt[s3])")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a secret of somebody")
        httpx.put(f"{endpoint}/{BUCKET}").raise_for_status()
        yield f"s3://{BUCKET}"
        server.stop()


def names(objects: Objects, below: str) -> list[str]:
    """Names of all objects below a name, with it."""
    import obstore

    return sorted(one["path"] for one in obstore.list(objects._store, below).collect())
