"""Choices and defaults that rules and the command line share.

They stand apart from the rules, since `rdpt --help` prints them and does not wait for numpy.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

Threshold = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
"""Difference of two probabilities."""
Segmenter = Literal["maths", "regex", "lines"]
AnswerGrader = Literal["math", "choice", "exact"]
"""How an answer is compared with the gold one."""
FloatFormat = Literal["float32", "bfloat16"]
"""How numbers are held: a model's weights in memory, the passes of a training, a saved student."""

ALPHA: Final = 0.1
BETA: Final = 0.1
DELIMITERS: Final = "<think>"
FLOAT_FORMAT: Final = "float32"
GRADER: Final = "math"
MLFLOW_PORT: Final = 5000
PREFECT_PORT: Final = 4200
SEGMENTER: Final = "maths"
SELECTORS: Final = (
    "teacher_count",
    "teacher_count_min",
    "teacher_ratio",
    "soft_count",
    "mean_log_ratio",
    "longest",
    "shortest",
    "random",
    "count_length_matched",
    "count_length_residual",
    "grape_mean",
    "grape_sum",
    "ppl",
    "entropy",
    "entropy_min",
    "rsr",
)
"""Names of the formulas in `rdpt_core/selection/selectors.py`."""
