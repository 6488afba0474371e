# FOLDER: what `make demo` ingests; the default is the sources of the Python that runs it.
# PYTEST: arguments for pytest, e.g. make test PYTEST="-k cli".
FOLDER ?=
PYTEST ?=
PYTHON := .venv/bin/python

.PHONY: help demo test style format types bench set-up clean

help:
	@echo "make demo [FOLDER=path]   ingest a real folder, durably: kill it, run it again"
	@echo "make test                 the test suite, on Python 3.11 and 3.13"
	@echo "make style                ruff"
	@echo "make types                mypy and pyright, both strict"
	@echo "make bench                speed and memory, with peers side by side"

.venv/.demo: pyproject.toml
	@.ci/set-up .venv demo

.venv/.dev: pyproject.toml
	@.ci/set-up .venv dev

set-up: .venv/.dev

demo: .venv/.demo
	@$(PYTHON) demo.py $(if $(FOLDER),"$(FOLDER)")

# Azurite, which stands for Azure Storage in the tests; without npm those tests are skipped.
node_modules/.stamp: package-lock.json
	@if command -v npm >/dev/null; then \
	  npm ci --silent --no-audit --no-fund --ignore-scripts && touch $@; \
	else echo "npm was not found: tests on Azurite are skipped"; fi

test: .venv/.dev node_modules/.stamp
	@.ci/set-up-durable2
	@.ci/set-up-worker
	$(PYTHON) -m pytest -n 2 $(PYTEST)
	@.ci/test-other -n 2 $(PYTEST)

style: .venv/.dev
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: .venv/.dev
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types: .venv/.dev
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright

bench: .venv/.demo
	$(PYTHON) bench/engine.py
	$(PYTHON) bench/replay.py

clean:
	rm -rf .venv .venv-* node_modules .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
