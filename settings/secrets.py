"""Secrets that the environment or `.env` holds, so that no line which rdpt prints or writes repeats
one. They are known by their values: a message may quote a secret in any shape.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values

NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|AUTH_STRING|CREDENTIALS?)$", re.IGNORECASE)
"""Variables whose value is a secret, such as HF_TOKEN or MLFLOW_TRACKING_PASSWORD."""
IN_JSON = re.compile(r'"api_key"\s*:\s*"([^"]+)"')
"""A key inside RDPT_SERVERS."""
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)
LEAST = 6
"""Characters; a shorter value, such as `true`, would be found in words that are none."""
MASK = "[secret]"


def redacted(text: str) -> str:
    """`text` without a secret, as it is or as JSON spells it."""
    found = {spelt for secret in secrets() for spelt in (secret, json.dumps(secret)[1:-1])}
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def secrets() -> Iterator[str]:
    for name, value in {**_env_file(), **os.environ}.items():
        if value:
            yield from (found for found in _in(name, value) if len(found) >= LEAST)


def _env_file() -> dict[str, str | None]:
    """Nothing where it cannot be read: a command says so itself, in a line that comes by here."""
    try:
        return dotenv_values(".env")
    except (OSError, ValueError):
        return {}


def _in(name: str, value: str) -> Iterator[str]:
    if NAMES.search(name):
        yield value
        yield value.partition(":")[2]  # the password of `user:password`
    yield from IN_JSON.findall(value)
    for address in ADDRESS.findall(value):
        password = userinfo(address)[1]
        yield password
        yield unquote(password)


def userinfo(address: str) -> tuple[str, str]:
    """User and password that an address holds; empty where there is none."""
    try:
        parts = urlsplit(address)
        return parts.username or "", parts.password or ""
    except ValueError:  # brackets that do not close
        return "", ""


def is_plain(address: str) -> bool:
    """True if an http address has neither user, password nor query, where secrets stand."""
    try:
        return userinfo(address) == ("", "") and not urlsplit(address).query
    except ValueError:
        return False
