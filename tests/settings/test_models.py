"""A student's distilled self: imported, and read as its base is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from settings.experiment import Experiment
from settings.models import NamedModel, Student


def test_a_name_reaches_no_key() -> None:
    one, other = (NamedModel(name=name, path="m").spec for name in ("a", "b"))
    assert one == other
    assert "name" not in one.model_dump()


@pytest.mark.fault("X5")
@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "~"),
        *("a\0", "a\nb", "-rf", "\u202ex", "x" * 61),
    ],
)
def test_x5_a_name_that_could_be_a_path_or_an_option_is_refused(name: str) -> None:
    """Names become files: `runs/NAME`, `logs/NAME.jsonl`, `reports/NAME.html`."""
    for kind, given in ((NamedModel, {"name": name, "path": "m"}), (Experiment, {"name": name})):
        with pytest.raises(ValidationError) as refused:
            kind.model_validate(given)
        assert ("name",) in [error["loc"] for error in refused.value.errors()]


@pytest.mark.parametrize("fields", [{"source": "import"}, {"distilled": "d"}])
def test_a_distilled_model_and_its_import_go_together(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="is needed with source"):
        Student.model_validate({"name": "s", "path": "base", **fields})


def test_an_imported_distilled_model_is_read_as_its_base_is_where_its_backend_can() -> None:
    base = {
        "name": "s",
        "path": "base",
        "source": "import",
        "dtype": "bfloat16",
        "system": "Be brief.",
        "rope": {"factor": 2.0},
    }
    plain = Student(**base, distilled="d", distilled_revision="0" * 40).distilled_spec
    assert (plain.path, plain.revision, plain.dtype) == ("d", "0" * 40, "bfloat16")
    assert (plain.system, plain.rope) == ("Be brief.", Student(**base, distilled="d").rope)
    packed = Student(**base, distilled={"path": "d", "gguf": "d.gguf", "dtype": "float32"})
    assert (packed.distilled_spec.gguf, packed.distilled_spec.dtype) == ("d.gguf", "float32")
    assert packed.distilled_spec.rope is None, "its own config.json says so"
    served = {"path": "d", "backend": "server", "server": "lab"}
    found = Student(**base, distilled=served).distilled_spec
    assert (found.backend, found.rope, found.dtype) == ("server", None, "float32")
    assert found.system == "Be brief."
    with pytest.raises(ValidationError, match="own log-probabilities"):
        Student(**base, distilled={"path": "d", "backend": "logged"})
    with pytest.raises(ValidationError, match="distilled_revision"):
        Student(**base, distilled=served, distilled_revision="0" * 40)


def test_a_base_that_is_only_read_may_be_any_build() -> None:
    fields = {"name": "s", "path": "base", "gguf": "base.gguf"}
    assert Student(**fields, source="import", distilled="d").distilled_spec.gguf is None
    with pytest.raises(ValidationError, match="`gguf` cannot be trained"):
        Student(**fields)
