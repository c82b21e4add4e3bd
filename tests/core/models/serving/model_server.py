"""A model server for tests: real HTTP, real numbers of a small model, scripted faults.

It has the API of vLLM, of SGLang, or of OpenAI's first completions, and computes everything with
whole forward passes of transformers' own model: it uses none of rdpt's scoring. Parameters that a
request leaves out come from `defaults`, as vLLM takes them from generation_config.json.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.serving.probe import TEXTS
from rdpt_core.models.spec import ModelSpec
from rdpt_core.tables.rows import Problem

Body = dict[str, Any]
Fault = Callable[["Handler", Body], bool]
"""Responds in place of the model; returns True if it did."""
IMPOSSIBLE = -9999.0


@dataclass
class Written:
    ids: list[int]
    rows: list[Tensor]
    """Log-probabilities over all ids, one row per token."""
    processed: list[Tensor]
    """The same after penalties, temperature and truncation (top-k, top-p, min-p)."""
    stopped: bool


class Brain:
    """The model: one row of log-probabilities after each token."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.vocabulary = loaded, loaded.renderer.vocabulary
        self._lock = threading.Lock()

    @torch.inference_mode()
    def rows(self, token_ids: list[int]) -> Tensor:
        with self._lock:
            logits = self.loaded.model(input_ids=torch.tensor([token_ids])).logits[0]
        return logits[:, : self.vocabulary.size].float().log_softmax(-1)

    @torch.inference_mode()
    def write(self, prompt: list[int], body: Mapping[str, Any], most: int) -> Written:
        dice = torch.Generator().manual_seed(int(body.get("seed") or 0))
        found, cache, fed = Written([], [], [], False), None, prompt
        while len(found.ids) < most and not found.stopped:
            with self._lock:
                out = self.loaded.model(
                    input_ids=torch.tensor([fed]), past_key_values=cache, use_cache=True
                )
            cache, row = out.past_key_values, out.logits[0, -1, : self.vocabulary.size].float()
            found.rows.append(row.log_softmax(-1))
            changed = _penalised(row, body, prompt, found.ids)
            chosen, p = _chosen(changed, body, dice)
            found.processed.append(p.log().clamp(min=IMPOSSIBLE))
            found.ids.append(chosen)
            found.stopped = found.ids[-1] in self.loaded.ends
            fed = found.ids[-1:]
        return found

    def text(self, found: Written) -> str:
        return self.vocabulary.decode(found.ids[:-1] if found.stopped else found.ids)

    def name(self, token_id: int) -> str:
        return self.vocabulary.bytes_of(token_id).decode(errors="replace")


def _penalised(row: Tensor, body: Mapping[str, Any], prompt: list[int], own: list[int]) -> Tensor:
    """The row after penalties. Repetition counts the prompt too, presence and frequency only the
    generated text."""
    row, ratio = row.clone(), body.get("repetition_penalty") or 1.0
    seen = torch.tensor(sorted({*prompt, *own}))
    row[seen] = torch.where(row[seen] > 0, row[seen] / ratio, row[seen] * ratio)
    for token_id in own:
        row[token_id] -= body.get("frequency_penalty") or 0.0
    for token_id in set(own):
        row[token_id] -= body.get("presence_penalty") or 0.0
    return row


def _chosen(row: Tensor, body: Mapping[str, Any], dice: torch.Generator) -> tuple[int, Tensor]:
    """A sampled id, and the probabilities that it was drawn from."""
    temperature, top_p = body.get("temperature", 1.0), body.get("top_p", 1.0)
    if temperature == 0:
        return int(row.argmax()), row.softmax(-1)
    p, order = (row / temperature).softmax(-1).sort(descending=True)
    p = p.masked_fill(p.cumsum(-1) - p >= top_p, 0.0)
    p = p.masked_fill(p < (body.get("min_p") or 0.0) * p.max(), 0.0)
    if (top_k := body.get("top_k") or 0) > 0:
        p[top_k:] = 0.0
    p /= p.sum()
    whole = torch.zeros_like(p).scatter(0, order, p)
    return int(order[torch.multinomial(p, 1, generator=dice)]), whole


