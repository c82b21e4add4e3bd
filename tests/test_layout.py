"""The tree keeps its shape: top level, packages, the folder `mlflow/`, and what a wheel holds."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

TOP_LEVEL = {
    *("flows", "tasks", "rdpt_core", "settings", "tests", "mlflow", "docs", "perf"),
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff", "LICENSE"),
    *("Makefile", "rdpt", "pyproject.toml", "constraints.txt", "prefect.yaml"),
    *("mkdocs.yml", "Dockerfile", ".dockerignore"),
    *(".ci", ".github", ".gitignore", ".pre-commit-config.yaml"),
}
PACKAGES = ("flows", "tasks", "rdpt_core", "settings")
READS_ENVIRONMENT = re.compile(r"\bos\.(environ(\.get\b|\[|\.items\b)|getenv\b)|\bin os\.environ\b")
"""Handing the whole environment on to a child process is not reading it."""
NO_SETTINGS = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PYTHONPATH", "RANK")
NEVER_IMPORTED = {
    "fastapi": "bounds for prefect",
    "uvicorn": "serves flows.commands.ui.guard:prefect_app, started with python -m",
}
"""Dependencies that no module imports, and why they are declared."""
REAL_MLFLOW = "import mlflow; print(mlflow.__version__, mlflow.__file__)"


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((_root() / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """What belongs to the project: tracked files, and new ones that git does not ignore."""
    if not (_root() / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=_root(), capture_output=True, check=True, text=True)
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    return [path for path in paths if (_root() / path).is_file()]


@pytest.fixture(scope="module")
def wheel(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since setuptools writes beside the sources."""
    folder = tmp_path_factory.mktemp("a wheel")
    for path in files:
        target = folder / "source" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_root() / path, target)
    _pip("wheel", "--no-build-isolation", "--wheel-dir", folder, folder / "source")
    (built,) = folder.glob("rdpt-*.whl")
    return built


def test_the_top_level_is_fixed(files: list[Path]) -> None:
    assert {path.parts[0] for path in files} == TOP_LEVEL


def test_every_package_is_listed(pyproject: dict[str, Any]) -> None:
    found = [
        init.parent for package in PACKAGES for init in (_root() / package).rglob("__init__.py")
    ]
    names = sorted(".".join(path.relative_to(_root()).parts) for path in found)
    assert pyproject["tool"]["setuptools"]["packages"] == names


def test_the_version_has_one_place(pyproject: dict[str, Any]) -> None:
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "rdpt_core.__version__"
    }
    assert pyproject["project"]["scripts"] == {"rdpt": "flows.cli:main"}


def test_the_core_needs_no_accelerator_package(pyproject: dict[str, Any]) -> None:
    names = {re.split(r"[^\w-]", line)[0] for line in pyproject["project"]["dependencies"]}
    assert not names & {"triton", "ray", "prefect-ray", "vllm", "liger-kernel", "flash-attn"}
    assert set(pyproject["project"]["optional-dependencies"]) == {
        "serve",
        "ray",
        "gpu",
        "s3",
        "gguf",
        "awq",
        "sentencepiece",
        "docs",
        "dev",
    }


@pytest.mark.fault("X12")
def test_every_dependency_is_pinned_once_and_within_its_bounds(pyproject: dict[str, Any]) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (_root() / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in pins}
    assert len(pinned) == len(pins)
    needed = pyproject["project"]["dependencies"]
    for line in needed + pyproject["project"]["optional-dependencies"]["dev"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), line


def test_every_import_is_declared_and_every_dependency_imported(pyproject: dict[str, Any]) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    def names_of(lines: list[str]) -> set[str]:
        return {canonicalize_name(Requirement(line).name) for line in lines}

    extras = pyproject["project"]["optional-dependencies"]
    declared = names_of(pyproject["project"]["dependencies"])
    optional = names_of([line for name in extras if name != "dev" for line in extras[name]])
    imported = {module: _distributions(module) for module in _third_party_modules()}
    assert {
        module for module, names in imported.items() if not names & (declared | optional)
    } == set()
    assert declared - set().union(*imported.values()) == set(NEVER_IMPORTED)


def test_contracts_hold_the_import_directions(pyproject: dict[str, Any]) -> None:
    layers, rooms, models, science, tracking = pyproject["tool"]["importlinter"]["contracts"]
    assert layers["layers"] == ["flows", "tasks", "settings", "rdpt_core"]
    for contract, container in ((rooms, "rdpt_core"), (models, "rdpt_core.models")):
        assert contract["containers"] == [container]
        assert contract["exhaustive"], "a new room is given its place"
        assert "ignore_imports" not in contract
    assert [layer for layer in rooms["layers"] if layer in ("scoring", "models")] == [
        "scoring",
        "models",
    ]
    assert science["source_modules"] == ["rdpt_core", "settings"]
    assert science["forbidden_modules"] == ["prefect", "mlflow"]
    assert tracking["ignore_imports"] == ["tasks.tracking.** -> mlflow"]


def test_the_science_reads_no_setting_from_the_environment(files: list[Path]) -> None:
    """But for the devices and the search path, which it hands on to its child processes."""
    readers = [
        f"{path}:{number}: {line.strip()}"
        for path in files
        if path.parts[0] == "rdpt_core" and path.suffix == ".py"
        for number, line in enumerate((_root() / path).read_text().splitlines(), start=1)
        if READS_ENVIRONMENT.search(line) and not any(name in line for name in NO_SETTINGS)
    ]
    assert readers == []


