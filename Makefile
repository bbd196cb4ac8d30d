# Both set-up commands only wrap the pip lines that README.md shows.
PYTHON ?= python3
BIN := .venv/bin
# Whole files of tests, the longest first, in up to four processes with one thread each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 \
	--dist loadfile --no-loadscope-reorder
SOURCES := pyproject.toml constraints.txt $(shell find src -type f -not -path '*/__pycache__/*')

.PHONY: demo test check docs clean

demo: .venv/installed-demo  ## caption sample photos, write demo.html
	$(BIN)/mrnn demo

test: .venv/installed-dev  ## all tests
	$(PYTEST)

check: .venv/installed-dev  ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

docs: .venv/installed-dev  ## write docs/cli.md from the commands, docs/openapi.json from the routes
	$(BIN)/python tools/cli_reference.py
	$(BIN)/python tools/openapi.py

clean:
	rm -rf .venv

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/installed-demo: $(SOURCES) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt '.[demo]'
	touch $@

.venv/installed-dev: $(SOURCES) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt '.[demo,serve,dev]'
	touch $@ .venv/installed-demo