@dataclass
class StandInServer:
    """A server at `url`; `asked` holds its requests."""

    brain: Brain
    kind: str = "vllm"
    served: str = "small"
    key: str | None = None
    limit: int | None = None
    defaults: Body = field(default_factory=dict)
    """Sampling parameters of its generation_config.json, for those that a request leaves out."""
    ignores: bool = False
    """True if it uses the defaults even if a request sets another value."""
    processed: bool = False
    """True if it returns log-probabilities after processing, as with `processed_logprobs`."""
    strict: bool = False
    """True if it rejects parameters that OpenAI's own API does not know."""
    shift: int = 0
    """Echoed values come from the row this many tokens later."""
    seconds: Callable[[Body], float] = lambda body: 0.0
    """Additional delay of a response."""
    script: list[Fault] = field(default_factory=list)
    """Faults for the next requests, one each."""
    always: Fault | None = None
    edit: Callable[[Body, Body], Body] = lambda body, answer: answer
    """Maps request and response to the response that is sent."""
    asked: list[tuple[str, Body]] = field(default_factory=list)
    answered: list[Body] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    @contextmanager
    def running(self, port: int = 0) -> Iterator[StandInServer]:
        server = Http(("127.0.0.1", port), Handler)
        server.models = self
        self.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def asked_to_write(self) -> list[Body]:
        """Requests for texts of an experiment, excluding those of the probe."""
        return [b for _, b in self.asked if _wants_text(b) and not self.is_probe(b)]

    def is_probe(self, body: Body) -> bool:
        asked = body.get("prompt") or body.get("input_ids") or str(body.get("messages"))
        text = asked if isinstance(asked, str) else self.brain.vocabulary.decode(asked)
        return any(text.startswith(one) or one in text for one in TEXTS)

    def effective(self, body: Body) -> Body:
        named = {name: value for name, value in body.items() if value is not None}
        return named | self.defaults if self.ignores else self.defaults | named

    def models(self) -> Body:
        entry: Body = {"id": self.served, "object": "model", "owned_by": self.kind, "root": "there"}
        if self.limit is not None:
            entry["max_model_len"] = self.limit
        return {"object": "list", "data": [entry]}

    def answer(self, path: str, body: Body) -> Body:
        if path.endswith("/generate"):
            return _sglang(self, body)
        if path.endswith("/chat/completions"):
            return _chat(self, body)
        return _vllm(self, body) if self.kind == "vllm" else _echo(self, body)

    def row_of(self, rows: Tensor, at: int) -> Tensor:
        """The row with the probability of token `at`."""
        return rows[min(max(at - 1 + self.shift, 0), len(rows) - 1)]


def _wants_text(body: Body) -> bool:
    sampling = body.get("sampling_params", body)
    length = sampling.get("max_new_tokens", sampling.get("max_tokens", 0))
    return bool(length > 1)


def _temperature(body: Body) -> float:
    return float(body.get("sampling_params", body).get("temperature", 1.0))


def _vllm(server: StandInServer, body: Body) -> Body:
    brain, ids = server.brain, body["prompt"]
    if isinstance(ids, str):
        ids = brain.vocabulary.parse(ids)
    choice = _written(server, ids, body)
    if body.get("prompt_logprobs") is not None:
        rows = brain.rows(ids)
        entries: list[Body | None] = [None]
        for at, token_id in enumerate(ids[1:], start=1):
            row = server.row_of(rows, at)
            best = int(row.argmax())
            entries.append({str(i): _vllm_entry(row, i) for i in {best, token_id}})
        choice["prompt_logprobs"] = entries
    return {
        "id": "1",
        "model": server.served,
        "choices": [choice],
        "system_fingerprint": "vllm-1",
        "usage": {"completion_tokens": len(choice["token_ids"])},
    }


def _vllm_entry(row: Tensor, token_id: int) -> Body:
    return {
        "logprob": max(float(row[token_id]), IMPOSSIBLE),
        "rank": int((row > row[token_id]).sum()) + 1,
        "decoded_token": "?",
    }


def _written(server: StandInServer, ids: list[int], body: Body) -> Body:
    found = server.brain.write(ids, server.effective(body), body["max_tokens"])
    rows = found.processed if server.processed else found.rows
    by_id = body.get("return_tokens_as_token_ids", False)
    return {
        "index": 0,
        "text": server.brain.text(found),
        "token_ids": found.ids,
        "finish_reason": "stop" if found.stopped else "length",
        "logprobs": _openai(server.brain, found.ids, rows, body.get("logprobs") or None, by_id),
        **({"prompt_token_ids": ids} if body.get("return_token_ids") else {}),
    }


def _openai(
    brain: Brain, ids: list[int], rows: list[Tensor], top: int | None, by_id: bool = False
) -> Body | None:
    if top is None:
        return None
    name = (lambda i: f"token_id:{i}") if by_id else brain.name
    told = []
    for token_id, row in zip(ids, rows, strict=True):
        best = [int(i) for i in row.topk(top).indices]
        told.append({name(i): float(row[i]) for i in [*best, token_id]})
    return {
        "tokens": [name(i) for i in ids],
        "top_logprobs": told,
        "token_logprobs": [float(r[i]) for i, r in zip(ids, rows, strict=True)],
    }


