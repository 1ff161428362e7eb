# Every target sets up what it needs, and is quick the second time.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READERS := .readers
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: demo test serve check bench fuzz kills many torture setup lock tools readers nodes clean

demo: setup
	$(BIN)/glasstumbler demo

# With the node software that is there: `make nodes` brings it.
test: setup tools readers
	$(BIN)/python -m pytest -n 2 --dist loadfile

serve: setup
	$(BIN)/glasstumbler serve

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Disasters by seed; `make torture SEED=5000 SEEDS=1000 STEPS=150` looks further.
SEED ?= 0
SEEDS ?= 200
STEPS ?= 60

torture: setup
	$(BIN)/glasstumbler torture --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS)

bench: setup
	sh scripts/debian.sh wrk
	$(BIN)/python -m bench

# Every reader of outside bytes, TIME seconds each: make fuzz TIME=600. What is found lies in fuzz-out/found.
TIME ?= 60
fuzz: setup
	$(BIN)/python -m fuzz --seconds $(TIME)

# Servers killed under load, KILLS times; another SEED kills at other moments.
KILLS ?= 1000
kills: setup
	$(BIN)/python -m tests.faults.kills --kills $(KILLS) --seed $(SEED)

# Three servers and three workers on one record in PostgreSQL, one killed every second.
many: setup tools
	$(BIN)/python -m tests.faults.many --kills $(KILLS) --seed $(SEED)

setup: $(READY)

$(READY): requirements.lock scripts/uv.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later with venv is needed (Debian: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r scripts/uv.lock
	$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

# Debian packages that tests use: PHP judges the signatures of the bearer services; PostgreSQL keeps records; Spark runs on
# Java; Chromium shows the report; two shells complete commands. Tests start a server of their own in a temporary folder;
# the one that Debian starts is left alone.
tools:
	@sh scripts/debian.sh php-cli:php postgresql:pg_ctlcluster openjdk-17-jre-headless:java chromium zsh fish

# Published programs that judge our exports. They want other versions of what we use, so they live by themselves.
readers: $(READERS)/.ready

$(READERS)/.ready: scripts/readers.lock $(READY)
	$(BIN)/python -m venv --without-pip $(READERS)
	$(BIN)/uv pip sync --quiet --system-certs --python $(READERS)/bin/python --require-hashes scripts/readers.lock
	@touch $@

# Node software for private test chains: Debian's litecoind and monero; bcash, bcoin and anvil from npm; btcd and LND from
# Go modules. Tests start it in temporary folders, on loopback.
nodes:
	@sh scripts/nodes/install.sh nodes-bin

# Pins every dependency anew, with hashes and without the names of registries.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --extra spark --group dev --group bench pyproject.toml --output-file requirements.lock
	echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url - --output-file scripts/uv.lock
	echo "tagpack-tool==25.8.1" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url - --output-file scripts/readers.lock

clean:
	rm -rf $(VENV) $(READERS) nodes-bin demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis
