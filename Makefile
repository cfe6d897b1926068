# Two commands are enough: `make demo` shows what it does, `make test` proves it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp

.PHONY: help venv demo test mutants check lock format

help:  ## these lines
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1	/'

venv: $(STAMP)  ## make .venv from the pinned requirements

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer with the venv module is needed (on Debian: apt-get install python3-venv); or: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv  ## the main job on an embedded control plane (KEEP=1 leaves it running)
	@PYTHONPATH=tests KEEP="$(KEEP)" $(BIN)/python -m demo

test: venv  ## every test, those on a real API server included
	$(BIN)/python -m pytest

mutants: venv  ## deliberate mistakes in a copy of the source, and which test notices each
	@PYTHONPATH=tests $(BIN)/python -m mutation

check: venv  ## style, types, and which part may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv  ## write the source in the agreed format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## pin the requirements anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/run.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -o requirements/dev.txt
	echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements/dev.txt - -o requirements/build.txt