def _echo(server: StandInServer, body: Body) -> Body:
    """A response of the first completions: text only; ids are rejected."""
    brain, ids = server.brain, server.brain.vocabulary.parse(body["prompt"])
    choice = _written(server, ids, body)
    del choice["token_ids"]
    if body.get("echo"):
        rows = brain.rows(ids)
        told = _openai(brain, ids, [server.row_of(rows, at) for at in range(len(ids))], 1)
        assert told is not None
        told["token_logprobs"][0] = told["top_logprobs"][0] = None
        choice["logprobs"] = {
            name: values + choice["logprobs"][name] for name, values in told.items()
        }
        choice["text"] = body["prompt"] + choice["text"]
    return {"model": server.served, "choices": [choice]}


def _sglang(server: StandInServer, body: Body) -> Body:
    brain, ids, sampling = server.brain, body["input_ids"], body["sampling_params"]
    asked = sampling | {"seed": sampling.get("sampling_seed")}
    found = brain.write(ids, server.effective(asked), sampling["max_new_tokens"])
    top = body["top_logprobs_num"]
    meta: Body = {
        "finish_reason": {"type": "stop" if found.stopped else "length"},
        "output_token_logprobs": _triples(found.ids, found.rows),
        "output_top_logprobs": [_best(row, top) for row in found.rows],
    }
    if body.get("logprob_start_len") == 0:
        rows = brain.rows(ids)
        at = [server.row_of(rows, index) for index in range(1, len(ids))]
        meta["input_token_logprobs"] = [[None, ids[0], None], *_triples(ids[1:], at)]
        meta["input_top_logprobs"] = [None, *(_best(row, 1) for row in at)]
    return {"text": brain.text(found), "meta_info": meta}


def _triples(ids: list[int], rows: list[Tensor]) -> list[Any]:
    return [[float(row[i]), i, None] for i, row in zip(ids, rows, strict=True)]


def _best(row: Tensor, top: int) -> list[Any]:
    return [[float(row[i]), int(i), None] for i in row.topk(top).indices]


def _chat(server: StandInServer, body: Body) -> Body:
    """A chat response: the server renders the prompt, and returns the thought separately."""
    renderer = server.brain.loaded.renderer
    prompt = renderer.prompt_ids(Problem("", "", "", "", body["messages"][-1]["content"], None))
    text = _written(server, prompt, body | {"logprobs": None})["text"]
    message = {"role": "assistant", "reasoning_content": "I think", "content": text}
    return {
        "model": server.served,
        "choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 7},
    }


class Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    models: StandInServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Http

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        models = self.server.models
        if not self._may():
            return
        if self.path == "/v1/models":
            self.send(200, models.models())
        elif self.path == "/version" and models.kind == "vllm":
            self.send(200, {"version": "0.1.2"})
        else:
            self.send(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        models = self.server.models
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._may():
            return
        with models.lock:
            models.asked.append((self.path, body))
            fault = models.script.pop(0) if models.script else models.always
            models.under_way += 1
            models.most_under_way = max(models.most_under_way, models.under_way)
        try:
            if fault is None or not fault(self, body):
                self._answer(body)
        finally:
            with models.lock:
                models.under_way -= 1

    def _answer(self, body: Body) -> None:
        models = self.server.models
        if models.strict and (unknown := {"top_k", "min_p", "repetition_penalty"} & body.keys()):
            self.send(400, {"error": {"message": f"unrecognized arguments: {sorted(unknown)}"}})
            return
        if models.kind != "vllm" and isinstance(body.get("prompt"), list):
            self.send(400, {"error": {"message": "prompt must be a string"}})
            return
        answer = models.edit(body, models.answer(self.path, body))
        time.sleep(models.seconds(body))
        with models.lock:
            models.answered.append(body)
        self.send(200, answer)

    def _may(self) -> bool:
        key = self.server.models.key
        given = self.headers.get("Authorization", "")
        if key is None or given == f"Bearer {key}":
            return True
        self.send(401, {"error": "Unauthorized"})
        return False

    def send(self, status: int, answer: Any, headers: Mapping[str, str] | None = None) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


# ---------------------------------------------------------------------------- faults


def status(code: int, message: str = "not now", **headers: str) -> Fault:
    """A response with this status instead of the model's."""

    def fault(handler: Handler, body: Body) -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.send(code, {"error": {"message": message}}, named)
        return True

    return fault


def says(content: bytes) -> Fault:
    def fault(handler: Handler, body: Body) -> bool:
        handler.send(200, content)
        return True

    return fault


def hangs_up(handler: Handler, body: Body) -> bool:
    handler.close_connection = True
    handler.connection.close()
    return True


def dribbles(handler: Handler, body: Body) -> bool:
    """Sends a byte now and then, forever."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass
    return True


def main() -> None:
    """Serves a folder until it is killed; prints its address first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--served", default="small")
    asked = parser.parse_args()
    brain = Brain(load(ModelSpec(path=str(asked.folder)), Path(), threads=1))
    with StandInServer(brain, served=asked.served).running(asked.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
