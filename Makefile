# Everything is set up by the word that needs it; Python 3.11 or newer, git and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements
TOOLS := .cache/managers
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv

MANAGERS := pipenv poetry pdm
PEERS := fastapi-new fastapi-template fastapi-fastkit cookiecutter
SOURCES := $(shell find src template -type f -not -path '*/__pycache__/*' -not -path '*_cache/*') copier.yml hatch_build.py pyproject.toml README.md
ALONE = TOOLS=$(TOOLS) LATEST=$(LATEST) $(BIN)/python -m pytest
PYTEST = $(ALONE) -n 3 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick promises test-latest check format lock docs compare bench-command bench-install bench-realtime bench-reload bench-image bench-stack bench bench-quick

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(BIN)/asgi-quickstart ## Write ./demo with the defaults, and serve it with hot reload on http://127.0.0.1:8000
	@if [ -e demo ]; then echo "Serving ./demo as it is"; $(MAKE) --no-print-directory -C demo dev; \
	else $(BIN)/asgi-quickstart new demo --yes --run; fi

test: $(BIN)/asgi-quickstart $(MANAGERS:%=$(TOOLS)/%) $(TOOLS)/bench check ## Pass all tests
	$(PYTEST) --maxfail 10 || { [ $$? = 1 ] && [ -n "$$CI" ] && $(AGAIN); }

# In CI, what failed is run once more with nothing beside it: a shared machine may have stood still at a wrong moment.
# What passes only then is printed, and is to be looked into. Ten failures end the run, and there is no second one.
AGAIN = echo "Once more, what failed:" && $(ALONE) --last-failed --last-failed-no-failures none --verbose

test-quick: $(BIN)/asgi-quickstart check ## Pass the quicker half of the tests, within a minute
	$(PYTEST) -m "not slow"

promises: $(BIN)/asgi-quickstart ## Measure the promises of every server, and write docs/servers.md
	FIGURES=1 $(PYTEST) -m promise

TOMORROW = from datetime import *; print(f'{datetime.now(timezone.utc) + timedelta(1):%Y-%m-%dT00:00:00Z}')

test-latest: ## Pass all tests with today's releases instead of the locked ones
	mkdir -p .cache/latest && cp requirements/*.txt .cache/latest/
	$(MAKE) lock LOCKS=.cache/latest VENV=.cache/latest/venv UPGRADE=--upgrade UV_EXCLUDE_NEWER=$$($(PYTHON) -c "$(TOMORROW)")
	$(MAKE) test LOCKS=.cache/latest VENV=.cache/latest/venv TOOLS=.cache/latest/managers LATEST=1

check: $(BIN)/asgi-quickstart ## Check format, lint and types
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy
	cd template && ../$(BIN)/ruff format --check . && ../$(BIN)/ruff check . && ../$(BIN)/mypy .

format: $(BIN)/asgi-quickstart ## Format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .
	cd template && ../$(BIN)/ruff format . && ../$(BIN)/ruff check --fix .

# The environment: the locked tools, and the wheel of this project built from the files as they are now.
$(BIN)/uv: $(LOCKS)/uv.txt
	@echo "Setting up $(VENV)"
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/uv.txt

$(BIN)/ready: $(LOCKS)/dev.txt | $(BIN)/uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(LOCKS)/dev.txt
	touch $@

$(BIN)/asgi-quickstart: $(BIN)/ready $(SOURCES)
	@echo "Building the wheel and installing it"
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist --clear
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --reinstall --no-index dist/*.whl
	touch $@

# The managers that are not ours, and what `make bench` measures, each in an environment of its own.
PEER_PYTHON ?= $(CURDIR)/$(BIN)/python
export PEER_PYTHON
$(PEERS:%=$(TOOLS)/%): BASE = $(PEER_PYTHON)
$(TOOLS)/%: BASE ?= $(BIN)/python
$(TOOLS)/%: $(LOCKS)/%.txt | $(BIN)/uv
	@echo "Setting up $*"
	$(BIN)/uv venv --quiet --clear --python "$(BASE)" $@
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $@/bin/python --require-hashes $<
	touch $@

lock: $(BIN)/uv ## Write requirements/ again, as of the date in pyproject.toml
	mkdir -p .cache/template
	sed 's/<% name %>/template/' template/pyproject.toml > .cache/template/pyproject.toml
	$(COMPILE) $(LOCKS)/dev.txt pyproject.toml --group dev \
		.cache/template/pyproject.toml --group .cache/template/pyproject.toml:dev requirements/build.in
	for name in uv $(MANAGERS) $(PEERS); do $(COMPILE) $(LOCKS)/$$name.txt requirements/$$name.in || exit 1; done
	$(COMPILE) $(LOCKS)/bench.txt requirements/bench.in .cache/template/pyproject.toml --constraints $(LOCKS)/dev.txt

COMPILE = $(BIN)/uv pip compile --quiet --universal $(UPGRADE) --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --custom-compile-command "make lock" --output-file

compare: $(BIN)/asgi-quickstart ## Measure WSGI against ASGI, and write docs/wsgi-and-asgi.md
	$(BIN)/python -m bench.compare

bench-reload: $(BIN)/asgi-quickstart ## Measure hot reload, and write docs/hot-reload.md
	$(BIN)/python -m bench.reload

BENCH := $(BIN)/asgi-quickstart $(TOOLS)/bench

bench: $(BENCH) $(PEERS:%=$(TOOLS)/%) ## Measure the service beside its peers, and write docs/performance.md; ONLY=throughput for a part
	$(BIN)/python -m bench $(ONLY)

bench-quick: $(BENCH) ## The same in 3 minutes, and only printed
	$(BIN)/python -m bench --quick $(ONLY)

bench-stack: $(BIN)/asgi-quickstart ## Measure what the service's middleware costs a request
	$(BIN)/python -m bench.stack

bench-command: $(BIN)/asgi-quickstart ## Measure the command, and write docs/command.md
	$(BIN)/python -m bench.command

bench-install: $(BIN)/asgi-quickstart $(MANAGERS:%=$(TOOLS)/%) ## Measure the managers, and write docs/dependency-management.md
	$(BIN)/python -m bench.install

bench-image: $(BIN)/asgi-quickstart $(MANAGERS:%=$(TOOLS)/%) ## Measure the images, and write docs/deployment.md
	$(BIN)/python -m bench.image

bench-realtime: $(BIN)/asgi-quickstart ## Measure channels, and write docs/realtime.md
	$(BIN)/python -m bench.realtime

docs: $(BIN)/asgi-quickstart ## Write the tables in docs/ that copier.yml knows
	$(BIN)/python -m tests.tables
