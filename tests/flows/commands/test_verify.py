"""`rdpt verify`: damaged parts are named and set aside."""

from __future__ import annotations

import pytest

from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of

Capture = pytest.CaptureFixture[str]


@pytest.mark.fault("F10")
def test_verify_names_what_is_damaged_and_repair_lets_a_run_build_it_alone(
    here: Studio, capsys: Capture
) -> None:
    assert output_of(capsys, "verify") == ""
    store = here.folder / "workspace" / "store"
    victim = next((store / "sentences").glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-3])
    assert output_of(capsys, "verify", code=6).startswith(f"sentences/{victim.stem}: its file has ")
    assert output_of(capsys, "verify", "--repair").startswith(f"sentences/{victim.stem}: ")
    assert output_of(capsys, "verify") == ""
    assert output_of(capsys, "sql", "SELECT count(*) > 0 AS some FROM sentences") == "some\ntrue\n"
    assert here.build() == {"sentences": 1}
