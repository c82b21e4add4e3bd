"""`rdpt completion`: real shells complete with the script, as when a key is pressed."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from flows import cli

BASH = """
source "$1"; shift
handler=$(complete -p rdpt | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
"$handler" rdpt "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
fpath=($PWD $fpath)
autoload -Uz compinit; compinit -u -d dump
press() { zle complete-word; print -r -- "$BUFFER" > completed }
zle -N press; bindkey '^I' press
"""
MISSING = "no {} on this machine"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a workspace that has a run, and a file of an experiment."""
    for name in ("workspace/runs/kept", "other/runs/elsewhere", "folder"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("study.toml", "notes.txt"):
        (tmp_path / name).touch()
    for shell in ("bash", "zsh", "fish"):
        assert cli.main(["completion", shell, "-o", str(tmp_path / f"rdpt.{shell}")]) == 0
    return tmp_path


def completed(folder: Path, shell: str, *words: str) -> set[str]:
    """What a shell offers for the last of the words."""
    if shutil.which(shell) is None:
        pytest.skip(MISSING.format(shell))
    script = str(folder / f"rdpt.{shell}")
    command = {
        "bash": ["bash", "--norc", "-c", BASH, "bash", script, "rdpt", *words],
        "fish": [
            *("fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"'),
            *(script, " ".join(["rdpt", *words])),
        ],
    }[shell]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return {line.partition("\t")[0] for line in done.stdout.splitlines()}


OFFERS: dict[tuple[str, ...], set[str]] = {
    ("co",): {"compare", "completion"},
    ("run", "--no"): {"--no-wait"},
    ("run", ""): {"pocket", "smoke", "kept", "study.toml", "folder/"},
    ("resume", ""): {"kept"},
    ("resume", "--workspace", "other", ""): {"elsewhere"},
    ("why", "--workspace", "other", "else"): {"elsewhere"},
    ("select", "x.csv", "--selector", "teacher_c"): {"teacher_count", "teacher_count_min"},
    ("sql", "--format", ""): {"table", "csv", "json"},
    ("why", "pocket", "prov"): {"provenance"},
    ("help", "ver"): {"verify", "version"},
}


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize("words", OFFERS)
def test_a_shell_offers_what_fits(folder: Path, shell: str, words: tuple[str, ...]) -> None:
    found = completed(folder, shell, *words)
    if words == ("run", ""):
        assert found >= OFFERS[words]
        assert shell == "fish" or "notes.txt" not in found  # fish offers other files last
    else:
        assert found == OFFERS[words]


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("rdpt compa", "rdpt compare"),
        ("rdpt run stu", "rdpt run study.toml"),
        ("rdpt resume k", "rdpt resume kept"),
        ("rdpt resume --workspace=other e", "rdpt resume --workspace=other elsewhere"),
        ("rdpt select x --selector teacher_r", "rdpt select x --selector teacher_ratio"),
    ],
)
def test_zsh_completes_a_line(folder: Path, line: str, becomes: str) -> None:
    if shutil.which("zsh") is None:
        pytest.skip(MISSING.format("zsh"))
    (folder / "rdpt.zsh").rename(folder / "_rdpt")
    (folder / ".zshrc").write_text(ZSH)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "ZDOTDIR": str(folder), "TERM": "xterm"}
    shell = subprocess.Popen(
        ["zsh", "-d", "-i"], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        os.write(ours, f"{line}\t".encode())
        deadline = time.monotonic() + 60
        while not (folder / "completed").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (folder / "completed").read_text().strip() == becomes
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
        os.close(theirs)
