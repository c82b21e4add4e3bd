"""The answer of a text is one whole expression, wherever and in whatever script it stands."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from rdpt_core.grading.answers import find_answer, read_gold
from rdpt_core.grading.expressions import are_equal, latex_number, number


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"15\sqrt{3}", r"15\sqrt{3}"),
        (r"The answer is 15\sqrt{3}.", r"15\sqrt{3}"),
        ("It is 5+2i in the end.", "5+2i"),
        (r"So it is 4\pi^2-1.", r"4\pi^2-1"),
        (r"So it is $15$\sqrt{3}", r"15\sqrt{3}"),
        ("The solutions are 2 and 3.", "2 and 3"),
        ("It is (3, 4).", "(3, 4)"),
        ("So the area is 5 cm^2 and more.", "5"),
        ("It flies 5 km/h, or 5 m^2", "5"),
        ("The 15th of them", "15"),
        ("AZYUK2A", None),
        ("The answer is yes.", None),
    ],
)
def test_a_number_that_more_of_the_expression_follows_is_not_the_answer(
    text: str, answer: str | None
) -> None:
    assert find_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("x is 3, y is 4", "x = 3, y = 4"),
        ("So $x$ is 3 and $y$ is 4.", "x = 3 and y = 4"),
        ("So x is 4.", "4"),
        ("It takes 3 hours and 20 minutes.", "3 hours and 20 minutes"),
        ("The answer is 3 h 20 min.", "3 h 20 min"),
        ("It lasts 3h20m", "3h20m"),
        ("She is 5 feet 3 inches tall.", "5 feet 3 inches"),
        ("He ran 15 minutes, 42 minutes in all.", "42"),
        ("After 3 days 42 apples remain.", "42"),
        ("It costs 3 dollars and 20 cents", "3 dollars and 20 cents"),
        ("It was on 3 May 2020.", "3 May 2020"),
        ("The answer is May 3rd, 2020.", "May 3rd, 2020"),
        ("The 3rd of May 2020", "3rd of May 2020"),
        ("It is 2020-05-03", "2020-05-03"),
        ("About 10–20 of them", "10–20"),
        ("Left are 180 – 124 = 56", "180 - 124 = 56"),
        ("That makes 7 dozen eggs", "7"),
        ("From 10 to 20 people", "10 to 20"),
        ("Rounded 41.7 to 42", "42"),
        ("Between 3 and 5", "3 and 5"),
        ("Version 1.2.3", "1.2.3"),
        ("At 3:30 pm", "3:30"),
        ("The ratio is 3 : 5", "3:5"),
        ("It is 3 and a half.", "3 and a half"),
        ("It is two thirds of 30", "thirds of 30"),
        ("It is 3 out of 5", "3 out of 5"),
        ("a 3-by-5 grid", "3-by-5"),
        ("It is minus 5", "-5"),
        ("It is 5 squared", "5^2"),
        ("It is the square root of 5", r"\sqrt{5}"),
        ("It is 3 plus 5", "3 + 5"),
        ("a 20% increase", "20%"),
        ("He runs 3 times a week.", "3"),
    ],
)
def test_one_number_of_a_quantity_is_not_the_answer(text: str, answer: str) -> None:
    assert find_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{42}",
        r"\boxed {42}",
        r"\boxed{ 42. }",
        r"\fbox{42}",
        r"$\boxed{42.}$",
        r"\boxed{\boxed{42}}",
        r"First \boxed{3}, but then I find that it is \boxed{42}.",
        r"\boxed{42}, as I said: **Final Answer** \boxed{42}",
        r"\boxed{\$42}",
    ],
)
def test_the_last_box_is_the_clearest_place(text: str) -> None:
    assert find_answer(text) == "42"


def test_boxes_that_stand_together_are_one_answer() -> None:
    assert find_answer(r"\boxed{2} or \boxed{3}") == "2,3"
    assert find_answer(r"\boxed{2} papers and \boxed{3} bins") == "2,3"
    assert find_answer(r"\boxed{2} for a step that I show below, at last \boxed{3}") == "3"


def test_an_empty_or_open_box_is_no_answer() -> None:
    assert find_answer(r"\boxed{}") is None
    assert find_answer(r"So it is \boxed{42") is None


@pytest.mark.parametrize(
    "text",
    [
        "She pays $42 every day.",
        r"It costs \$42.",
        "It costs €42.",
        "It costs 42 € or so",
        "It costs $5 and $6, hence $42.",
        "４２",
        "答案是 42。",
        "所以答案是４２个。",
        "答案：42",
        "一共有42个苹果。",
        "答えは42です。",
        "정답은 42입니다.",
        "Ответ: 42.",
        "La respuesta es 42.",
        "La réponse finale est $42$.",
        "Die Antwort lautet 42.",
        "الجواب هو ٤٢.",
        "**Answer:** 42",
        "The answer is **42**.",
        "**Final Answer**\n\n$42$",
        "**Final Answer: **42**",
        "We add.\n#### 42",
        '{"answer": "42"}',
        "The answer is 42, because 2 + 3 = 5.",
        "Final Answer: The least n with $f(n) > 0$ is 42.",
        "The answer is 42!",
        "Final Answer: The final answer is $42$. I hope it is correct.",
        "Then:\n\\[\n42\n\\]\nas said.",
        "#### 3. Combine\nThe total is 42.",
        "We have 12 apples.\n\n- 42",
    ],
)
def test_answers_in_sentences(text: str) -> None:
    assert find_answer(text) == "42"


def test_a_final_answer_outdoes_the_box_of_a_step() -> None:
    assert find_answer(r"First \boxed{255}. The final answer is $10,455$.") == "10,455"


@pytest.mark.parametrize(
    ("gold", "expression"),
    [
        ("$15$", "15"),
        ("$125$ miles", "125"),
        ("5 apples and 2 pears", "5 apples and 2 pears"),
        (r"\text{Evelyn}", r"\text{Evelyn}"),
        ("He has 3*4 apples.\n#### 12", "12"),
        (r"We see that $x=3$, hence $\boxed{7}$ follows.", "7"),
        ("The answer is 7.", "7"),
        ("5!", "5!"),
        ("]0, 1[", "(0, 1)"),
        ("2^70", "2^{70}"),
        ("3√2", r"3\sqrt{2}"),
    ],
)
def test_a_gold_answer_is_read_whole(gold: str, expression: str) -> None:
    assert read_gold(gold) == expression


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", Fraction(2469, 2)),
        ("10{,}000", 10_000),
        (r"135,\!000", 135_000),
        ("1 000", 1000),
        (".5", Fraction(1, 2)),
        ("-3", -3),
        ("1e-05", Fraction(1, 100_000)),
        ("1e+30", 10**30),
        ("0,111", Fraction(111, 1000)),
        ("1000,99", Fraction(100_099, 100)),
        ("3,14", None),
        ("3, 100", None),
        ("(1,234)", None),
        ("12,34,567", None),
        ("x", None),
        ("1e999999", None),
        ("9" * 2000, None),
    ],
)
def test_plain_numbers_have_exact_values(text: str, value: Fraction | None) -> None:
    assert number(text) == value


def test_whole_numbers_are_compared_exactly_and_others_to_six_decimals() -> None:
    large = Fraction(2**70)
    assert are_equal(large, Fraction(2**70))
    assert not are_equal(large, large + 1)
    assert are_equal(Fraction("222.22"), Fraction("222.2200001"))
    assert not are_equal(Fraction("222.22"), Fraction("222.2201"))
    assert not are_equal(Fraction("0.0000001"), Fraction("0.0000002"))
    assert latex_number("1e-05") == r"\frac{1}{100000}"


PIECES = [
    "$",
    "\\boxed{",
    "}",
    "{",
    "\\(",
    "\\[",
    "answer",
    "answer is ",
    "答案",
    "5",
    "5 ",
    "a",
    "a ",
    "(",
    ",",
    "\n",
    "**",
    "\\",
    "$ 5 ",
    "####",
    "^",
    "réponse ",
    "1,000",
    "final answer: ",
    "3 hours ",
    "3 h 20 m ",
    "3 to ",
    "May 3, ",
    "half of ",
    "round 3 ",
    "x is ",
    "5 squared ",
    "minus ",
    "3 – ",
    "3' ",
]


@pytest.mark.fault("F32")
@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear_in_a_degenerate_answer(piece: str) -> None:
    """Processor time; a quadratic search would take minutes."""
    text = piece * (200_000 // len(piece))
    start = time.process_time()
    find_answer(text)
    find_answer(text + "}" * len(text))
    assert time.process_time() - start < 4
