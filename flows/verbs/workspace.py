"""Verbs about the workspace, this machine and rdpt itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.verb import EXPERIMENT_HELP, RUN_HELP, Answer, Verb, WorkspaceVerb, Written
from rdpt_core.defaults import MLFLOW_PORT, PREFECT_PORT


class Sync(WorkspaceVerb):
    """Bring MLflow up to date from the store.

    rdpt sync                        all experiments of the workspace
    rdpt sync pocket
    """

    name: CliPositionalArg[str] = Field(default="", description=f"{RUN_HELP} (default: all)")

    def act(self) -> int:
        from flows.commands.sync import sync

        return sync(self.name)


class Verify(Answer):
    """Check every hash of the store; exit with 6 if something is damaged.

    rdpt verify                      one line for each damaged part
    rdpt verify --repair             the next run builds them again
    """

    repair: CliToggleFlag[bool] = Field(
        default=False, description="move damaged parts to the quarantine folder"
    )

    def act(self) -> int:
        from flows.commands.verify import verify

        return verify(self.repair, self.as_json)


class Gc(Answer):
    """Remove parts that no experiment of the workspace uses, once older than RDPT_GC_GRACE_DAYS.

    rdpt gc --dry-run                what would be removed, what kept and why
    RDPT_GC_GRACE_DAYS=0 rdpt gc     without the grace period
    """

    dry_run: CliToggleFlag[bool] = Field(default=False, description="list only, remove nothing")

    def act(self) -> int:
        from flows.commands.gc import gc

        return gc(self.dry_run, self.as_json)


class Doctor(Answer):
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
    file: CliPositionalArg[str] = Field(
        default="", description=f"after `scorer`, an experiment: {EXPERIMENT_HELP}"
    )

    def act(self) -> int:
        from flows.commands.doctor.command import doctor

        return doctor(self.what, self.file, self.as_json)


class Ui(WorkspaceVerb):
    """Serve MLflow and Prefect on this machine's loopback address, until interrupted.

    rdpt ui
    rdpt ui --mlflow-port 5001
    """

    mlflow_port: int = Field(default=MLFLOW_PORT, description="port of MLflow's server")
    prefect_port: int = Field(default=PREFECT_PORT, description="port of Prefect's server")

    def act(self) -> int:
        from flows.commands.ui.command import serve

        return serve(self.mlflow_port, self.prefect_port)


class ShowHelp(Verb):
    """Show verbs, or the arguments of one verb with examples.

    rdpt help                        the same as rdpt --help
    rdpt help run                    the same as rdpt run --help
    """

    verb: CliPositionalArg[str] = Field(default="", description="a verb (default: all verbs)")

    def act(self) -> int:
        from flows import cli

        return cli.main([self.verb, "--help"] if self.verb else ["--help"])


class PrintCompletion(Written):
    """Print a script that completes verbs, options, experiments and files in a shell.

    rdpt completion bash -o ~/.local/share/bash-completion/completions/rdpt
    rdpt completion zsh -o ~/.zfunc/_rdpt         where fpath has ~/.zfunc
    rdpt completion fish -o ~/.config/fish/completions/rdpt.fish
    """

    shell: CliPositionalArg[Literal["bash", "zsh", "fish"]] = Field(description="the shell")

    def act(self) -> int:
        from flows.commands.completion import completion

        return completion(self.shell)


class Version(Verb):
    """Print the version.

    rdpt version                     the same as rdpt --version
    """

    def act(self) -> int:
        from flows import cli

        return cli.main(["--version"])
