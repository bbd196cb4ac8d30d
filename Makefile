# The set-up commands only wrap the pip lines that README.md shows.
PYTHON ?= python3
BIN := .venv/bin
INFERENCE := .venv-inference/bin
# Whole files of tests, the longest first, in up to four processes with one thread each.
PYTEST := -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
SOURCES := pyproject.toml constraints.txt $(shell find src -type f -not -path '*/__pycache__/*')
# The tests of what needs PyTorch.
LEARNING := tests/training $(addprefix tests/reproduction/test_,learners.py reproduction.py systems.py) \
	$(addprefix tests/commands/test_,train.py training_commands.py) \
	tests/speed/test_learning.py tests/docs/test_train_your_own.py

.PHONY: demo test test-inference check docs clean

demo: .venv/installed-demo  ## caption sample photos, write demo.html
	$(BIN)/mrnn demo

test: .venv/installed-dev  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

test-inference: .venv-inference/installed  ## all but the tests of learning, without PyTorch
	! $(INFERENCE)/python -c "import torch" 2>/dev/null
	OMP_NUM_THREADS=1 $(INFERENCE)/python $(PYTEST) $(LEARNING:%=--ignore=%)

check: .venv/installed-dev  ## format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

docs: .venv/installed-docs  ## docs/cli.md from the commands, docs/openapi.json from the routes, build/api from docstrings
	$(BIN)/python tools/cli_reference.py
	$(BIN)/python tools/openapi.py
	$(BIN)/python tools/api_reference.py

clean:
	rm -rf .venv .venv-inference

.venv/bin/pip .venv-inference/bin/pip:
	$(PYTHON) -m venv $(@:/bin/pip=)

# Of scikit-image only the photographs are used: not what it needs itself, three times its size.
.venv/installed-demo: $(SOURCES) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt .
	$(BIN)/pip install -c constraints.txt --no-deps --no-compile scikit-image
	touch $@

.venv/installed-dev: $(SOURCES) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt '.[train,demo,serve,dev]'
	touch $@ .venv/installed-demo

.venv/installed-docs: $(SOURCES) | .venv/bin/pip
	$(BIN)/pip install -c constraints.txt '.[docs,serve]'
	touch $@

.venv-inference/installed: $(SOURCES) | .venv-inference/bin/pip
	$(INFERENCE)/pip install -c constraints.txt '.[test]'
	touch $@
