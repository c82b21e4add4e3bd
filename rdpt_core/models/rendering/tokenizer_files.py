"""The tokenizer of a model folder: tokenizer.json, or older files through transformers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer

from rdpt_core.models.rendering.vocabulary import Vocabulary


def read_vocabulary(folder: Path, gguf: str | None = None) -> Vocabulary:
    """The tokenizer of a local model folder; slow formats, and one inside a GGUF file, go through
    transformers."""
    path = folder / "tokenizer.json"
    if path.exists():
        return Vocabulary(Tokenizer.from_file(str(path)), read_special(folder))
    if gguf is None:
        _check_slow(folder)
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(folder, gguf_file=gguf, trust_remote_code=False)
    named = read_special(folder) or {
        name: token for name, token in loaded.special_tokens_map.items() if isinstance(token, str)
    }
    return Vocabulary(loaded.backend_tokenizer, named)


def _check_slow(folder: Path) -> None:
    """Raises ValueError for a folder without tokenizer.json whose other files are not enough."""
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        return
    if not (folder / "tokenizer.model").exists():
        raise ValueError(
            "there is no tokenizer.json, nor vocab.json with merges.txt, nor tokenizer.model: "
            "write tokenizer.json with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    missing = [name for name in ("sentencepiece", "google.protobuf") if not _is_installed(name)]
    if missing:
        raise ValueError(
            "there is tokenizer.model and no tokenizer.json, and reading that needs the packages "
            "sentencepiece and protobuf: pip install 'rdpt[sentencepiece]', or write tokenizer.json"
        )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package inside a package
        return False


def read_special(folder: Path) -> dict[str, str]:
    """Named control tokens of `special_tokens_map.json` and `tokenizer_config.json`."""
    named: dict[str, str] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        for key, value in (json.loads(path.read_text()) if path.exists() else {}).items():
            content = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(content, str):
                named[key] = content
    return named
