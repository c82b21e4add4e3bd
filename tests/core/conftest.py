from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.models import tiny


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Qwen3 (`qwen`), a tiny Llama (`llama`) and one without tags."""
    base = tmp_path_factory.mktemp("models")
    tiny.make_qwen(base / "qwen")
    tiny.make_llama(base / "llama")
    tiny.make_qwen(base / "plain", template=tiny.PLAIN)
    return base
