"""What reaches a terminal or a log repeats no secret, and no character of it acts."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import cli, errors
from flows.journal import Journal
from settings.loading import BadSettings
from settings.secrets import redacted
from tasks.progress import harmless, say

CANARY = "canary-0123456789"
Capture = pytest.CaptureFixture[str]


@pytest.mark.fault("X6")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_PASSWORD", CANARY),
        ("MLFLOW_TRACKING_TOKEN", CANARY),
        ("PREFECT_API_KEY", CANARY),
        ("PREFECT_API_AUTH_STRING", f"rdpt:{CANARY}"),
        ("HF_TOKEN", CANARY),
        ("AWS_SECRET_ACCESS_KEY", CANARY),
        ("RDPT_SERVERS", json.dumps({"lab": {"url": "http://lab/v1", "api_key": CANARY}})),
        ("RDPT_SERVERS__LAB__API_KEY", CANARY),
        ("HTTPS_PROXY", f"http://me:{CANARY}@proxy:3128"),
        ("RDPT_TRACKING", f"postgresql://me:{CANARY}@database/mlflow"),
        ("PIP_INDEX_URL", f"https://me:{CANARY}@packages/simple"),
    ],
)
def test_x6_no_secret_is_repeated_in_any_shape(
    name: str, value: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    error = ConnectionError(f"GET http://lab/?q={CANARY} with Bearer {CANARY} was refused")
    say(str(error))
    errors.explain(error, verbose=True)
    errors.explain(BadSettings(CANARY, [CANARY]))
    journal = Journal(tmp_path / "journal.jsonl")
    journal.failed("scores", error)
    written = capsys.readouterr().err + journal.path.read_text()
    assert "was refused" in written
    assert CANARY not in written


@pytest.mark.fault("X6")
def test_x6_a_secret_of_the_env_file_is_known_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"RDPT_SERVERS__LAB__API_KEY={CANARY}\n")
    assert redacted(f"a {CANARY} b") == "a [secret] b"


def test_a_value_too_short_to_be_a_secret_hides_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "true")
    assert redacted("it is true") == "it is true"


@given(st.text())
def test_nothing_that_is_said_acts_on_a_terminal(text: str) -> None:
    shown = harmless(f"{text}\x1b[2J\r\u202e")
    assert not {"\x1b", "\r", "\u202e", "\x07", "\x9b", "\u2028"} & set(shown)


def test_a_key_of_a_file_cannot_move_the_cursor(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text('name = "x"\n"evil\\u001b[2Jkey" = 1\n')
    assert cli.main(["plan", "study.toml"]) == 2
    shown = capsys.readouterr().err
    assert "evil\\x1b[2Jkey" in shown
    assert "\x1b" not in shown


@pytest.mark.fault("X6")
@pytest.mark.parametrize(
    "address", [f"http://me:{CANARY}@lab:5000", f"https://lab/?token={CANARY}"]
)
def test_an_address_of_mlflow_that_holds_a_secret_is_refused(
    address: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_TRACKING", address)
    assert cli.main(["runs"]) == 2
    shown = capsys.readouterr().err
    assert "RDPT_TRACKING" in shown
    assert "MLFLOW_TRACKING_PASSWORD" in shown
    assert CANARY not in shown
    assert "RDPT_WORKERS" not in shown  # its default follows from the others, which hold


@pytest.mark.fault("X6")
def test_an_address_of_prefect_that_holds_a_secret_is_refused(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", f"http://me:{CANARY}@lab:4200/api")
    assert cli.main(["run", "smoke"]) == 2
    shown = capsys.readouterr().err
    assert "PREFECT_API_AUTH_STRING" in shown
    assert CANARY not in shown


@pytest.fixture
def nobody() -> Iterator[str]:
    """A port that is ours and on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/api"


@pytest.mark.fault("F18")
def test_f18_a_prefect_that_is_down_is_named_before_any_work(
    tmp_path: Path, nobody: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("PREFECT_API_URL", nobody)
    assert cli.main(["run", "smoke"]) == 5
    assert f"PREFECT_API_URL = {nobody} does not answer" in capsys.readouterr().err
    assert not (tmp_path / "workspace").exists()


def test_a_secret_is_known_as_json_spells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = 'canary-"\\é-0123'
    monkeypatch.setenv("HF_TOKEN", secret)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.note("failed", error=f"401 for {secret}")
    assert json.loads(journal.path.read_text())["error"] == "401 for [secret]"


def test_an_env_file_that_is_not_text_is_named_without_a_traceback(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"HF_TOKEN=\xff\xfe\n")
    assert cli.main(["runs"]) == 2
    assert ".env cannot be read" in capsys.readouterr().err
