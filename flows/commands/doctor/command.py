"""`rdpt doctor`: what of this machine, or of an experiment's models, will stop a run."""

from __future__ import annotations

from flows.commands.doctor.findings import print_findings
from flows.commands.doctor.machine import machine_findings
from flows.commands.doctor.models import model_findings
from flows.runtime import read_runtime
from flows.workspace import open_asked
from settings.loading import BadSettings


def doctor(what: str, file: str, as_json: bool) -> int:
    """`what` is an experiment or `scorer`, of which `file` is the experiment."""
    if what == "scorer":
        from flows.commands.doctor.scorer import check_scorers  # brings torch

        return check_scorers(file, as_json)
    if file:
        raise BadSettings(
            "doctor",
            [f"got {what!r} and {file!r}: name one experiment, or `scorer` and one experiment"],
        )
    runtime = read_runtime()
    findings = list(machine_findings(runtime))
    if what:
        findings += model_findings(open_asked(what, runtime))
    return print_findings(findings, as_json)
