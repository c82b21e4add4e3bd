"""What a student that was trained here must have in common with its base."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rdpt_core.models.spec import ModelSpec
from tasks.models import Model
from tasks.students import check_contract
from tests.core.models import tiny


@pytest.fixture
def base(tmp_path: Path) -> Model:
    tiny.make_qwen(tmp_path / "base")
    shutil.copytree(tmp_path / "base", tmp_path / "checkpoint")
    return Model(ModelSpec(path="base"), tmp_path)


def test_a_checkpoint_that_reads_as_its_base_does_is_taken(base: Model) -> None:
    check_contract(base, base.base / "checkpoint")


def test_one_that_reads_prompts_otherwise_is_refused(base: Model) -> None:
    """Scoring, fine-tuning and evaluation lay a trace by one contract, or not at all."""
    template = base.base / "checkpoint" / "chat_template.jinja"
    assert template.exists()
    template.write_text(template.read_text() + "{{ 'Think first.' }}")
    with pytest.raises(RuntimeError, match="their render contracts differ"):
        check_contract(base, base.base / "checkpoint")
