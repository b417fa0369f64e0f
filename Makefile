# brummerbus: everything a developer does, by name. Needs Python 3.10 or newer, a C compiler and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORE := $(wildcard csrc/*/*.c csrc/*/*.h) src/brummerbus/_core/_ffi_build.py setup.py
C_FILES := $(wildcard csrc/*/*.[ch] tests/c/*.[ch] bench/c/*.[ch])

# Compiling all modules again in each process takes three times as long as collecting the tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run picture test test-c test-py test-fast test-package test-all lint docs compile-commands types format bench bench-before bench-peers bench-faces bench-targets bench-c \
        bench-growth bench-streams bench-watch bench-elastic bench-advice claims clean sanitize-clang valgrind stress \
        model model-long chaos soak proofs proofs-newer relay bench-relay

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- the environment -----------------------------------------------------------------------

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("brummerbus needs Python 3.10 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Built again when the C core changed; ends with an import, to be sure that it worked.
$(READY): $(VENV)/.installed $(CORE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -c 'import brummerbus'
	@touch $@

# ---- the main job --------------------------------------------------------------------------

run: $(READY)  ## watch three real processes concurrently, and check that all counts agree
	$(BIN)/python bench/demo/run.py

relay: $(READY)  ## three processes, 100,000 events across a broker that is killed on the way
	$(BIN)/python -m bench.relay_demo $(ARGS)

picture: $(READY)  ## docs/watch-live.svg, the picture of the live view, from a real run
	$(BIN)/python bench/demo/picture.py

# ---- checks --------------------------------------------------------------------------------

test:  ## the C core, plain and under sanitizers, and all Python tests, side by side
	@$(MAKE) test-c & c=$$!; $(MAKE) test-py; py=$$?; wait $$c && exit $$py

test-c:  ## the C core alone: plain, AddressSanitizer + UBSan, ThreadSanitizer
	$(MAKE) -C tests/c check

# Twice as many processes as cores, since many tests wait; at most 16, since each collects them all.
CORES := $(shell getconf _NPROCESSORS_ONLN || echo 2)
PROCESSES ?= $(shell echo $$(($(CORES) < 8 ? 2 * $(CORES) : 16)))
# The plugin of anyio, which FastAPI brings, would be imported by each process for nothing.
PYTEST := $(BIN)/python -m pytest --quiet -p no:anyio --numprocesses=$(PROCESSES) --dist=worksteal

test-py: $(READY)  ## the Python tests, in PROCESSES processes
	$(PYTEST)

test-fast: $(READY)  ## the Python tests that take less than a second each
	$(PYTEST) -m 'not slow'

# Each of these tests builds, installs and tests: minutes on a busy machine, and no hang.
PATIENT := -o faulthandler_timeout=900
test-package: $(READY)  ## the sdist and the wheel: complete, audited, tested in new environments
	$(BIN)/python -m pytest $(PATIENT) release/test_declared.py release/test_artifacts.py

test-all: $(READY)  ## the wheel on every Python found; more by PYTHONS="/path/python ..."
	PYTHONS='$(PYTHONS)' TESTS='$(TESTS)' $(BIN)/python -m pytest $(PATIENT) -v -rP release/test_interpreters.py

lint: $(READY) docs  ## style and format of Python and C, spelling, workflows, documentation without a warning
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	@awk 'length > 100 { print FILENAME ":" FNR ": more than 100 columns"; n++ } END { exit n > 0 }' $(C_FILES)
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms \
	    $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(BIN)/zizmor --offline --quiet .github

docs: $(READY)  ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(READY)  ## rewrite with ruff and clang-format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

# Files of other systems than this would not compile; clang writes what it was called with.
COMPILED := $(filter-out %_macos.c %_windows.c, $(filter %.c, $(C_FILES)))
compile-commands: $(READY)  ## compile_commands.json, for editors and C tools (needs clang)
	@rm -rf build/commands && mkdir -p build/commands
	@include=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))') && \
	for file in $(COMPILED); do \
	    name=build/commands/$$(echo $$file | tr / _); \
	    clang -std=c11 -Wall -Wextra -Wshadow -pthread -Icsrc -Icsrc/queue -I"$$include" \
	        -c -o $$name.o -MJ $$name.json $$file || exit 1; \
	done
	@(echo '['; cat build/commands/*.json | sed '$$ s/,$$//'; echo ']') > compile_commands.json

types: $(READY)  ## mypy --strict, and a program that uses the bus, with mypy and pyright
	$(BIN)/mypy
	@$(BIN)/pyright --version || echo "NOT RUN: pyright, which could not be fetched" >&2
	$(BIN)/python -m pytest -q tests/test_typing.py

sanitize-clang:  ## the C checks again, with clang's sanitizers
	$(MAKE) -C tests/c check-clang

PROOFS := build/proofs
proofs: $(PROOFS)/.ready  ## what plugs into another project, tested with that project
	$(PROOFS)/bin/python -m pytest -q -o addopts=--strict-markers tests/proofs $(ARGS)
	@$(if $(NEWER),$(MAKE) --no-print-directory proofs-newer,echo "NOT RUN: what needs Python 3.12 or newer, which was not found (NEWER=python)" >&2)

# What needs a newer Python than most: Django 6; and CPython's tests, which not all Pythons have.
NEWER ?= $(shell for python in python3.13 python3.14 python3.15 $(HOME)/.pyenv/versions/3.1[3-9]*/bin/python3 python3.12; do \
    $$python -c 'import sys; print(sys.executable)' 2>/dev/null && break; done)