def test_prefect_deploys_a_flow_that_exists() -> None:
    (line,) = re.findall(r"entrypoint: (\S+)", (_root() / "prefect.yaml").read_text())
    path, name = line.split(":")
    body = ast.parse((_root() / path).read_text()).body
    assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_no_file_names_a_place_on_one_machine(files: list[Path]) -> None:
    place = re.compile(rb"(?<![\w.~$}/-])/(?:work|root|Users)/\w|(?<![\w.~$}/-])/home/\w")
    found = []
    for path in files:
        content = (_root() / path).read_bytes()
        if b"\0" not in content[:8192] and path != Path("tests/test_layout.py"):
            found += [f"{path}: {match.group()!r}" for match in place.finditer(content)]
    assert found == []


def test_what_contributing_names_exists_and_its_example_runs_tests() -> None:
    text = (_root() / "CONTRIBUTING.md").read_text()
    places = "|".join((*PACKAGES, "tests", "docs"))
    named = re.findall(rf"(?<![\w/])(?:{places})/[\w/]+\.(?:py|md|toml)", text)
    assert [path for path in named if not (_root() / path).is_file()] == []
    (example,) = re.findall(r"python -m pytest (\S+\.py)", text)
    assert "\ndef test_" in (_root() / example).read_text()


def test_the_folder_mlflow_holds_no_python() -> None:
    assert [*(_root() / "mlflow").rglob("*.py*")] == []
    assert [*(_root() / "mlflow" / "views").glob("*.toml")] != []


def test_import_mlflow_is_the_real_package_under_pytest() -> None:
    import mlflow

    assert _is_real(f"{mlflow.__version__} {mlflow.__file__}")


def test_import_mlflow_is_the_real_package_from_the_root() -> None:
    assert _is_real(_run(sys.executable, "-c", REAL_MLFLOW, cwd=_root()))


def test_import_mlflow_is_the_real_package_for_mypy(tmp_path: Path) -> None:
    """It says which file it would have read, had it not been told to follow no import."""
    module = tmp_path / "asks.py"
    module.write_text("import mlflow\n")
    options = ("--config-file=", f"--cache-dir={tmp_path}", "--follow-imports=skip", "--verbose")
    mypy = (sys.executable, "-m", "mypy", *options, str(module))
    log = subprocess.run(mypy, cwd=_root(), capture_output=True, check=True, text=True).stderr
    (file,) = re.findall(r"Skipping (.+) \(mlflow\)", log)
    assert _is_real(f"0 {file}")


def test_a_wheel_holds_packages_models_experiments_and_views(
    wheel: Path, files: list[Path]
) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if "-" not in name.split("/")[0]} == set(PACKAGES)
    data = next(name.split("/")[0] for name in names if ".data/" in name)
    shipped = ("mlflow/views/", *(f"{package}/" for package in PACKAGES))
    expected = {path.as_posix() for path in files if path.as_posix().startswith(shipped)}
    views = {path for path in expected if path.startswith("mlflow/")}
    assert expected - views <= names
    assert {f"{data}/data/share/rdpt/{path}" for path in views} <= names


def test_an_installed_wheel_runs_beside_the_real_mlflow(wheel: Path, tmp_path: Path) -> None:
    _pip("install", "--no-index", "--target", tmp_path / "site", wheel)
    assert not (tmp_path / "site" / "mlflow").exists()
    views = tmp_path / "site" / "share" / "rdpt" / "mlflow" / "views"
    assert tomllib.loads((views / "comparison.toml").read_text())["title"]
    path = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})"
    assert _is_real(_run(sys.executable, "-c", f"{path}; {REAL_MLFLOW}", cwd=tmp_path))
    found = _run(
        sys.executable, "-c", f"{path}; import rdpt_core; print(rdpt_core.__file__)", cwd=tmp_path
    )
    assert Path(found.strip()).is_relative_to(tmp_path)


def _third_party_modules() -> set[str]:
    """Top-level modules that the packages import, at the head of a file or inside a function."""
    own = {*PACKAGES, *sys.stdlib_module_names}
    files = [path for package in PACKAGES for path in (_root() / package).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names} - own


def _distributions(module: str) -> set[str]:
    """Canonical names of the installed packages that bring a module; the module's own name where
    none is installed, as of an extra."""
    from packaging.utils import canonicalize_name

    return {canonicalize_name(name) for name in packages_distributions().get(module, [module])}


def _root() -> Path:
    return Path(__file__).resolve().parents[1]


def _run(*command: object, cwd: Path) -> str:
    run = [str(word) for word in command]
    done = subprocess.run(run, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _pip(verb: str, *options: object) -> None:
    pip = (sys.executable, "-m", "pip", verb, "--quiet", "--no-deps")
    _run(*pip, "--disable-pip-version-check", *options, cwd=Path.home())


def _is_real(answer: str) -> bool:
    """`answer` is "version file" of the module that `import mlflow` gave."""
    version, file = answer.strip().split(" ", 1)
    return version[0].isdigit() and not Path(file).is_relative_to(_root() / "mlflow")
