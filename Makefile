# Every target sets itself up: a machine needs Python >= 3.11, make and node, nothing else.
# `make test ARGS="-k join"` hands ARGS to the program that the target runs.

PYTHON ?= python3
PORT ?= 4000
ARGS ?=

BIN := .venv/bin
# JavaScript packages, each installed from its lock file: the examples' pages, and what only tests use.
LOCKS := $(shell find examples tests -name node_modules -prune -o -name package-lock.json -print 2>/dev/null)
INSTALLED := $(LOCKS:%/package-lock.json=%/node_modules/.installed)
PAGES := $(filter examples/%,$(INSTALLED))
TYPED := $(wildcard src tests examples benchmarks)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The version is pinned in pyproject.toml; that a newer one exists is no news for a check.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export npm_config_audit := false
export npm_config_fund := false
export npm_config_update_notifier := false

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check conformance bench fuzz docs clean python node

help:
	@echo "make demo         serve the example at http://127.0.0.1:$(PORT) (PORT= to change)"
	@echo "make test         run the tests"
	@echo "make check        lint, format, types, import contracts"
	@echo "make conformance  compare every server with the recording of Phoenix"
	@echo "make bench        measure"
	@echo "make fuzz         run the property tests with many examples"
	@echo "make docs         build the documentation into build/docs"
	@echo "make clean        remove everything that make has made"

demo: $(BIN)/.demo $(PAGES)
	@$(BIN)/python -m examples.notifications --port $(PORT) $(ARGS)

test: $(BIN)/.dev $(INSTALLED)
	$(BIN)/python -m pytest $(ARGS)

check: $(BIN)/.dev | node
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy $(TYPED)
	$(BIN)/python -m pyright --pythonpath $(BIN)/python
	$(BIN)/python tests/typing/run.py
	$(BIN)/lint-imports

conformance: $(BIN)/.dev
	$(BIN)/python tests/conformance/run.py $(ARGS)

bench: $(BIN)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

# A million inputs for every decoder; then the property tests, which Hypothesis marks itself. They take as long as they
# take: no timeout.
fuzz: $(BIN)/.fuzz
	$(BIN)/python tests/fuzz/run.py --inputs 1000000
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -m hypothesis -o faulthandler_timeout=0 $(ARGS)

docs: $(BIN)/.dev
	$(BIN)/python -m sphinx -n -W --keep-going docs build/docs

clean:
	rm -rf .venv build dist $(dir $(INSTALLED))
	rm -rf .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(TYPED) docs -name __pycache__ -prune -exec rm -rf {} +

# The environment, in two steps: a demo should not have to wait for the tools of a developer. The old .venv is reused
# unless its Python is gone. Pip comes first, because --group is younger than the pip that many a Python brings along.

$(BIN)/.demo: pyproject.toml | python
	@$(BIN)/python -c "" 2>/dev/null || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[server]" --group demo
	@touch $@

$(BIN)/.dev: $(BIN)/.demo
	$(BIN)/python -m pip install --quiet --editable ".[server,cli]" --group dev
	@touch $@

$(BIN)/.fuzz: $(BIN)/.dev
	$(BIN)/python -m pip install --quiet --group fuzz
	@touch $@

$(BIN)/.bench: $(BIN)/.demo
	$(BIN)/python -m pip install --quiet --editable ".[server]" --group bench
	@touch $@

%/node_modules/.installed: %/package-lock.json %/package.json | node
	cd $* && npm ci && npm run --if-present build
	@mkdir -p $(@D) && touch $@

python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || \
	{ echo "phoenix-channels needs Python 3.11 or later; '$(PYTHON)' is missing or older. Name another: make PYTHON=/path/to/python" >&2; exit 1; }

node:
	@command -v node >/dev/null && command -v npm >/dev/null || \
	{ echo "This needs node and npm (https://nodejs.org): the client and the type checker are JavaScript." >&2; exit 1; }
