"""The pocket lab: arithmetic stories, and a teacher and a student small enough to ship.

How the two models were trained is in `perf/pocket/`.
"""

from pathlib import Path
from typing import Final

MODELS: Final = Path(__file__).parent / "models"
"""Holds `teacher/` and `student/`."""
