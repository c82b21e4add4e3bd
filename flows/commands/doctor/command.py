"""`rdpt doctor`: what of this machine, or of an experiment's models, will stop a run."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg

from flows.commands.doctor.findings import print_findings
from flows.commands.doctor.machine import machine_findings
from flows.commands.doctor.models import model_findings
from flows.commands.verb import EXPERIMENT_HELP, Verb
from flows.runtime import read_runtime
from flows.workspace import open_asked
from settings.loading import BadSettings


class Doctor(Verb):
    """Check this machine and the models of an experiment; exit with 2 if a check fails.

    rdpt doctor                      packages, disk, locks, ports, devices
    rdpt doctor my-study.toml        and its models: template, context, dtype
    rdpt doctor scorer pocket        how much scores vary, scored twice

    `scorer` stores its measurements in the workspace, as table `noise` and
    column `undetermined` of `provenance` in the catalogue.
    """

    what: CliPositionalArg[str] = Field(
        default="", description=f"`scorer`, or an experiment: {EXPERIMENT_HELP}"
    )
    file: CliPositionalArg[str] = Field(default="", description="an experiment, after `scorer`")

    def act(self) -> int:
        if self.what == "scorer":
            from flows.commands.doctor.scorer import check_scorers  # brings torch

            return check_scorers(self.file)
        if self.file:
            raise BadSettings(
                "doctor",
                [
                    f"got {self.what!r} and {self.file!r}: name one experiment, or `scorer` and "
                    "one experiment"
                ],
            )
        runtime = read_runtime()
        findings = list(machine_findings(runtime))
        if self.what:
            findings += model_findings(open_asked(self.what, runtime))
        return print_findings(findings)
