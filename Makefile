# `make train` and `make test` do everything, from a bare Python on. A second call starts at once.
# The interpreter: make train PYTHON=/path/to/python3.12. More words for the main job: make train ARGS="loss=triplet seed=1".
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip
INTO := --python $(BIN)/python
ARGS ?=
UV := 0.13.9

.PHONY: help train board test test-slow test-gpu lint docs format
.DELETE_ON_ERROR:

help:
	@echo "make train      train and evaluate a model on the embedded data set, in about a minute"
	@echo "make board      the runs in TensorBoard; one study: make board ARGS=my_study"
	@echo "make test       the tests; make test-slow, make test-gpu: those that take minutes, or a GPU"
	@echo "make docs       the site of the documents, into site/; docs/losses.md anew, from conf/ and the docstrings"
	@echo "make lint       ruff, mypy and the order of the rooms; make format: lets ruff mend what it can"

train: $(VENV)/.run
	$(BIN)/siamese-lab train $(ARGS)

board: $(VENV)/.run
	$(BIN)/siamese-lab board $(ARGS)

# A process a core, each with one thread.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow $(ARGS)

test-gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -m gpu $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(VENV)/.dev
	$(BIN)/python docs/make_losses.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % v)'
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@touch $@

# An environment that has the development packages keeps them: `make train` after `make test` brings both up to date.
$(VENV)/.run: requirements.lock requirements-dev.lock pyproject.toml | $(VENV)/.uv
	@if [ -e $(VENV)/.dev ]; then $(MAKE) --no-print-directory $(VENV)/.dev; else $(MAKE) --no-print-directory sync LOCK=requirements.lock; fi
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/.uv
	@$(MAKE) --no-print-directory sync LOCK=requirements-dev.lock
	@touch $@

# The lock's exact files, and this checkout in place; hatchling, which does that, in the version of the development lock.
.PHONY: sync
sync:
	$(INSTALL) sync $(INTO) --require-hashes --compile-bytecode $(LOCK)
	$(INSTALL) install $(INTO) --quiet --no-deps --build-constraints requirements-dev.lock --editable .
