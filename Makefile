# Every target makes .venv itself: with uv where there is one, else with venv and pip.
# The first Python that starts and fits; a version manager's shim may be found and yet not start.
FITS   := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
            if $$p -c '$(FITS)' >/dev/null 2>&1; then command -v $$p; break; fi; done)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers
ARGS   ?=
# Rule bases in each of four properties; each is tried on 6 customers, and decided at 8 moments of each or more.
EXAMPLES ?= 2100

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check bench bench-equivalence clean compiler

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo: $(STAMP) ## a seeded company with everything running; ARGS=--once prints the summary and ends
	@$(BIN)/relance demo $(ARGS)

test: $(STAMP) ## all tests, on SQLite and on a PostgreSQL of its own
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

coverage: $(STAMP) ## the same, and which branches no test took; takes a third longer
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --cov --cov-report=term $(ARGS)

check: $(STAMP) ## lint, format, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: $(PEERS) ## the figures, each beside a peer in the same run
	$(BIN)/python -m bench $(ARGS)

bench-equivalence: $(STAMP) ## 100,000 random cases through the engine, the compiled rules and an oracle
	RELANCE_EQUIVALENCE_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest --numprocesses auto tests/rules/test_equivalence.py $(ARGS)

clean: ## remove what the targets made
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .coverage .import_linter_cache

compiler:
	@command -v cc >/dev/null || command -v gcc >/dev/null || { \
	  echo "make: no C compiler found; durable_rules is built from source." >&2; \
	  echo "      Debian, Ubuntu: apt-get install gcc python3-dev   Fedora: dnf install gcc python3-devel   macOS: xcode-select --install" >&2; \
	  exit 1; }
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || { \
	  echo "make: Relance needs Python 3.11 or 3.12 (durable_rules does not import on 3.13). Name one: make PYTHON=/path/to/python3.12" >&2; \
	  exit 1; }

$(STAMP): pyproject.toml | compiler
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && uv pip install --quiet --python $(BIN)/python -e '.[dev]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet -e '.[dev]'; \
	fi
	@touch $@

$(PEERS): $(STAMP)
	@if command -v uv >/dev/null; then \
	  uv pip install --quiet --python $(BIN)/python -e '.[bench]'; \
	else \
	  $(BIN)/python -m pip install --quiet -e '.[bench]'; \
	fi
	@touch $@
