"""The two tokenizers and chat templates, different in every way that alignment has to survive.

Both are byte-level BPEs, so they round-trip any text. The teacher's keeps digits single, its
template opens the thinking tag; the student's takes numbers of up to two digits whole, its
template leaves the tag to the student. A run of lowercase words may become one token, which keeps
templated stories short; a token never crosses the end of a sentence.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AddedToken, PreTrainedTokenizerFast

from perf.pocket.corpus import Role, student_examples, teacher_examples, texts

THINK, UNTHINK = "<think>", "</think>"
NUM_TRAINING_EXAMPLES = 12_000
MAX_POSITIONS = 1024
_PIECES = (
    r"%s| ?[A-Z][a-z]*(?: (?=\d))?|(?: [a-z]+)+(?: (?=\d))?|[a-z]+| [-+*/=]+ (?=\d)|\n+"
    r"| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s"
)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What tells one model's text from the other's."""

    digits: str
    size: int
    bos: str
    user: str
    reply: str
    end: str
    pad: str
    template: str


LEXICONS: dict[Role, Lexicon] = {
    "teacher": Lexicon(
        digits=r"\d",
        size=1024,
        bos="<|begin|>",
        user="<|user|>",
        reply="<|tutor|>",
        end="<|end|>",
        pad="<|pad|>",
        template=(
            "{{ '<|begin|>' }}{% for message in messages %}"
            "{% if message['role'] == 'assistant' %}"
            "{{ '<|tutor|>' + message['content'] + '<|end|>' }}"
            "{% else %}{{ '<|user|>' + message['content'] }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|tutor|><think>\n' }}{% endif %}"
        ),
    ),
    "student": Lexicon(
        digits=r"\d{1,2}",
        size=1280,
        bos="<|endoftext|>",
        user="<|im_start|>",
        reply="<|im_start|>",
        end="<|im_end|>",
        pad="<|pad|>",
        template=(
            "{% for message in messages %}"
            "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
            "{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        ),
    ),
}


def trained_tokenizer(role: Role) -> PreTrainedTokenizerFast:
    """A tokenizer trained on the first examples of the role's own corpus."""
    lexicon = LEXICONS[role]
    stream = (
        teacher_examples(early=0)
        if role == "teacher"
        else student_examples(late=NUM_TRAINING_EXAMPLES)
    )
    special = list(
        dict.fromkeys([lexicon.pad, lexicon.bos, lexicon.user, lexicon.reply, lexicon.end])
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES % lexicon.digits), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=lexicon.size - 2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    examples = list(itertools.islice(stream, NUM_TRAINING_EXAMPLES))
    tokenizer.train_from_iterator([*texts(examples), "user\n", "assistant\n", "\n\n"], trainer)
    return _wrapped(tokenizer, lexicon, special)


def _wrapped(tokenizer: Tokenizer, lexicon: Lexicon, special: list[str]) -> PreTrainedTokenizerFast:
    """The thinking tags are single tokens but not special ones, so that decoded text keeps them."""
    tokenizer.add_tokens(
        [AddedToken(tag, special=False, normalized=False) for tag in (THINK, UNTHINK)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=lexicon.bos,
        eos_token=lexicon.end,
        pad_token=lexicon.pad,
        extra_special_tokens=[
            token for token in special if token not in (lexicon.bos, lexicon.end, lexicon.pad)
        ],
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_POSITIONS,
    )
    wrapped.chat_template = lexicon.template
    return wrapped


def chat_prompt(question: str, tokenizer: PreTrainedTokenizerFast) -> str:
    """The text that a model continues."""
    chat = [{"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))


def token_ids(text: str, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def completion(role: Role, thought: str, answer: str, end: str) -> str:
    """What the model writes after its generation prompt."""
    opened = "" if role == "teacher" else THINK + "\n"
    return f"{opened}{thought}\n{UNTHINK}\n\n{answer}{end}"
