"""The models of an experiment, as `rdpt doctor` examines them: no weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flows.checks import models_in
from flows.commands.doctor.findings import Finding, Level
from flows.workspace import Opened
from rdpt_core.machine.processor import has_units
from rdpt_core.models.files import own_limit
from rdpt_core.models.rendering.contract import UndeclaredThinking
from rdpt_core.models.spec import Logged
from settings.inventory import imports_thoughts
from settings.texts import Generate
from tasks.models import Model

HUB_ADVICE = "go online once, or give a local folder"
SERVER_ADVICE = "start it, or correct RDPT_SERVERS"


def model_findings(opened: Opened) -> Iterator[Finding]:
    """One finding or more for each thing that a run needs of each model."""
    yield Finding(Level.OK, "experiment", f"{opened.experiment.name}: {opened.file}")
    models = models_in(opened)
    thoughts = imports_thoughts(opened.experiment)
    for model in models.values():
        thoughts = thoughts or _lays_thoughts(model)
    for name, model in models.items():
        yield from _model(f"model {name}", model, opened, thoughts)


def _lays_thoughts(model: Model) -> bool:
    try:
        return bool(model.renderer.contract.open)
    except (ValueError, OSError):  # told when the model's own turn comes
        return False


def _model(what: str, model: Model, opened: Opened, thoughts: bool) -> Iterator[Finding]:
    """Identity, template, thinking, context, dtype; the first that fails ends it."""
    try:
        yield Finding(Level.OK, what, f"{model.folder}, scorer {model.scorer[:12]}")
        contract = model.renderer.contract
    except ConnectionError as error:
        advice = SERVER_ADVICE if model.spec.backend == "server" else HUB_ADVICE
        yield Finding(Level.FAIL, what, str(error), advice)
        return
    except (ValueError, OSError) as error:
        yield Finding(Level.FAIL, what, str(error), "see `path` of its entry in the experiment")
        return
    if contract.template is None:
        yield Finding(
            Level.WARN,
            "  template",
            "none: prompts are the problem's plain text",
            "right for a base model; others should bring their own",
        )
    else:
        yield Finding(Level.OK, "  template", f"{contract.template[:12]}")
        yield from _variables(model)
    yield _thinking(model, thoughts)
    if contract.end is None:
        yield Finding(
            Level.WARN,
            "  end of turn",
            "none found",
            "add eos_token to tokenizer_config.json, or traces never stop",
        )
    if model.spec.backend == "server":
        yield from _behind(model, opened)
    elif model.spec.backend == "logged":
        yield _logged(model)
    elif model.spec.gguf is None:
        yield _context(model.spec.context or _own_context(model), opened)
        yield _dtype(model, opened)


def _variables(model: Model) -> Iterator[Finding]:
    """Variables that the template reads: the values that the entry gives, and those not set."""
    template = model.renderer.template
    if template is None:
        return
    given = [f"{name} = {json.dumps(value)}" for name, value in template.variables.items()]
    unset = template.unset_variables()
    said = [
        *([", ".join(given)] if given else []),
        *([f"not set: {', '.join(unset)}"] if unset else []),
    ]
    unread = sorted(template.variables.keys() - template.read_variables())
    if unread:
        yield Finding(
            Level.WARN,
            "  variables",
            f"the template does not read {', '.join(unread)}",
            "leave it out: it changes nothing",
        )
    elif said:
        yield Finding(Level.OK, "  variables", "; ".join(said))


def _own_context(model: Model) -> int | None:
    limit, rope = own_limit(model.folder), model.spec.rope
    return int(limit * rope.factor) if limit and rope else limit


def _logged(model: Model) -> Finding:
    """Checks that log-probabilities that come with the traces are those that rdpt compares."""
    temperature = (model.spec.logged or Logged()).temperature
    if temperature == 1.0:
        return Finding(Level.OK, "  scores", "logged with the traces, at temperature 1")
    return Finding(
        Level.WARN,
        "  scores",
        f"logged at temperature {temperature:g}",
        "another distribution: its gaps to a student that is scored at 1 are no sign of "
        "where a sentence comes from",
    )


def _behind(model: Model, opened: Opened) -> Iterator[Finding]:
    """Checks how long a server's sequences may be, and that it passes the probe."""
    try:
        remote = model.remote
        sampling, fault = remote.sampling_fault, remote.scoring_fault
    except ConnectionError as error:
        yield Finding(Level.FAIL, "  server", str(error), SERVER_ADVICE)
        return
    yield _context(remote.limit, opened)
    if sampling is not None:
        yield Finding(Level.FAIL, "  sampling", sampling)
    if fault is not None:
        advice = "another server, or a model that is loaded here"
        yield Finding(Level.FAIL, "  scoring", fault, advice)
    else:
        yield Finding(Level.OK, "  scoring", f"probed; it speaks as {remote.kind}")


def _thinking(model: Model, thoughts: bool) -> Finding:
    contract = model.renderer.contract
    try:
        model.renderer.require_thinking()
    except UndeclaredThinking as error:
        state = Level.FAIL if thoughts else Level.OK
        lines = str(error).splitlines()
        return Finding(state, "  thinking", "no delimiters", " ".join(lines) if thoughts else "")
    laid = f"{contract.open!r} ... {contract.close!r}, opened by the {contract.think_open}"
    return Finding(Level.OK, "  thinking", laid)


def _context(limit: int | None, opened: Opened) -> Finding:
    """The limit against the longest text that the experiment asks for, without its prompt."""
    if limit is None:
        return Finding(
            Level.FAIL,
            "  context",
            "config.json states no max_position_embeddings",
            "give `context = ...` in its entry",
        )
    e = opened.experiment
    sampled = [e.traces, *(benchmark.traces for benchmark in e.benchmarks)]
    lengths = [one.sampling.max_new_tokens for one in sampled if isinstance(one, Generate)]
    longest = max(lengths, default=0)
    if longest >= limit:
        return Finding(
            Level.WARN,
            "  context",
            f"{limit:,} tokens; traces may have {longest:,}",
            "lower max_new_tokens: what is longer is scored up to there",
        )
    return Finding(Level.OK, "  context", f"{limit:,} tokens")


def _dtype(model: Model, opened: Opened) -> Finding:
    config = json.loads((model.folder / "config.json").read_text(encoding="utf-8"))
    stored = config.get("dtype") or config.get("torch_dtype") or "unknown"
    read = model.spec.dtype
    if read == "bfloat16" and opened.runtime.device == "cpu" and not has_units():
        advice = "without units for it: float32 is exact, and writes faster"
        return Finding(Level.WARN, "  dtype", f"{read}, on CPU", advice)
    said = f"{read}, stored as {stored}"
    if read == "bfloat16" and stored == "float32":
        return Finding(Level.WARN, "  dtype", said, 'dtype = "float32" keeps what the file holds')
    return Finding(Level.OK, "  dtype", said)
