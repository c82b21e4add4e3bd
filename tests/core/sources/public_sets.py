r"""Five made-up rows for each public set, in its published columns.

Each row asks for n + n, thinks, and answers `\boxed{2n}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
PREFIX = "Solve it, and put the answer into a box. "


def question(n: int) -> str:
    return f"What is {n} + {n}?"


def thought(n: int) -> str:
    return f"{n} and {n}. That makes {2 * n}."


def answer(n: int) -> str:
    return f"It is \\boxed{{{2 * n}}}."


def text(n: int) -> str:
    return f"<think>\n{thought(n)}\n</think>\n\n{answer(n)}"


def turns(n: int, system: str | None = None) -> list[Row]:
    said = [("user", question(n)), ("assistant", text(n))]
    said = [("system", system), *said] if system else said
    return [{"role": role, "content": content} for role, content in said]


def sharegpt(n: int, system: str | None = None) -> list[Row]:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return [{"from": names[t["role"]], "value": t["content"]} for t in turns(n, system)]


def only_some(n: int) -> str | None:
    """A system turn for every second row."""
    return "You are careful." if n % 2 else None


def openr1(n: int) -> Row:
    return {
        "problem": question(n),
        "solution": f"Add them: \\boxed{{{2 * n}}}",
        "answer": str(2 * n),
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "source": "olympiads",
        "uuid": f"u{n}",
        "is_reasoning_complete": [True, False],
        "generations": [text(n), text(n).removesuffix(".") + ", I"],
        "correctness_math_verify": [True, False],
        "correctness_llama": None,
        "finish_reasons": ["stop", "length"],
        "correctness_count": 1,
        "messages": turns(n),
    }


def nemotron_chat(n: int) -> Row:
    return {
        "uuid": f"u{n}",
        "license": "CC BY 4.0",
        "generator": "R1",
        "version": "v1",
        "category": "math",
        "reasoning": "on",
        "messages": turns(n, "detailed thinking on"),
        "metadata": json.dumps({"expected_answer": str(2 * n), "problem_source": "x"}),
    }


def llama_nemotron(n: int) -> Row:
    return {
        "version": "v1",
        "input": turns(n)[:1],
        "output": text(n),
        "category": "math",
        "license": "cc-by-4.0",
        "reasoning": "on",
        "generator": "R1",
        "used_in_training": "Ultra",
        "system_prompt": "detailed thinking on",
    }


def open_math_reasoning(n: int) -> Row:
    return {
        "expected_answer": str(2 * n),
        "problem_type": "has_answer_extracted",
        "problem_source": "aops",
        "generation_model": "R1",
        "pass_rate_72b_tir": "0.5",
        "problem": question(n),
        "generated_solution": text(n),
        "inference_mode": "cot",
        "used_in_kaggle": True,
    }


def s1k(n: int) -> Row:
    return {
        "solution": str(2 * n),
        "question": question(n),
        "cot_type": "math",
        "source_type": "x",
        "metadata": "{}",
        "cot": None,
        "thinking_trajectories": [thought(n)],
        "attempt": answer(n),
    }


def s1k_11(n: int) -> Row:
    return {
        "solution": f"So $x = \\boxed {{{2 * n}}}$",
        "question": question(n),
        "cot_type": "math",
        "source_type": "x",
        "metadata": "{}",
        "gemini_thinking_trajectory": "Other.",
        "gemini_attempt": "Another.",
        "deepseek_thinking_trajectory": thought(n),
        "deepseek_attempt": answer(n),
    }


def open_thoughts(n: int) -> Row:
    return {
        "problem": question(n),
        "deepseek_reasoning": thought(n),
        "deepseek_solution": answer(n),
        "ground_truth_solution": f"\\boxed{{{2 * n}}}",
        "domain": "math",
        "source": "x",
        "test_cases": None,
        "starter_code": None,
    }


def verl(n: int) -> Row:
    return {
        "data_source": "x",
        "prompt": [{"role": "user", "content": question(n)}],
        "ability": "MATH",
        "reward_model": {"style": "rule", "ground_truth": str(2 * n)},
        "extra_info": {"index": n},
    }


def superior(n: int) -> Row:
    return {
        "uuid": f"u{n}",
        "input": question(n),
        "output": text(n),
        "domain": "math",
        "meta": "{}",
    }


def logprobs(n: int) -> Row:
    """The companion set of `superior`."""
    return {"sample_uuid": f"u{n}", "token_ids": [n, n + 1], "logprobs": [-0.5, -n / 8]}


IMPORTS: dict[str, Callable[[int], Row]] = {
    "messages": lambda n: {"messages": turns(n, only_some(n)), "answer": str(2 * n)},
    "conversations": lambda n: {"conversations": sharegpt(n, only_some(n)), "answer": str(2 * n)},
    "alpaca": lambda n: {"instruction": PREFIX, "input": question(n), "output": text(n)},
    "openr1-math": openr1,
    "openthoughts3": lambda n: {
        "difficulty": 7,
        "source": "x",
        "domain": "math",
        "conversations": sharegpt(n),
    },
    "openthoughts-metadata": open_thoughts,
    "acereason-1.1-sft": lambda n: {
        "category": "math",
        "source": "x",
        "input": question(n),
        "output": text(n),
    },
    "superior-reasoning-sft": superior,
    "openmathreasoning": open_math_reasoning,
    "nemotron-post-training": nemotron_chat,
    "llama-nemotron-post-training": llama_nemotron,
    "s1k": s1k,
    "s1k-1.1": s1k_11,
    "limo": lambda n: {
        "question": question(n),
        "solution": f"{thought(n)} {answer(n)}",
        "answer": str(2 * n),
    },
}
GOLDLESS = (
    "alpaca",
    "openthoughts3",
    "acereason-1.1-sft",
    "superior-reasoning-sft",
    "llama-nemotron-post-training",
)
PROBLEMS: dict[str, Callable[[int], Row]] = {
    "verl": verl,
    "openr1-math": openr1,
    "openmathreasoning": open_math_reasoning,
    "nemotron-post-training": nemotron_chat,
    "gsm8k": lambda n: {"question": question(n), "answer": f"Add.\n#### {2 * n}"},
    "math-500": lambda n: {
        "problem": question(n),
        "solution": f"\\boxed{{{2 * n}}}",
        "answer": str(2 * n),
        "subject": "Algebra",
        "level": 1,
        "unique_id": f"test/{n}.json",
    },
    "aime": lambda n: {
        "ID": f"2024-I-{n}",
        "Problem": question(n),
        "Solution": "Add them up.",
        "Answer": 2 * n,
    },
    "olympiadbench": lambda n: {"question": question(n), "final_answer": [f"${2 * n}$"]},
}


def rows(make: Callable[[int], Row]) -> list[Row]:
    return [make(n) for n in range(1, 6)]
