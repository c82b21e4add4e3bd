"""A process of ours gets nothing of the shell that could move a number."""

from __future__ import annotations

import json
import os

import pytest

from rdpt_core.machine.children import start_python

LOOK = """
import json, os, sys
print(json.dumps([sys.flags.safe_path, hash("a"), os.getsid(0) == os.getpid(), dict(os.environ)]))
"""


def test_a_child_has_a_list_of_variables_a_seed_and_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MKL_CBWR", "SSE4_2")
    monkeypatch.setenv("RDPT_KEY", "secret")
    monkeypatch.setenv("LD_PRELOAD", "")
    found = []
    for preload in (True, False):
        child = start_python("-c", LOOK, preload=preload)
        found.append(json.loads(child.communicate()[0]))
    (safe, hashed, own_session, variables), other = found
    assert (safe, own_session) == (True, True)
    assert hashed == other[1]
    assert not {"MKL_CBWR", "RDPT_KEY"} & variables.keys()
    assert ("LD_PRELOAD" in variables, "LD_PRELOAD" in other[3]) == (True, False)
    assert variables["PATH"] == os.environ["PATH"]
