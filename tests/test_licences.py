"""No package that rdpt needs is under the GPL, or under a licence that nobody has read."""

from __future__ import annotations

from importlib.metadata import distribution

import pytest

from tests import licences


@pytest.mark.fault("X12")
def test_x12_no_dependency_has_a_licence_that_is_refused() -> None:
    packages = licences.installed()
    assert {"torch", "mlflow", "text-unidecode"} <= set(packages)
    refused = [licences.refusal(name, licences.licence_of(one)) for name, one in packages.items()]
    assert [line for line in refused if line] == []


@pytest.mark.fault("X12")
@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("GPL-3.0-or-later", "the GPL binds"),
        ("GNU Lesser General Public License v3 (LGPLv3)", "the GPL binds"),
        ("AGPL-3.0-only OR MIT", "the GPL binds"),
        ("", "none is named"),
        ("OSI Approved", "its licence is unknown"),
        ("Other/Proprietary License", "its licence is unknown"),
    ],
)
def test_x12_copyleft_and_unknown_licences_are_refused(licence: str, reason: str) -> None:
    assert reason in (licences.refusal("evil", licence) or "")


def test_what_a_cuda_build_of_torch_brings_is_taken_and_asked_for_by_nobody_else() -> None:
    proprietary = "LicenseRef-NVIDIA-Proprietary"
    assert licences.refusal("nvidia-cublas", proprietary) is None
    assert licences.refusal("cuda-toolkit", "") is None
    assert licences.refusal("not-nvidia-cublas", proprietary)
    own = distribution("rdpt").requires or []
    assert not [line for line in own if licences.OF_CUDA.match(line)]


@pytest.mark.parametrize("licence", ["MIT", "BSD License; Apache Software License", "MPL-2.0"])
def test_a_permissive_licence_is_taken(licence: str) -> None:
    assert licences.refusal("good", licence) is None


def test_every_exception_is_needed() -> None:
    packages = licences.installed()
    assert set(licences.ALLOWED) <= set(packages)
    for name in licences.ALLOWED:
        assert licences.refusal(f"not {name}", licences.licence_of(packages[name]))
