"""A small Qwen3 folder as a GGUF file: `python qwen_gguf.py FOLDER FILE`; needs only `gguf`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write(folder: Path, file: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(file, "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config)
    for name, values in read_safetensors(folder / "model.safetensors").items():
        writer.add_tensor(tensor_name(name), values)
    finish(writer)


def finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, spec: dict[str, Any], config: dict[str, Any]) -> None:
    added = {item["id"]: item["content"] for item in spec["added_tokens"]}
    named = {number: token for token, number in spec["model"]["vocab"].items()} | added
    names = [named.get(number, f"[pad{number}]") for number in range(config["vocab_size"])]
    control = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    merges = [m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(names)
    writer.add_token_types([control[number not in added] for number in range(len(names))])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(next(i for i, text in added.items() if "im_end" in text))
    # The default is 11, which llama-cpp-python omits from its echo.
    writer.add_bos_token_id(next(i for i, text in added.items() if "im_start" in text))
    writer.add_add_bos_token(False)


def tensor_name(name: str) -> str:
    """llama.cpp's name for a tensor of transformers."""
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in fixed:
        return fixed[name]
    _, _, layer, *rest = name.removesuffix(".weight").split(".")
    return f"blk.{layer}.{NAMES['.'.join(rest)]}.weight"


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """Tensors in float32; the format is a JSON header and the bytes."""
    raw = file.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header, found = json.loads(raw[8 : 8 + size]), {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, stop = (8 + size + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw[start:stop], "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = np.frombuffer(raw[start:stop], {"F32": "<f4", "F16": "<f2"}[entry["dtype"]])
        found[name] = values.astype(np.float32).reshape(entry["shape"])
    return found


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
