"""A model behind a server: the same numbers as a model that is loaded here, or none."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from rdpt_core.models.identity import identify
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import load
from rdpt_core.models.serving.answers import Garbage, parse
from rdpt_core.models.serving.dialects import Chat, Prompt
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.serving.http import Client, ItemFailed, Refused, Unreachable
from rdpt_core.models.serving.remote import Remote, connect
from rdpt_core.models.serving.server import ServerGenerator
from rdpt_core.models.serving.sglang import Sglang
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.scoring.server import ServerScorer
from rdpt_core.tables.rows import FinishReason, ScoreSource, ScoreStatus, TokenScores, Trace
from tests.core.models import tiny
from tests.core.models.serving import model_server as m
from tests.core.models.serving.model_server import Brain, StandInServer

POCKET = Path(__file__).resolve().parents[4] / "rdpt_core" / "pocket" / "models" / "student"
PROBLEM = tiny.problem("Ann has 12 apples and buys 30 more. How many?")
TRACE = tiny.trace(tiny.THINKING, PROBLEM, FinishReason.STOP)
KINDS = ("vllm", "sglang", "echo")
KEY = "canary-0123456789"


@pytest.fixture(scope="module")
def brain(models: Path) -> Brain:
    return Brain(load(ModelSpec(path=str(models / "qwen")), models, threads=1))


@pytest.fixture(scope="module")
def pocket() -> Brain:
    return Brain(load(ModelSpec(path=str(POCKET)), Path(), threads=1))


@pytest.fixture
def server(brain: Brain) -> Iterator[StandInServer]:
    with StandInServer(brain, limit=256).running() as running:
        yield running


def client(server: StandInServer, **changes: Any) -> Client:
    """One that never waits; `slept` says how long it would have."""
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    fields = {"deadline": 30.0, "concurrency": 4} | changes
    said: list[str] = []
    made = Client(
        ModelServer(url=server.url, **fields), sleep, lambda: 1.0, lambda: now[0], said.append
    )
    made.slept, made.said = slept, said  # type: ignore[attr-defined]
    return made


def remote(server: StandInServer, of: Client | None = None, **spec: Any) -> Remote:
    renderer = server.brain.loaded.renderer
    named = {"backend": "server", "server": "lab", "served": server.served} | spec
    asked = ModelSpec.model_validate({"path": renderer.path, **named})
    return connect(of or client(server), asked, renderer, 1024)


def scorer(server: StandInServer) -> ServerScorer:
    """One that has stood the probe."""
    found = remote(server)
    return ServerScorer(found, identify(found.spec, Path(), served="s"))


def scores(server: StandInServer, traces: list[Trace]) -> list[TokenScores]:
    return list(scorer(server).score([PROBLEM], traces))


def ask(of: Client, tries: int | None = None) -> Any:
    return of.ask(
        "completions", {"prompt": [1, 2], "max_tokens": 1}, lambda answer: answer, tries=tries
    )


# ---------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("kind", KINDS)
def test_its_scores_are_those_of_the_model_itself(
    server: StandInServer, pocket: Brain, kind: str
) -> None:
    server.brain, server.kind = pocket, kind
    own = HfGenerator(server.brain.loaded, Sampling(max_new_tokens=40), 1).generate([PROBLEM], 0)[0]
    traces = [TRACE, replace(own, author="somebody"), tiny.trace("", PROBLEM)]
    (*rows, _), (*exact, _) = (
        scores(server, traces),
        list(HfScorer(server.brain.loaded).score([PROBLEM], traces)),
    )
    for row, other in zip(rows, exact, strict=True):
        assert row.status is ScoreStatus.OK
        assert row.source is ScoreSource.SERVER
        np.testing.assert_allclose(row.logprobs, other.logprobs, atol=1e-4)
        assert row.token_bytes.tolist() == other.token_bytes.tolist()
        assert row.end_logprob == pytest.approx(other.end_logprob, abs=1e-4)
        assert row.tag_logprob == pytest.approx(other.tag_logprob, abs=1e-4)
        assert np.isnan(row.entropies).all()
        assert np.isnan(row.sum_squares).all()
        known = other.ranks if kind == "vllm" else np.zeros_like(other.ranks)
        assert row.ranks.tolist() == known.tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [1, -1])
def test_t41_values_of_another_row_are_refused_with_the_shift(
    server: StandInServer, pocket: Brain, kind: str, shift: int
) -> None:
    server.brain, server.kind, server.shift = pocket, kind, shift
    side = "late" if shift == 1 else "early"
    with pytest.raises(ValueError, match=rf"shifted by one token \(one token {side}\)"):
        scores(server, [TRACE])


def test_values_that_moved_among_the_entries_are_refused_with_the_shift(
    server: StandInServer,
) -> None:
    """The likeliest tokens are where they belong, the numbers are not."""

    def move(body: m.Body, answer: m.Body) -> m.Body:
        if "prompt_logprobs" in body:
            entries = answer["choices"][0]["prompt_logprobs"]
            for at, token_id in enumerate(body["prompt"][:-1]):
                if at:
                    other = entries[at + 1][str(body["prompt"][at + 1])]["logprob"]
                    entries[at][str(token_id)]["logprob"] = other
        return answer

    server.edit = move
    with pytest.raises(ValueError, match="shifted by one token"):
        scores(server, [TRACE])


@pytest.mark.parametrize(
    ("what", "refusal"),
    [("values", "not those with which it wrote"), ("tokens", "log-probabilities are processed")],
)
def test_values_of_a_changed_distribution_are_refused(
    server: StandInServer, what: str, refusal: str
) -> None:
    """Cooled by half, or with another token ahead at every position."""

    def change(body: m.Body, answer: m.Body) -> m.Body:
        entries = answer["choices"][0].get("prompt_logprobs") or []
        for token_id, entry in list(zip(body.get("prompt", []), entries, strict=False))[1:]:
            if what == "values":
                for told in entry.values():
                    told["logprob"] *= 2
            else:
                entry[str((token_id + 1) % 300)] = {"logprob": 0.0, "rank": 1}
        return answer

    server.edit = change
    with pytest.raises(ValueError, match=refusal):
        scores(server, [TRACE])


def test_a_server_that_tells_nothing_of_a_prompt_is_refused(server: StandInServer) -> None:
    def drop(body: m.Body, answer: m.Body) -> m.Body:
        answer["choices"][0].pop("prompt_logprobs", None)
        return answer

    server.edit = drop
    with pytest.raises(ValueError, match="gives no log-probabilities of a prompt"):
        scores(server, [TRACE])


def test_t25_no_two_requests_for_scores_share_a_cache(server: StandInServer) -> None:
    server.kind = "vllm"
    scores(server, [TRACE, TRACE])
    salts = [body["cache_salt"] for _, body in server.asked if "prompt_logprobs" in body]
    assert len(salts) > 3
    assert len(set(salts)) == len(salts)


def test_t25_values_that_depend_on_the_order_of_requests_are_refused(server: StandInServer) -> None:
    def drift(body: m.Body, answer: m.Body) -> m.Body:
        for entry in (answer["choices"][0].get("prompt_logprobs") or [])[1:]:
            for told in entry.values():
                told["logprob"] -= 0.1 * len(server.asked)
        return answer

    server.edit = drift
    with pytest.raises(ValueError, match="depend on what was asked in between"):
        scores(server, [TRACE])


def test_a_server_that_is_refused_as_a_scorer_may_still_write(
    server: StandInServer, pocket: Brain
) -> None:
    server.brain, server.shift = pocket, 1
    (trace,) = generated(server)
    assert trace.text
    assert trace.token_ids is not None
    assert trace.logprobs is None, "values that did not stand the probe are not kept"


def test_t28_what_is_longer_than_the_server_takes_less_one_is_cut(server: StandInServer) -> None:
    whole = len(remote(server).renderer.lay(PROBLEM, TRACE).input_ids)
    for limit, status in (
        (whole - 1, "partial"),
        (whole, "partial"),
        (whole + 1, "ok"),
        (9, "too_long"),
    ):
        server.limit = limit
        (row,) = scores(server, [TRACE])
        assert row.status == status, limit


# ---------------------------------------------------------------------------- texts


def generated(server: StandInServer, sampling: Sampling | None = None, **spec: Any) -> list[Trace]:
    found = remote(server, **spec)
    known = identify(found.spec, Path(), served="s")
    rule = sampling or Sampling(max_new_tokens=60)
    return ServerGenerator(found, known, rule, 3).generate([PROBLEM], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_comes_with_what_the_server_tells_of_it(
    server: StandInServer, pocket: Brain, kind: str
) -> None:
    server.brain, server.kind = pocket, kind
    (trace,) = generated(server)
    vocabulary = server.brain.vocabulary
    assert trace.text.startswith("<think>")
    assert "<|" not in trace.text, "the end of turn is no text"
    assert [zone.kind for zone in trace.zones][:2] == ["tag", "thought"]
    if kind == "echo":
        assert trace.token_ids is None
        assert trace.logprobs is None
        return
    assert trace.token_ids is not None
    assert trace.logprobs is not None
    ids = trace.token_ids.tolist()
    body = ids[:-1] if trace.finish_reason is FinishReason.STOP else ids
    assert vocabulary.decode(body) == trace.text
    prompt = server.brain.loaded.renderer.prompt_ids(PROBLEM)
    rows = server.brain.rows([*prompt, *ids])[len(prompt) - 1 : -1]
    np.testing.assert_allclose(trace.logprobs, rows[range(len(ids)), ids], atol=1e-4)


def test_t26_values_of_a_changed_distribution_are_never_taken_for_raw_ones(
    server: StandInServer, pocket: Brain
) -> None:
    server.brain = pocket
    for changed in ({"temperature": 0.7}, {"top_p": 0.9}):
        (trace,) = generated(server, Sampling(max_new_tokens=20, **changed))
        assert trace.logprobs is None
        assert trace.sampled_logprobs is not None


def test_a_prompt_without_room_gives_an_empty_text_that_ends_by_length(
    server: StandInServer,
) -> None:
    server.limit = 5
    (trace,) = generated(server)
    assert (trace.text, trace.finish_reason, trace.num_tokens) == ("", FinishReason.LENGTH, 0)


def test_a_server_that_renders_itself_writes_and_never_scores(server: StandInServer) -> None:
    (trace,) = generated(server, api="chat")
    assert trace.text.startswith("<think>\nI think\n</think>\n\n")
    assert (trace.token_ids, trace.num_tokens) == (None, 7)
    assert server.asked[-1][1]["messages"][-1]["content"] == PROBLEM.prompt
    with pytest.raises(ValueError, match='api = "chat" the server renders'):
        remote(server, api="chat").require_scoring()


# ---------------------------------------------------------------------------- sampling

NAMED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "ignore_eos",
    "stop",
    "stop_token_ids",
)
DEFAULTS: dict[str, m.Body] = {
    "top_k 1": {"top_k": 1},
    "top_k 20": {"top_k": 20},
    "min_p": {"min_p": 0.2},
    "top_p": {"top_p": 0.8},
    "temperature": {"temperature": 0.5},
    "repetition": {"repetition_penalty": 1.5},
    "presence": {"presence_penalty": 1.5},
    "frequency": {"frequency_penalty": 1.0},
}


@pytest.mark.parametrize("kind", [*KINDS, "chat"])
def test_t44_every_sampling_parameter_is_named_at_the_value_that_changes_nothing(
    server: StandInServer, kind: str
) -> None:
    server.kind = "vllm" if kind == "chat" else kind
    found = remote(server, api="chat" if kind == "chat" else "completions").dialect
    (_, body) = found.ask_text(Prompt([1], "a"), Sampling(temperature=0.7, top_p=0.9), 1)
    named = body.get("sampling_params", body)
    assert set(NAMED) <= named.keys()
    assert (named["temperature"], named["top_p"]) == (0.7, 0.9)
    assert named["top_k"] == (0 if kind == "echo" else -1)
    if found.scores:
        (_, body) = found.ask_scores([1, 2])
        named = body.get("sampling_params", body)
        assert set(NAMED) <= named.keys()
        assert (named["temperature"], named["top_p"]) == (1.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_t44_defaults_of_the_models_generation_config_move_no_text(
    server: StandInServer, kind: str
) -> None:
    server.kind = kind
    plain = generated(server)
    for defaults in DEFAULTS.values():
        server.defaults |= defaults
    assert generated(server) == plain


@pytest.mark.parametrize("defaults", DEFAULTS.values(), ids=DEFAULTS.keys())
def test_t44_a_server_that_samples_in_its_own_way_is_refused(
    server: StandInServer, pocket: Brain, defaults: m.Body
) -> None:
    server.brain, server.defaults, server.ignores = pocket, defaults, True
    with pytest.raises(ValueError, match="does not sample 'small' as it is asked: "):
        generated(server)


def test_t44_without_log_probabilities_equal_texts_of_two_seeds_tell(server: StandInServer) -> None:
    server.defaults, server.ignores = {"top_k": 1}, True
    with pytest.raises(ValueError, match="two seeds give the same texts at temperature 1"):
        generated(server, api="chat")


def test_t26_a_server_that_tells_processed_values_may_not_score(
    server: StandInServer, pocket: Brain
) -> None:
    server.brain, server.processed, server.ignores = pocket, True, True
    server.defaults = {"top_k": 2}
    with pytest.raises(ValueError, match="of a text that it sampled are processed"):
        scores(server, [TRACE])


def test_a_server_that_refuses_what_openai_does_not_know_is_not_sent_it(
    server: StandInServer,
) -> None:
    server.kind, server.strict = "echo", True
    (trace,) = generated(server)
    assert trace.text
    assert "presence_penalty" in server.asked_to_write()[-1]


# ---------------------------------------------------------------------------- identity


def test_the_same_weights_behind_another_name_are_the_same_model(server: StandInServer) -> None:
    first = remote(server, of=client(server, api_key=SecretStr(KEY))).fingerprint
    server.served = "another-name"
    assert remote(server).fingerprint == first
    told = first.model_dump_json()
    assert server.url not in told
    assert KEY not in told
    assert "another-name" not in told


def test_what_a_server_says_of_itself_is_for_the_record_alone(server: StandInServer) -> None:
    found = remote(server)
    before = found.fingerprint.digest
    assert found.about() == {"api": "vllm", "version": "0.1.2", "states": ["vllm-1"]}
    server.edit = lambda body, answer: answer | {"system_fingerprint": "vllm-2"}
    again = remote(server)
    assert again.fingerprint.digest == before
    assert again.about()["states"] == ["vllm-2"]


def test_the_probe_says_that_it_asks_and_asks_for_all_at_once(server: StandInServer) -> None:
    of = client(server)
    server.seconds = lambda body: 0.05
    assert remote(server, of=of).scoring_fault is None
    assert server.most_under_way == 4
    said = of.said  # type: ignore[attr-defined]
    assert len(said) == 3
    assert all(line.startswith("server 'lab', 'small': ") for line in said)


def test_a_wrong_name_is_told_with_the_names_that_there_are(server: StandInServer) -> None:
    with pytest.raises(ValueError, match=r"no model 'smal'; did you mean small\? it has: small"):
        remote(server, served="smal")


# ---------------------------------------------------------------------------- faults


@pytest.mark.parametrize(("told", "waited"), [("7", 7.0), ("5000", 120.0), (None, 1.0)])
def test_f19_a_busy_server_is_asked_again_after_as_long_as_it_says(
    server: StandInServer, told: str | None, waited: float
) -> None:
    of = client(server)
    server.script = [m.status(429, **({"Retry_After": told} if told else {}))]
    assert ask(of)["choices"]
    assert sum(of.slept) == pytest.approx(waited)  # type: ignore[attr-defined]
    assert of.window.size == 2, "half of what it was"


def test_f19_the_window_grows_again_after_successes(server: StandInServer) -> None:
    of = client(server)
    of.window.shrink()
    for _ in range(100):
        of.window.succeeded()
    assert of.window.size == 4


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_f20_a_broken_server_is_asked_again_with_ever_longer_waits(
    server: StandInServer, code: int
) -> None:
    of = client(server)
    server.script = [m.status(code)] * 3
    assert ask(of)["choices"]
    assert sum(of.slept) == pytest.approx(1 + 2 + 4)  # type: ignore[attr-defined]


def test_f20_a_lost_connection_is_made_again(server: StandInServer) -> None:
    server.script = [m.hangs_up]
    assert ask(client(server))["choices"]


def test_f20_a_broken_server_that_asks_for_time_has_ten_minutes_at_most(
    server: StandInServer,
) -> None:
    of = client(server)
    server.always = m.status(503, Retry_After="120")
    with pytest.raises(Unreachable, match="503"):
        ask(of)
    assert 400 < sum(of.slept) < 600  # type: ignore[attr-defined]


def test_f19_a_busy_server_is_waited_for_as_it_says(server: StandInServer) -> None:
    of = client(server)
    server.script = [m.status(429, Retry_After="120")] * 7
    assert ask(of)["choices"]
    assert sum(of.slept) == pytest.approx(840)  # type: ignore[attr-defined]


def test_f20_a_server_that_stays_broken_ends_the_run_within_ten_minutes(
    server: StandInServer,
) -> None:
    of = client(server)
    server.always = m.status(503)
    with pytest.raises(Unreachable, match="503"):
        ask(of)
    assert 400 < sum(of.slept) < 600  # type: ignore[attr-defined]


def test_the_time_that_a_server_may_be_away_is_a_setting(server: StandInServer) -> None:
    of = client(server, patience=5.0)
    server.always = m.status(503)
    with pytest.raises(Unreachable, match="503"):
        ask(of)
    assert sum(of.slept) <= 5.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [m.status(503), m.hangs_up])
def test_a_server_that_is_away_for_two_seconds_ends_no_run_with_16_requests_in_flight(
    server: StandInServer, fault: m.Fault
) -> None:
    """It failed 20 times in a row within a second, and that ended the run. Now one request asks
    for all the others, and one line says so."""
    said: list[str] = []
    of = Client(ModelServer(url=server.url, concurrency=16), say=said.append)
    back = time.monotonic() + 2.0

    def away(handler: m.Handler, body: m.Body) -> bool:
        return time.monotonic() < back and fault(handler, body)

    server.always = away
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ask(of), range(40)))
    assert all(answer["choices"] for answer in answers)
    in_vain = len(server.asked) - len(server.answered)
    assert in_vain <= 16 + 3, "16 were under way, and one asked at a time"
    assert len(said) == 2
    assert "asking again for up to 540 s" in said[0]
    assert "answers again, after" in said[1]


def test_one_failure_among_many_is_no_outage_to_speak_of(server: StandInServer) -> None:
    of = client(server)
    server.script = [m.status(500)]
    assert ask(of)["choices"]
    assert of.said == []  # type: ignore[attr-defined]


def test_f20_nobody_there() -> None:
    of = client(StandInServer(None, url="http://127.0.0.1:9/v1"))  # type: ignore[arg-type]
    with pytest.raises(ConnectionError, match=r"cannot be reached.*tried 2 times"):
        ask(of, tries=2)
    assert of.said == [], "it is not asked again"  # type: ignore[attr-defined]


def test_f20_one_request_that_breaks_the_server_is_an_item(server: StandInServer) -> None:
    """Others are answered meanwhile."""
    of = client(server)

    def breaks(handler: m.Handler, body: m.Body) -> bool:
        of.window.succeeded()
        return m.status(500)(handler, body)

    server.always = breaks
    with pytest.raises(ItemFailed, match="while others were answered"):
        ask(of)


def test_f21_one_deadline_for_a_request_however_it_dribbles(server: StandInServer) -> None:
    of = client(server, deadline=0.4)
    server.always = m.dribbles
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0.4 s"):
        ask(of)
    assert time.monotonic() - begun < 2 * (0.4 + 1)
    assert len(server.asked) == 2


def test_the_deadline_grows_with_the_tokens_that_are_asked_for(
    server: StandInServer, brain: Brain
) -> None:
    """A long trace is slow, not late; and the error names what to change."""
    found = remote(server, of=client(server, deadline=0.2, token_seconds=0.05))
    prompt = Prompt(brain.vocabulary.encode("It is"), "It is")
    server.seconds = lambda body: 0.6
    assert found.write(prompt, Sampling(max_new_tokens=20)).text
    with pytest.raises(Unreachable, match=r"0.2 s, and 0.05 s for each of 2 tokens.*token_seconds"):
        found.write(prompt, Sampling(max_new_tokens=2))


def test_an_address_without_v1_gets_the_hint(server: StandInServer) -> None:
    server.url = server.url.removesuffix("/v1")
    with pytest.raises(Refused, match=r"answers 404: Not Found \(.*try http://.*/v1\)"):
        remote(server)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"error": {"message": "no such model", "code": 404}}, "no such model"),
        ({"error": "Unauthorized"}, "Unauthorized"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"msg": "too short"}]}, "too short"),
        ({"object": "error", "message": "one\ntwo"}, "one two"),
        ("plain", "plain"),
        ({"error": {"message": "red \x1b[31m"}}, r"red \?\[31m"),
    ],
)
def test_errors_are_read_in_every_form_that_servers_have(
    server: StandInServer, content: Any, said: str
) -> None:
    server.script = [lambda handler, body: handler.send(400, content) or True]  # type: ignore[func-returns-value]
    with pytest.raises(ItemFailed, match=said) as told:
        ask(client(server))
    assert str(told.value).isprintable()


def test_an_aborted_text_is_asked_for_again_and_one_cut_as_a_repetition_is_truncated(
    server: StandInServer,
) -> None:
    reasons = iter(["abort", "abort", "repetition"])

    def end(body: m.Body, answer: m.Body) -> m.Body:
        if not server.is_probe(body):
            answer["choices"][0]["finish_reason"] = next(reasons)
        return answer

    server.edit = end
    (trace,) = generated(server)
    assert trace.finish_reason is FinishReason.LENGTH
    assert len(server.asked_to_write()) == 3


def test_a_text_of_another_prompt_than_was_sent_is_an_error(server: StandInServer) -> None:
    def add(body: m.Body, answer: m.Body) -> m.Body:
        """A second BOS, for example."""
        if not server.is_probe(body):
            answer["choices"][0]["prompt_token_ids"] = [0, *body["prompt"]]
        return answer

    server.edit = add
    with pytest.raises(ItemFailed, match="other token ids than"):
        generated(server)


def test_f22_a_request_that_is_refused_is_not_sent_again(server: StandInServer) -> None:
    server.script = [m.status(400, "too long")]
    with pytest.raises(ItemFailed, match="too long"):
        ask(client(server))
    assert len(server.asked) == 1


@pytest.mark.parametrize("code", [401, 403, 404])
def test_f22_a_wrong_key_or_address_stops_and_the_key_is_not_told(
    server: StandInServer, code: int
) -> None:
    server.script = [m.status(code, f"key {KEY} is unknown")]
    with pytest.raises(Refused, match=r"key \[key\] is unknown") as told:
        ask(client(server, api_key=SecretStr(KEY)))
    assert KEY not in str(told.value)
    assert len(server.asked) == 1


def test_x9_no_redirect_is_followed(server: StandInServer) -> None:
    server.script = [m.status(307, Location="http://127.0.0.1:9/v1/completions")]
    with pytest.raises(Refused, match="redirects are not followed"):
        ask(client(server))


def test_x9_an_answer_that_never_ends_is_cut(
    server: StandInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpt_core.models.serving.http.MOST_BYTES", 1000)
    server.script = [m.says(b"[" * 5000)]
    with pytest.raises(ItemFailed, match="more than"):
        ask(client(server))


@pytest.mark.parametrize(
    "url", ["ftp://a/v1", "127.0.0.1:8000", "http://me:secret@a/v1", "http://a/v1?key=secret"]
)
def test_x9_only_a_plain_address_is_taken(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        ModelServer(url=url)


def changed(**fields: Any) -> Callable[[m.Body, m.Body], m.Body]:
    return lambda body, answer: answer | fields


GARBAGE = {
    "nothing": m.says(b""),
    "html": m.says(b"<html>Bad gateway</html>"),
    "cut": m.says(b'{"choices": [{"text": "so'),
    "a list": m.says(b"[]"),
    "another schema": m.says(b'{"result": 1}'),
    "no choices": m.says(b'{"choices": []}'),
    "another model": m.says(b'{"model": "other", "choices": [{}]}'),
    "a key twice": m.says(b'{"choices": [], "choices": [{}]}'),
    "not a number": m.says(b'{"choices": [{"prompt_logprobs": [NaN]}]}'),
    "infinite": m.says(b'{"choices": [{"prompt_logprobs": [1e999]}]}'),
    "no utf-8": m.says(b'{"choices": "\xff"}'),
}


CHATS: list[Any] = [
    [1],
    {"content": [1]},
    {"content": [{"top_logprobs": 1}]},
    {"content": [{"top_logprobs": [1]}]},
    {"content": [{"top_logprobs": [{"logprob": -1.0}]}]},
    {"content": [{"top_logprobs": [{"token": "a"}]}]},
]


@pytest.mark.parametrize("told", CHATS)
def test_f23_candidates_of_a_chat_that_are_none_are_garbage(told: Any, brain: Brain) -> None:
    choice = {"message": {"content": "so"}, "finish_reason": "stop", "logprobs": told}
    with pytest.raises(Garbage):
        Chat("small", "", brain.vocabulary).read_text(
            {"model": "small", "choices": [choice]}, Prompt([], "")
        )


@pytest.mark.parametrize("tops", [5, [5], [[5]], [[[0.0]]], {"a": 1}])
def test_f23_candidates_of_sglang_that_are_none_are_garbage(tops: Any) -> None:
    meta = {
        "finish_reason": {"type": "stop"},
        "output_token_logprobs": [[-1.0, 3, None]],
        "input_token_logprobs": [[None, 3, None]],
        "output_top_logprobs": tops,
        "input_top_logprobs": tops,
    }
    answer = {"text": "so", "meta_info": meta}
    with pytest.raises(Garbage):
        Sglang("").read_text(answer, Prompt([], ""))
    with pytest.raises(Garbage):
        Sglang("").read_scores(answer, [3])


@pytest.mark.parametrize("fault", GARBAGE.values(), ids=GARBAGE.keys())
def test_f23_an_answer_that_is_none_is_asked_for_three_times_and_then_an_error(
    server: StandInServer, fault: m.Fault
) -> None:
    found = remote(server)
    assert found.scoring_fault is None
    before = len(server.asked)
    server.always = fault
    with pytest.raises(ItemFailed, match="3 times"):
        found.echo([1, 2, 3])
    assert len(server.asked) - before == 3


def test_f23_garbage_once_loses_nothing(server: StandInServer) -> None:
    server.script = [m.says(b"<html>")] * 2
    assert ask(client(server))["choices"]


def value(told: Any) -> Callable[[m.Body, m.Body], m.Body]:
    """Puts a value in the place of one log-probability of a prompt."""

    def edit(body: m.Body, answer: m.Body) -> m.Body:
        entries = answer["choices"][0]["prompt_logprobs"]
        entries[-3][str(body["prompt"][-3])]["logprob"] = told
        return answer

    return edit


def other_entries(change: Callable[[list[Any]], list[Any]]) -> Callable[[m.Body, m.Body], m.Body]:
    def edit(body: m.Body, answer: m.Body) -> m.Body:
        choice = answer["choices"][0]
        choice["prompt_logprobs"] = change(choice["prompt_logprobs"])
        return answer

    return edit


UNSOUND = {
    "nan": value(math.nan),
    "plus infinity": value(math.inf),
    "minus infinity": value(-math.inf),
    "vllm's minus infinity": value(-9999.0),
    "null": value(None),
    "positive": value(0.1),
    "a string": value("-1.5"),
    "true": value(True),
    "too few": other_entries(lambda entries: entries[:-1]),
    "too many": other_entries(lambda entries: [*entries, entries[-1]]),
    "other ids": other_entries(lambda entries: [{"1": {"logprob": -1, "rank": 1}}] * len(entries)),
    "none": other_entries(lambda entries: [None] * len(entries)),
}


@pytest.mark.parametrize("edit", UNSOUND.values(), ids=UNSOUND.keys())
def test_f24_what_is_no_log_probability_of_the_ids_is_never_a_number(
    server: StandInServer, edit: Callable[[m.Body, m.Body], m.Body]
) -> None:
    asks = scorer(server)
    server.edit = edit
    (row,) = asks.score([PROBLEM], [TRACE])
    assert row.status is ScoreStatus.ERROR
    assert asks.reasons.keys() == {TRACE.trace_id}
    assert row.source is ScoreSource.SERVER
    assert len(row.logprobs) == len(row.token_bytes) == row.scored_stop == 0


def test_a_certain_token_may_round_up(server: StandInServer) -> None:
    asks = scorer(server)
    server.edit = value(5e-7)
    (row,) = asks.score([PROBLEM], [TRACE])
    assert row.status is ScoreStatus.OK
    assert np.nanmax(row.logprobs) == 0.0


def test_t27_a_target_of_any_rank_keeps_its_value(server: StandInServer) -> None:
    (row,) = scores(server, [tiny.trace("Zebras ≠ quarks, obviously.", PROBLEM)])
    assert row.status is ScoreStatus.OK
    assert row.ranks.max() > 50


def test_parsing_is_strict() -> None:
    assert parse(b'{"a": [1, {"b": 0.5}]}') == {"a": [1, {"b": 0.5}]}
    for text in (
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": [[1e999]]}',
        "1",
        "[" * 99999,
    ):
        with pytest.raises(ValueError, match=r"JSON|twice|number"):
            parse(text.encode())


# ---------------------------------------------------------------------------- the window


def test_no_more_requests_are_under_way_than_the_server_may_have(server: StandInServer) -> None:
    server.always = lambda handler, body: time.sleep(0.02) or False  # type: ignore[func-returns-value]
    of = client(server, concurrency=3)
    threads = [threading.Thread(target=ask, args=(of,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 12
    assert server.most_under_way == 3
