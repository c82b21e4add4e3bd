"""Licences of every installed package that rdpt needs, itself or through others.

`python -m tests.licences` lists them, and fails for the GPL, which would bind those who hand rdpt
on, and for a package that names no licence which is known here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = {"dev", "docs"}
"""Extras of those who work on rdpt, which are not handed on."""
PERMISSIVE = re.compile(
    r"Apache|BSD|BSL-1\.0|CC0|CNRI|ISC|MIT|MPL|Mozilla|PSF|Python Software Foundation|Zlib"
)
COPYLEFT = re.compile(r"GPL|GNU")
ALLOWED = {
    "huey": "MIT by its file LICENSE; its metadata names none",
    "skops": "MIT by its file LICENSE; its metadata says no more than that OSI approved it",
    "text-unidecode": "Artistic License, at the user's choice, instead of the GPL",
}
"""Packages whose metadata would be refused, and why they are not."""
OF_CUDA = re.compile(r"(cuda|nvidia)-[a-z0-9-]+")
"""Libraries of NVIDIA that torch's default build for Linux needs and a CPU build does not. They are
proprietary, and their licence lets an application hand them on; rdpt names none of them itself."""


def installed() -> dict[str, Distribution]:
    """Packages that rdpt needs, by name, as far as they are installed."""
    found: dict[str, Distribution] = {}
    seen: set[str] = set()
    extras = set(distribution("rdpt").metadata.get_all("Provides-Extra") or []) - OURS
    waiting = [Requirement(f"rdpt[{','.join(sorted(extras))}]")]
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        try:
            package = distribution(wanted.name)
        except PackageNotFoundError:  # of an extra that is not installed
            continue
        found[canonicalize_name(wanted.name)] = package
        waiting += _needs(package, wanted.extras)
    return dict(sorted(found.items()))


def _needs(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in package.requires or []:
        needed = Requirement(line)
        asked = [{"extra": extra} for extra in extras or {""}]
        if needed.marker is None or any(needed.marker.evaluate(extra) for extra in asked):
            yield needed


def licence_of(package: Distribution) -> str:
    """As its metadata says it; empty where it says nothing."""
    told = package.metadata
    classifiers = [
        line.split(" :: ")[-1]
        for line in told.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    named = {field: told[field] for field in ("License", "License-Expression") if field in told}
    whole = named.get("License", "").strip().partition("\n")[0]
    return named.get("License-Expression") or "; ".join(classifiers) or whole


def refusal(name: str, licence: str) -> str | None:
    """Why a package may not be a dependency; None where it may."""
    if name in ALLOWED or OF_CUDA.fullmatch(name):
        return None
    if COPYLEFT.search(licence):
        return f"{name}: {licence}: the GPL binds those who hand rdpt on; use another package"
    if not PERMISSIVE.search(licence):
        return (
            f"{name}: its licence is unknown ({licence or 'none is named'}): read its files, "
            "then add it to ALLOWED or PERMISSIVE in tests/licences.py, or use another package"
        )
    return None


def main() -> int:
    packages = {name: licence_of(package) for name, package in installed().items()}
    for name, licence in packages.items():
        print(f"{name}: {ALLOWED.get(name, licence)}")
    refused = [line for name, licence in packages.items() if (line := refusal(name, licence))]
    print("\n".join(refused), file=sys.stderr)
    return bool(refused)


if __name__ == "__main__":
    sys.exit(main())
