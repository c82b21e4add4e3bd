"""`python -m perf.pocket` makes the two shipped models again, from nothing but this code and the
generator of the stories.

Everything unfinished is kept in the working folder, so the command can be killed and given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from perf.pocket.build import build
from perf.pocket.corpus import ROLES
from rdpt_core.pocket import MODELS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m perf.pocket", description=__doc__)
    parser.add_argument("--only", choices=ROLES, help="build this one alone")
    parser.add_argument(
        "--minutes",
        type=float,
        help="stop each training after so long",
    )
    parser.add_argument(
        "--workdir", type=Path, default=Path(".pocket"), help="where unfinished work is kept"
    )
    parser.add_argument(
        "--models",
        type=Path,
        default=MODELS,
        help="where models are written",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="CPU threads",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for role in [options.only] if options.only else ROLES:
        build(role, options.workdir, options.models / role, options.minutes)


if __name__ == "__main__":
    main()
