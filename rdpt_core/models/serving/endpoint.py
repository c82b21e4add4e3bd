"""A model server as a machine reaches it; what is asked there is in `http.py` and `server.py`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from rdpt_core.tables.recipe import Rule

LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")


class ModelServer(Rule):
    """A model server as this machine reaches it; nothing of it is identity."""

    url: str
    """Such as `http://127.0.0.1:8000/v1`."""
    api_key: SecretStr | None = None
    """Sent as a bearer token; from the environment alone."""
    deadline: float = Field(default=600.0, gt=0.0, le=86400.0)
    """Seconds for one request, from its sending to its last byte, before any token is counted."""
    token_seconds: float = Field(default=0.2, ge=0.0, le=3600.0)
    """Seconds that the deadline grows by with each token that a request asks for: a long trace is
    slow, not late."""
    patience: float = Field(default=540.0, ge=0.0, le=86400.0)
    """Seconds for which a server may be away (restarting, out of reach) before the run stops."""
    concurrency: int = Field(default=16, ge=1, le=1024)
    """Requests that are under way at the same time, at most."""

    @field_validator("url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no http:// or https:// address, such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("holds more than an address: give a key as ..._API_KEY")
        return url.rstrip("/")

    @property
    def root(self) -> str:
        """The address without the version of OpenAI's API."""
        return self.url.removesuffix("/v1")

    @property
    def is_here(self) -> bool:
        """True if the server is on this machine."""
        return bool(LOOPBACK.fullmatch(urlsplit(self.url).hostname or ""))
