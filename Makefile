# widthwise: every command a newcomer needs. `make help` lists them.
# Needs make, git and python3 (3.11 or newer, with venv); uses uv where it is on the PATH.

PYTHON ?= python3
VENV   ?= .venv
RIVALS := .venv-rivals

BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
EXPORT := uv export --quiet --frozen --no-emit-project --no-default-groups --no-annotate --no-header

export UV_PYTHON_DOWNLOADS := never
export UV_VENV_CLEAR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Two test processes share the cores: threads of a linear algebra library of each would fight.
ONE_THREAD := OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: setup demo test test-all bench docs lint lock clean help

setup: $(VENV)/.dev-installed  ## make the development environment in .venv/

demo: $(VENV)/.demo-installed  ## run the demonstration; leaves widthwise-demo/report.html
	$(BIN)/widthwise demo

test: $(VENV)/.dev-installed  ## house rules, formatting and the quick tests
	$(BIN)/lint-imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.dev-installed  ## every test, the slow rivals too
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadfile

bench: $(VENV)/.dev-installed $(RIVALS)/.installed  ## run every file in benchmarks/
	@found=0; for file in $$(ls benchmarks/*.py 2>/dev/null); do \
	  found=1; echo "== $$file"; $(BIN)/python "$$file" || exit 1; \
	done; [ $$found = 1 ] || echo "benchmarks/ holds no script yet"

docs: $(VENV)/.dev-installed  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(VENV)/.dev-installed  ## ruff, pyright, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

lock:  ## resolve requirements/*.lock anew (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH (python3 -m pip install uv)"; exit 1; }
	uv lock --quiet --upgrade
	$(EXPORT) --extra report --extra sklearn --group build --output-file requirements/demo.lock >/dev/null
	$(EXPORT) --all-extras --all-groups --output-file requirements/dev.lock >/dev/null

clean:  ## remove the environment, caches and everything that was built
	rm -rf $(VENV) $(RIVALS) .cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks site dist build widthwise-demo
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##\(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

# The environment. A stamp says which lock is installed; the development lock holds all of the demo's,
# so a development environment also runs the demo. Nothing is installed twice while the locks and
# pyproject.toml stay as they are.

ifeq ($(UV),)
NEEDS   := sys, venv, ensurepip
CREATE   = $(PYTHON) -m venv $(VENV)
INSTALL  = $(BIN)/python -m pip install --quiet
else
NEEDS   := sys
CREATE   = uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
INSTALL  = uv pip install --quiet --python $(BIN)/python
endif

$(BIN)/python:
	@$(PYTHON) -c 'import $(NEEDS); sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "widthwise needs Python 3.11 or newer with its venv module, but '$(PYTHON)' is:" \
	    "$$($(PYTHON) --version 2>&1 | head -n 1)." \
	    "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(CREATE)

$(VENV)/.dev-installed: requirements/dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing requirements/dev.lock into $(VENV); the first time takes a minute or two."
	$(INSTALL) --require-hashes -r requirements/dev.lock
	$(INSTALL) --no-build-isolation --no-deps -e .
	@touch $@ $(VENV)/.demo-installed

ifeq ($(wildcard $(VENV)/.dev-installed),)
$(VENV)/.demo-installed: requirements/demo.lock pyproject.toml | $(BIN)/python
	@echo "Installing requirements/demo.lock into $(VENV); the first time takes a minute or two."
	$(INSTALL) --require-hashes -r requirements/demo.lock
	$(INSTALL) --no-build-isolation --no-deps -e .
	@touch $@
else
$(VENV)/.demo-installed: $(VENV)/.dev-installed
	@touch $@
endif

# The rivals of benchmarks/engines.py, in an environment of their own: neural-tangents needs an old
# JAX, and Python 3.11 or 3.10. Where neither is found the benchmarks run without it. The pins are
# those of the golden numbers.

RIVAL_PYTHON ?= $(firstword $(foreach python,python3.11 python3.10 $(PYTHON),$(shell \
  $(python) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))' \
  2>/dev/null && echo $(python))))

$(RIVALS)/.installed: tests/rivals/neural_tangents/requirements.txt
	@if [ -z "$(RIVAL_PYTHON)" ]; then \
	  echo "No Python 3.11 or 3.10 on the PATH: the benchmarks run without neural-tangents"; \
	else \
	  echo "Installing neural-tangents 0.6.5 into $(RIVALS); the first time takes some minutes." && \
	  rm -rf $(RIVALS) && $(RIVAL_PYTHON) -m venv $(RIVALS) && \
	  $(RIVALS)/bin/python -m pip install --quiet -r $< && touch $@; \
	fi