proofs-newer: $(PROOFS)-newer/.ready
	$(PROOFS)-newer/bin/python -m pytest -q -o addopts=--strict-markers $(NEWER_PROOFS) $(ARGS)

NEWER_PROOFS := $(wildcard tests/proofs/test_django_*.py) tests/proofs/test_cpython_executor.py
$(PROOFS)-newer/.ready: tests/proofs/requirements.txt $(CORE) $(wildcard src/brummerbus/*.py src/brummerbus/*/*.py)
	$(NEWER) -m venv $(PROOFS)-newer
	$(PROOFS)-newer/bin/python -m pip install --quiet --disable-pip-version-check '.[django]' pytest
	@touch $@

# An environment of its own: these projects are nothing that this one depends on.
$(PROOFS)/.ready: tests/proofs/requirements.txt $(CORE) $(wildcard src/brummerbus/*.py src/brummerbus/*/*.py)
	$(PYTHON) -m venv $(PROOFS)
	$(PROOFS)/bin/python -m pip install --quiet --disable-pip-version-check -r tests/proofs/requirements.txt .
	@touch $@

valgrind:  ## the C tests under valgrind's memcheck
	$(MAKE) -C tests/c valgrind

stress:  ## 100 million operations on the C core (minutes)
	$(MAKE) -C tests/c stress-long

chaos: $(READY)  ## random buses, misused at random for half a minute; every delivery checked
	$(BIN)/python tests/chaos/chaos.py --seconds 30 $(ARGS)

soak: $(READY)  ## 100 million events in one process, in which nothing may grow (minutes)
	$(BIN)/python tests/chaos/soak.py --events 100000000 $(ARGS)

model:  ## the waiting and waking protocol, checked exhaustively with spin
	$(MAKE) -C tests/c model

model-long:  ## the same with more publishers, workers and slots (hours)
	$(MAKE) -C tests/c model-long

# ---- figures -------------------------------------------------------------------------------

bench: $(READY)  ## the pytest-benchmark suites
	$(BIN)/python -m pytest bench --ignore=bench/tests -o addopts= --benchmark-only --benchmark-group-by=group \
	    --benchmark-columns=median,iqr,ops,rounds

bench-before: $(READY)  ## what each option costs, beside the commit before the first of them
	$(BIN)/python -m bench.before $(ARGS)

PEERS := build/peers
bench-peers: $(PEERS)/.ready  ## brummerbus beside nine other ways, with plots, in build/bench
	$(PEERS)/bin/python -m bench.peers.run $(ARGS)
	$(PEERS)/bin/python -m bench.peers.logs
	$(PEERS)/bin/python -m bench.peers.faces

bench-faces: $(PEERS)/.ready  ## only what each face costs beside what it replaces
	$(PEERS)/bin/python -m bench.peers.faces $(ARGS)

bench-targets: $(PEERS)/.ready  ## only the table of target ratios
	$(PEERS)/bin/python -m bench.peers.run --targets $(ARGS)

# An environment of its own: the peers are nothing that the project depends on.
$(PEERS)/.ready: bench/peers/requirements.txt $(CORE) $(shell find src/brummerbus -name "*.py" -o -name "*.ini")
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r bench/peers/requirements.txt .
	@touch $@

bench-c:  ## the queue in C alone: nanoseconds and instructions per push and take
	$(MAKE) -C bench/c run
	$(MAKE) -C bench/c callgrind

bench-growth: $(READY)  ## how cost grows with events, depth, levels, handlers and threads
	$(BIN)/python -m bench.growth

claims: $(READY)  ## the study's claims, verified against a thread per handler and event (minutes)
	$(BIN)/python -m bench.claims.run $(ARGS)

bench-watch: $(PEERS)/.ready  ## CPU time of watching a million lines, beside honcho, foreman and concurrently
	-npm install --silent --no-audit --no-fund --prefix build/bench-watch concurrently
	$(PEERS)/bin/python -m bench.watch $(ARGS)

bench-streams: $(PEERS)/.ready  ## CPU time per event from threads to a task, beside janus and culsans
	$(PEERS)/bin/python -m bench.streams $(ARGS)

RELAY := build/relay
bench-relay: $(RELAY)/.ready  ## events per second and CPU time across a broker, beside other ways
	$(RELAY)/bin/python -m bench.bench_relay $(ARGS)

$(RELAY)/.ready: bench/relay_ways/requirements.txt $(CORE) $(wildcard src/brummerbus/*.py src/brummerbus/*/*.py)
	$(PYTHON) -m venv $(RELAY)
	$(RELAY)/bin/python -m pip install --quiet --disable-pip-version-check -r bench/relay_ways/requirements.txt .
	@touch $@

bench-elastic: $(READY)  ## the response of an elastic pool to a step, a ramp, a burst and idleness
	$(BIN)/python -m bench.elastic

bench-advice: $(READY)  ## the adviser's predictions beside measurements (75 minutes)
	$(BIN)/python -m bench.advice.run $(ARGS)

clean:  ## remove everything that was built, the environment included
	rm -rf $(VENV) build dist compile_commands.json src/*.egg-info src/brummerbus/_core/_ext*.so .pytest_cache .mypy_cache .ruff_cache .benchmarks .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
