# Needs make and Python 3.11 or later; everything else goes into .venv, which is reused where it exists.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip -qq --disable-pip-version-check
MADE := $(VENV)/.made
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
DOCS := $(VENV)/.docs
FUZZ := $(VENV)/.fuzz
MUTANTS := $(VENV)/.mutants
# Tests run side by side, a file of them in one process.
JOBS := auto
# How long each target is fuzzed.
SECONDS := 600
TYPED := $(wildcard clawguard clawguard_pytest.py examples benchmarks tests noxfile.py docs/.site/hooks.py)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-integrations check bench bench-peers scaling torture fuzz mutants schemas reference \
	screenshots site release-check format clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

demo: $(CORE) ## issue, delegate, refresh and revoke a session; needs the core dependencies only
	@$(PY) -m clawguard demo

test: $(DEV) ## run the tests, with the coverage gate
	@$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest -n $(JOBS) --dist loadfile
	@$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

test-integrations: $(DEV) ## run the adapters' tests beside the oldest and newest of each framework; NOX="-s mcp-newest" picks
	@mkdir -p .nox/told
	@$(PY) -m nox --list-sessions --json $(NOX) >.nox/rows.json
	@rows=$$($(PY) -c 'import json; print(*(each["session"] for each in json.load(open(".nox/rows.json"))))') \
		&& test -n "$$rows" && printf '%s\n' $$rows | xargs -P "$$(nproc)" -I ROW sh -c \
			'$(PY) -m nox -s ROW >.nox/told/ROW 2>&1; status=$$?; cat .nox/told/ROW; exit $$status'

check: $(DEV) ## lint, formatting, types, import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(TYPED)
	$(VENV)/bin/lint-imports

bench: $(DEV) ## measure the budgets
	@$(PY) -m benchmarks

bench-peers: $(DEV) ## measure beside other libraries, each in an environment of its own (.cache), into docs/benchmarks.md
	@$(PY) -m benchmarks.peers --write

scaling: $(DEV) ## write the tables and the chart of docs/scaling.md from what was measured
	@$(PY) -m benchmarks.capacity

torture: $(DEV) ## run the long fault experiments; their figures go into docs/guarantees.md. ONLY="-k kills" picks
	CLAWGUARD_FIGURES=docs/experiments.json $(PY) -m pytest -m "torture or control" -s $(ONLY); \
		status=$$?; $(PY) -m tests.faults.figures && exit $$status

fuzz: $(FUZZ) ## fuzz what reads foreign text, SECONDS each (600), and keep what is new in tests/fuzz/corpus
	CLAWGUARD_FIGURES=docs/experiments.json $(PY) -m tests.fuzz --seconds $(SECONDS); \
		status=$$?; $(PY) -m tests.faults.figures && exit $$status

# MODULES="guard.* --share 20" picks; a run that was stopped goes on.
mutants: $(MUTANTS) ## break the code by small changes, see what no test tells, and write docs/mutants.md
	PATH="$(abspath $(VENV)/bin):$$PATH" $(PY) -m tests.mutants $(MODULES)

schemas: $(DEV) ## write the events' JSON Schemas, docs/reference/events
	@$(PY) -m tests.events.schema_files

reference: $(DEV) ## write the references of the command line and of HTTP, docs/reference/cli.md and http.md
	@$(PY) -m tests.cli.reference
	@$(PY) -m tests.server.http_page

screenshots: $(DEV) ## take the console's pictures, docs/images; needs Chromium
	@$(PY) -m tests.server.console.pictures

# Not with --quiet, which has --strict see no warning.
site: $(DOCS) ## build the documentation into site/, strictly; open site/index.html through any web server
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

release-check: $(DEV) ## build twice and compare, test the installed wheel, list what comes with it: dist/
	@$(PY) -m tests.release_check

format: $(DEV) ## sort imports, fix what is safe to fix, format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean: ## remove .venv, caches, build and coverage output
	rm -rf $(VENV) build dist mutants site htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .cache \
		.import_linter_cache .hypothesis .nox
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv that works and has pip is kept as it is.
$(MADE):
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -c 'pass' 2>/dev/null || { \
			echo "clawguard needs Python 3.11 or later, and '$(PYTHON)' does not run. Try: make PYTHON=/path/to/python3" >&2; exit 1; }; \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
			echo "clawguard needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.11" >&2; exit 1; }; \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "'$(PYTHON)' cannot make a virtual environment: its ensurepip module is missing. Debian and Ubuntu have it in the package python3-venv." >&2; exit 1; }; \
		rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); \
	fi
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "clawguard needs Python 3.11 or later; $(VENV) has $$($(PY) -V 2>&1). Run: make clean" >&2; exit 1; }
	@touch $@

$(CORE): pyproject.toml $(MADE)
	@echo "installing clawguard into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(DEV): pyproject.toml $(MADE)
	@echo "installing clawguard and its development tools into $(VENV)"
	@$(PIP) install --editable '.[dev]'
	@touch $(CORE) $@

$(DOCS): pyproject.toml $(MADE)
	@echo "installing what builds the documentation into $(VENV)"
	@$(PIP) install --editable '.[docs]'
	@touch $(CORE) $@

$(FUZZ): $(DEV)
	@echo "installing the fuzzer into $(VENV)"
	@$(PIP) install --editable '.[fuzz]'
	@touch $@

$(MUTANTS): $(DEV)
	@echo "installing what makes the mutants into $(VENV)"
	@$(PIP) install --editable '.[mutants]'
	@touch $@
