"""An error in a worker's process ends a command as it would in the main one: by its class."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import pytest

from flows.errors import code_of, explain
from rdpt_core.finetune.disk import training_room, weight_shapes
from rdpt_core.finetune.recipe import Lora
from rdpt_core.finetune.training import TrainingExample, train
from rdpt_core.grading import checking
from rdpt_core.machine.resources import NoRoom, OutOfMemory, no_room
from rdpt_core.machine.worker_errors import FAULT, fault_line, raised
from tests.core.finetune.tiny_students import MACHINE, RECIPE, base, examples

__all__ = ["base", "examples"]

STAGE, SERVICE, RESOURCE = 1, 5, 7

# The error that the training raises, the class that arrives, and its exit code.
ERRORS = {
    "OSError(28, 'No space left on device', 'weights')": (NoRoom, RESOURCE),
    "OSError(122, 'Disk quota exceeded')": (NoRoom, RESOURCE),
    "RuntimeError('I/O error: No space left on device (os error 28)')": (NoRoom, RESOURCE),
    "RuntimeError('PytorchStreamWriter failed writing file data/0: file write failed')": (
        NoRoom,
        RESOURCE,
    ),
    "MemoryError()": (OutOfMemory, RESOURCE),
    "RuntimeError('DefaultCPUAllocator: can\\'t allocate memory')": (OutOfMemory, RESOURCE),
    "ConnectionError('no route')": (ConnectionError, SERVICE),
    "ValueError('set packing = false in [training]')": (ValueError, STAGE),
    "OSError(5, 'Input/output error')": (RuntimeError, STAGE),
    "FloatingPointError('the loss is nan')": (RuntimeError, STAGE),
}
RAISES = """
import sys, types
def fit(*_):
    raise {error}
sys.modules["rdpt_core.finetune.trainer"] = types.SimpleNamespace(fit=fit)
from rdpt_core.finetune.worker import main
sys.exit(main(*sys.argv[1:]))
"""


class Python:
    """Stands in for the interpreter: runs a text where a worker's module is asked for."""

    def __init__(self, folder: Path, text: str) -> None:
        program, self.path = folder / "worker.py", folder / "python"
        program.write_text(text)
        self.path.write_text(f'#!/bin/sh\nshift 3\nexec "{sys.executable}" "{program}" "$@"\n')
        self.path.chmod(0o755)


@pytest.mark.parametrize("error", ERRORS)
def test_the_class_of_an_error_in_training_survives(
    error: str,
    base: Path,
    examples: list[TrainingExample],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, code = ERRORS[error]
    python = Python(tmp_path, RAISES.format(error=error))
    monkeypatch.setattr(sys, "executable", str(python.path))
    machine = MACHINE.model_copy(update={"device_batch": 1})
    with pytest.raises(expected) as caught:
        train(base, examples, RECIPE, 7, "s", tmp_path / "work", tmp_path / "out", machine)
    assert type(caught.value) is expected
    assert code_of(caught.value) == code
    if isinstance(caught.value, NoRoom):
        assert caught.value.needed == training_room(base, RECIPE).checkpoint
        assert caught.value.free
    else:
        assert str(caught.value).startswith("fine-tuning of s failed: ")
        assert "finetune.log" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "code"), [("MemoryError()", RESOURCE), ("ImportError('no module')", STAGE)]
)
def test_the_class_of_an_error_in_a_graders_start_survives(
    error: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "math_verify.py").write_text(f"raise {error}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Exception, match="the answer checker did not start") as caught:
        checking.Checker().check([checking.Check("1", "1")], 10)
    assert code_of(caught.value) == code


def test_a_line_is_short_whatever_the_message_and_holds_nothing_but_json() -> None:
    line = fault_line(ValueError("數\n\ud800" * 5000))
    assert len(line.encode(errors="backslashreplace")) < 4096
    assert "\n" not in line
    assert isinstance(raised(json.loads(line)[FAULT], "it failed"), ValueError)


@pytest.mark.fault("X2")
def test_a_class_that_is_not_on_the_list_is_never_looked_up() -> None:
    error = raised({"kind": "SystemExit", "message": "x"}, "it failed")
    assert type(error) is RuntimeError


# ---------------------------------------------------------------------------- a full disk


def test_what_a_full_disk_is_said_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(NoRoom(tmp_path, 3_400_000_000, 12_300_000)) == RESOURCE
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (f"rdpt: not enough room on the disk: {tmp_path}: 3.4 GB needed, 12.3 MB free")


@pytest.mark.fault("F08")
def test_an_error_that_followed_from_a_full_disk_is_one(tmp_path: Path) -> None:
    try:
        try:
            raise OSError(errno.EDQUOT, "over quota", str(tmp_path / "file"))
        except OSError as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as error:
        full = no_room(error)
    assert full is not None
    assert full.filename == str(tmp_path / "file")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("server x says: No space left on device"),
        ValueError("row 3: 'No space left on device' is not a number"),
        OSError(errno.EIO, "Input/output error"),
    ],
)
def test_the_text_of_others_makes_no_disk_full(error: Exception) -> None:
    assert no_room(error) is None


# ---------------------------------------------------------------------------- how much is needed


def test_a_training_needs_three_checkpoints_and_its_model(base: Path) -> None:
    num = sum(torch_sizes(base).values())
    room = training_room(base, RECIPE)
    assert room == (12 * num, 4 * num)
    assert room.most == 40 * num
    halved = RECIPE.model_copy(update={"save_dtype": "bfloat16"})
    assert training_room(base, halved).model == 2 * num


def test_an_adapter_needs_little(base: Path) -> None:
    lora = Lora(rank=4, targets=("q_proj",), keep="adapter")
    room = training_room(base, RECIPE.model_copy(update={"lora": lora}))
    shapes = [s for name, s in weight_shapes(base).items() if name.endswith("q_proj.weight")]
    num = sum(4 * (rows + columns) for rows, columns in shapes)
    assert num
    assert room == (12 * num, 4 * num)


def torch_sizes(folder: Path) -> dict[str, int]:
    from safetensors.torch import load_file

    return {name: t.numel() for name, t in load_file(folder / "model.safetensors").items()}
