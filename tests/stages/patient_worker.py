"""A worker with nothing to do, which ends as workers do: told by a signal, or by its run's end."""

from __future__ import annotations

import sys
import time

from tasks import stopping
from tasks.workers.processes import end_with_standard_input

if __name__ == "__main__":
    stopping.listen()
    end_with_standard_input()
    while stopping.asked() is None:
        time.sleep(0.02)
    sys.exit(143)
