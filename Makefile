# Two commands are enough: `make demo` shows what it does, `make test` proves it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
WORKERS ?= 2

# What `make wire` and `make e2e` need beside Go: for a node of its own, with containers. By their names in Debian 12.
PACKAGES := conntrack containernetworking-plugins ipset iproute2 iptables runc util-linux

.PHONY: help venv programs demo test wire e2e soak mutants bench packages check lock format

help:  ## these lines
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /  make \1	/'

venv: $(STAMP)  ## make .venv from the pinned requirements

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer with the venv module is needed (on Debian: apt-get install python3-venv); or: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

programs: venv  ## build what the tests run beside the operator: once, by Go, minutes
	@PYTHONPATH=tests $(BIN)/python -m cluster build > /dev/null

demo: venv  ## the main job on an embedded control plane (KEEP=1 leaves it running)
	@PYTHONPATH=tests KEEP="$(KEEP)" $(BIN)/python -m demo

test: programs  ## every test, those on a real API server included, in WORKERS processes side by side
	$(BIN)/python -m pytest -n $(WORKERS)

wire: programs  ## packets between network namespaces with a real enforcer (needs root; part of test)
	$(BIN)/python -m pytest tests/wire -s

e2e: venv  ## the operator in its pod on a real node, with real pods around it (needs root)
	$(BIN)/python -m pytest tests/node --timeout=1800

soak: venv  ## random changes for half an hour (SOAK_MINUTES), checked every minute; a short form is part of test
	@PYTHONPATH=tests SOAK_MINUTES="$(SOAK_MINUTES)" SOAK_SEED="$(SOAK_SEED)" $(BIN)/python -m soak

packages:  ## install what wire and e2e need (Debian, as root)
	apt-get update --quiet --quiet
	apt-get install --quiet --quiet --yes --no-install-recommends $(PACKAGES)

mutants: venv  ## deliberate mistakes in a copy of the source, and which test notices each
	@PYTHONPATH=tests $(BIN)/python -m mutation

bench: venv  ## how fast it is, beside the same writes done bare; writes docs/benchmarks
	@PYTHONPATH=tests $(BIN)/python -m bench

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
