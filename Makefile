# Every verb we type. `make run` and `make test` need git, Python >= 3.11, make and a package registry.
.DEFAULT_GOAL := help
PYTHON ?= python3
# Most tests of `make test` wait for something, so more of them than there are cores run at a time.
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
NODE_PEERS := node_modules/.installed
# Where Python may not keep its compiled files, each process of the tests compiles them all.
PYTEST := PYTHONDONTWRITEBYTECODE= PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --dist worksteal
PYODIDE := build/pyodide/pyodide_dev.capnp.bin

.PHONY: help run quick test soak programs lint check format bench docs web clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.run: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(NODE_PEERS): $(VENV)/.dev package.json
	$(BIN)/npm install --silent --no-audit --no-fund
	@touch $@

$(PYODIDE): $(NODE_PEERS) scripts/pyodide_bundle.py
	$(BIN)/python scripts/pyodide_bundle.py node_modules/pyodide $@

run: $(VENV)/.run  ## Serve the page on http://127.0.0.1:8000
	$(BIN)/breathing-room serve $(ARGS)

quick: $(VENV)/.dev  ## Run the tests that start no program and wait for nothing: under a minute
	TEST_TIER=quick $(PYTEST) -m 'not slow' --numprocesses 2 --durations 10 $(ARGS)

test: programs  ## Run every test, in Chromium too: under ten minutes
	TEST_TIER=test $(PYTEST) --numprocesses $(JOBS) --durations 10 $(ARGS)

soak: programs  ## Look longer than there is time for in `make test`, and print figures: some hours
	TEST_TIER=soak $(PYTEST) -m soak --capture no --timeout 7200 $(ARGS)

programs: $(VENV)/.dev $(NODE_PEERS) $(PYODIDE)
	@./scripts/need "chromium-headless-shell|chromium" nginx gcc openssl redis-server systemd-analyze:systemd

lint: $(VENV)/.dev  ## Format, lint, strict types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## What CI runs

format: $(VENV)/.dev  ## Format, and mend what the linter can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/.dev $(NODE_PEERS)  ## Measure, with peers and a C floor beside us, and print ratios
	@./scripts/need gcc
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python bench/sockets.py $(ARGS)

docs: $(VENV)/.dev  ## Write the generated reference pages
	$(BIN)/python scripts/reference.py

web: $(NODE_PEERS)  ## Build the client that is handed out
	$(BIN)/npm run --silent build --workspace src/breathing_room/web/client

clean:  ## Remove what the other verbs made
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
