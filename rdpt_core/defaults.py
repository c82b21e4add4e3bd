"""Defaults that rules and the command line share.

They stand apart from the rules, since `rdpt --help` prints them and does not wait for numpy.
"""

from __future__ import annotations

from typing import Final

ALPHA: Final = 0.1
BETA: Final = 0.1
DELIMITERS: Final = "<think>"
GRADER: Final = "math"
MLFLOW_PORT: Final = 5000
PREFECT_PORT: Final = 4200
SEGMENTER: Final = "maths"
