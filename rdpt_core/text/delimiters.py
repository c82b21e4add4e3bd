"""The tags by which a text is cut into zones: a model's own, or those that an import names."""

from __future__ import annotations

from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import FinishReason, Trace, Zone
from rdpt_core.text.zones import parse_zones


class Delimiters(Rule):
    """Tags as they are searched for; empty where there is none."""

    open: str = ""
    close: str = ""
    answer_open: str = ""
    answer_close: str = ""

    def zones(self, text: str, opened: bool = False) -> tuple[Zone, ...]:
        """`opened` says that the author's prompt ended with the opening tag."""
        return parse_zones(text, self.open, self.close, opened, self.answer_open, self.answer_close)


KNOWN: dict[str, Delimiters] = {
    "none": Delimiters(),
    "<think>": Delimiters(open="<think>", close="</think>"),
    "<|begin_of_thought|>": Delimiters(
        open="<|begin_of_thought|>",
        close="<|end_of_thought|>",
        answer_open="<|begin_of_solution|>",
        answer_close="<|end_of_solution|>",
    ),
}


def named_delimiters(name: str) -> Delimiters:
    """An import's `delimiters` option: a known name, or any `<tag>` that closes with `</tag>`."""
    if name in KNOWN:
        return KNOWN[name]
    if len(name) > 2 and name[0] in "<[" and name[-1] in ">]" and name[1] not in "/|":
        return Delimiters(open=name, close=f"{name[0]}/{name[1:]}")
    raise ValueError(
        f"delimiters {name!r} is not known: either one of {', '.join(sorted(KNOWN))}, "
        "or an opening tag such as <reasoning>"
    )


def trace_of(trace_id: str, problem_id: str, text: str, tags: Delimiters) -> Trace:
    """A text of which nothing else is known; it is not known to have ended."""
    return Trace(
        trace_id=trace_id,
        problem_id=problem_id,
        author="",
        sample_index=0,
        text=text,
        zones=tags.zones(text),
        finish_reason=FinishReason.UNKNOWN,
        num_tokens=None,
        token_ids=None,
        logprobs=None,
        sampled_logprobs=None,
        seed=None,
        source_id=None,
    )
