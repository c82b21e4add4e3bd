"""Texts that a page could fall for, and a Bundle with one of them in every field that is text."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rdpt_core.report.bundle import Bundle, Question, Shown

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</SCRIPT ><img src=x onerror=alert(1)>",
    "<!--<script>",
    "--><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=https://example.org/pixel.png>",
    "<svg onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext><style><img src=x onerror=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data='data:text/html,<script>alert(1)</script>'></object>",
    "<embed src=https://example.org/x.swf>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<style>@import 'https://example.org/x.css'; body { display: none }</style>",
    "<base href=https://example.org/>",
    "<meta http-equiv=refresh content='0;url=https://example.org/'>",
    "<form action=https://example.org/><button autofocus>go</button></form>",
    "<a href='javascript:alert(1)'>link</a>",
    "javascript:alert(1)",
    "<body onpageshow=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    '" autofocus onfocus="alert(1)',
    "' onmouseover='alert(1)",
    "`${alert(1)}`",
    "{{ 7 * 7 }} {% raw %} {{ config.__class__ }} {# comment",
    "{{constructor.constructor('alert(1)')()}}",
    "]]> <![CDATA[ <?xml version='1.0'?>",
    "<textarea></title></textarea></style></noscript><script>alert(1)</script>",
    "</div></main></body></html><script>alert(1)</script>",
    "\u2028alert(1)\u2029\u0085",
    "\u202egnitrever txet eht fo tser eht\u202c \u2066isolated\u2069 \u200f\u200b\ufeff",
    "null\x00byte \x1b[31m\x07 bell \x7f",
    "half a pair \ud800 and \udfff",
    "W" * 3000,
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e &lt;script&gt; &#x3c;script>",
)


def poisoned(bundle: Bundle, text: str) -> Bundle:
    names = {one.name: f"{text} {k}" for k, one in enumerate(bundle.configurations)}
    return dataclasses.replace(
        bundle,
        experiment=text,
        sentence=text,
        benchmarks=[f"{name} {text}" for name in bundle.benchmarks],
        reasons=[f"{name} {text}" for name in bundle.reasons],
        outcomes=[*bundle.outcomes[:1], *(f"{name} {text}" for name in bundle.outcomes[1:])],
        numbers={text: [[text, text], [text, text]]},
        configurations=[_shown(one, names, text) for one in bundle.configurations],
        baseline=names["pocket-student"],
        questions=[
            Question(one.benchmark, f"{text} {k}", text, text, text)
            for k, one in enumerate(bundle.questions)
        ],
        differences=[
            dataclasses.replace(one, first=names[one.first], second=names[one.second])
            for one in bundle.differences
        ],
        selection=[
            dataclasses.replace(
                one,
                arm=f"{text} {k}",
                domains={text: 3, "other": 2},
                overlap={f"{text} 0": 0.5},
                examples=[{"prompt": text, "text": text, "runner_up": text}],
            )
            for k, one in enumerate(bundle.selection)
        ],
        training=tuple(
            dataclasses.replace(
                one,
                num_sentences={text: 2, "teacher": 1},
                traces=[
                    dataclasses.replace(trace, prompt=text, sentences=[(0, f"{text}. ")])
                    for trace in one.traces
                ],
            )
            for one in bundle.training
        ),
        **_texts(bundle, text),
    )


def _shown(one: Shown, names: dict[str, str], text: str) -> Shown:
    noted = {
        f"{key} {text}" if key != "train" else key: {
            metric: dataclasses.replace(number, note=text) for metric, number in numbers.items()
        }
        for key, numbers in one.results.items()
    }
    return dataclasses.replace(
        one,
        name=names[one.name],
        teacher=text if one.teacher else None,
        student=text if one.student else None,
        selector=f"{text} {one.selector}" if one.selector else None,
        results=noted,
    )


def _texts(bundle: Bundle, text: str) -> dict[str, Any]:
    """Every sentence of every trace is the text, in a block that holds them all."""
    content = f"{text}. ".encode("utf-8", "replace")
    size, per_trace = len(bundle.traces.trace_id), int(bundle.traces.first_sentence[1])
    start = np.tile(np.arange(per_trace) * len(content), size)
    traces = dataclasses.replace(
        bundle.traces,
        trace_id=[f"{text} {k}" for k in range(size)],
        extracted=[text] * size,
        finish=[text] * size,
        first_byte=(np.arange(size + 1) * per_trace * len(content)).astype(np.uint64),
    )
    sentences = dataclasses.replace(
        bundle.sentences,
        start=start.astype(np.uint32),
        stop=(start + len(content)).astype(np.uint32),
    )
    return {"traces": traces, "sentences": sentences, "text": content * per_trace * size}
