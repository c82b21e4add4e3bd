"""The tokenizer of a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpt_core.models.rendering.tokenizer_files import read_vocabulary


@pytest.mark.fault("F34")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tokenizer.model", r"pip install 'rdpt\[sentencepiece\]'"),
        ("tekken.json", "there is no tokenizer.json, nor vocab.json with merges.txt"),
    ],
)
def test_a_folder_without_tokenizer_json_says_what_to_install_or_to_write(
    tmp_path: Path, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpt_core.models.rendering.tokenizer_files.find_spec", lambda name: None)
    (tmp_path / name).write_bytes(b"\x0a\x0e\x0a\x05<unk>")
    with pytest.raises(ValueError, match=said):
        read_vocabulary(tmp_path)
