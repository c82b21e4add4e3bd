# Every target prepares .venv first (./rdpt does this, and returns at once if nothing changed).
# Paths are relative, so a folder with spaces in its name works.

PYTHON := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run test check format ui docs reliability check-deps pocket lock bootstrap

help:
	@echo "make run      run or resume the pocket experiment"
	@echo "make test     lint, types, layers and all tests"
	@echo "make check    only lint, types and layers"
	@echo "make format   format the code as make check expects it"
	@echo "make ui       serve MLflow and Prefect, on this machine only"
	@echo "make docs     build the documentation into build/site"
	@echo "make reliability  test all faults and write docs/reliability.md"
	@echo "make check-deps   known faults and licences of all dependencies (needs the internet)"
	@echo "make soak     kill a run 500 times at random and compare its tables (some hours; resumes)"
	@echo "make pocket   train the pocket teacher and student again (some 90 minutes on one core)"
	@echo "make lock     update constraints.txt to the newest versions that install together"

bootstrap:
	@./rdpt --bootstrap-only

run: bootstrap
	@./rdpt run settings/experiments/pocket.toml

test: check
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: bootstrap
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

format: bootstrap
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

ui: bootstrap
	@./rdpt ui

# Strict: a link to a page, a heading or an image that does not exist is an error.
docs: bootstrap
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet --strict
	@echo "build/site/index.html opens from disk; for its search: python3 -m http.server --directory build/site"

# The page is written from whatever ran, and the target fails if a test did.
reliability: bootstrap
	$(PYTHON) -m pytest -n 2 --dist loadfile -m fault --junitxml build/reliability.xml; code=$$?; \
		$(PYTHON) -m tests.reliability build/reliability.xml && exit $$code

# pip-audit lives apart, so that what it needs is not what it audits. --strict, since it otherwise
# ends well where it could not ask about a package.
AUDIT := .venv.audit/bin/python -m pip_audit --strict --progress-spinner off --disable-pip --no-deps
check-deps: bootstrap
	$(PYTHON) -m pip check
	$(PYTHON) -m tests.licences
	@.venv.audit/bin/python -m pip_audit --version >/dev/null 2>&1 || { $(PYTHON) -m venv .venv.audit && \
		.venv.audit/bin/python -m pip install --quiet pip-audit==2.10.1; }
	@mkdir -p build; $(AUDIT) --requirement constraints.txt >build/audit.txt 2>&1 || { \
		tail -n 3 build/audit.txt; echo "pip-audit found a known fault, or could not ask PyPI about each package" \
		"(it needs the internet): see build/audit.txt"; exit 1; }
	@tail -n 1 build/audit.txt

soak: bootstrap
	$(PYTHON) -m tests.soak

pocket: bootstrap
	$(PYTHON) -m perf.pocket --threads 2

# Installs the newest versions within the bounds of pyproject.toml, to check that they install. torch
# keeps its pin, since a range selects the CUDA build (raise it in constraints.txt by hand).
lock: bootstrap
	rm -rf .venv.lock
	grep '^torch==' constraints.txt > .venv/torch.txt
	$(PYTHON) -m venv .venv.lock
	.venv.lock/bin/python -m pip install --quiet --constraint .venv/torch.txt --editable '.[dev]'
	.venv.lock/bin/python -m pip check
	{ grep '^#' constraints.txt; .venv.lock/bin/python -m pip freeze --all --exclude-editable \
		| sed -e 's/+[A-Za-z0-9.]*$$//' -e '/^pip==/d' | sort -f; } > .venv.lock/constraints.txt
	mv .venv.lock/constraints.txt constraints.txt
	rm -rf .venv.lock
	@echo "constraints.txt is updated: read its diff, then run make test"
