"""The order of an experiment, and its command line.

Whichever way the program starts (`rdpt`, a deployment's worker), this file is read before torch,
numpy or numba: here its process is closed to variables that would move its numbers.
"""

import os

from rdpt_core.machine.environment import isolate

IGNORED_VARIABLES = isolate(os.environ)
"""Names of what the shell had set; `rdpt doctor` shows them."""
