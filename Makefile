# Sluice's commands. `make run` and `make test` do all it takes on a fresh machine; what is done already is
# not done again (a stamp's name holds a hash of what it stands for).
#   make run [PROMPT="..."] [MODEL=...] [ARGS="--temp 0.8 ..."], make chat [MODEL=...] [ARGS="..."]
#   make setup | build | test | bench | bench-peers | bench-budgets | format | lint | fuzz | clean
#   make test-clients the server with clients from PyPI and npm that are not in the other tests
#   make test-page    the page of `sluice serve` in a headless Chromium (Debian and Ubuntu)
#   make test-arm     the kernels for 64-bit Arm, cross-compiled and run under qemu (Debian and Ubuntu)
SHELL := bash
.DEFAULT_GOAL := build
.PHONY: setup build build-all run chat test test-arm test-page test-clients bench bench-peers bench-budgets format lint fuzz clean

PYTHON ?= python3
PROMPT ?= Why is the sky blue?
MODEL ?=
ARGS ?=
# OFF: kernels for this processor, ON: for all of its kind.
ALL_ISAS ?= OFF
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
# Where tools/setup.sh links a versioned Rust, and where rustup puts its own.
export PATH := $(CURDIR)/.cache/rust/bin:$(HOME)/.cargo/bin:$(PATH)
# To the recipes as environment variables: a prompt may hold any quote.
export PROMPT MODEL

hash = $(firstword $(shell cat $(1) | cksum))
SYSTEM := .cache/setup-$(call hash,tools/setup.sh requirements.txt)
TEST_SYSTEM := .cache/test-setup-$(call hash,tools/setup.sh)
VENV := .venv/.build-$(call hash,requirements.txt)
TEST_VENV := .venv/.test-$(call hash,requirements.txt requirements-test.txt)

setup: $(SYSTEM) $(VENV)

$(SYSTEM):
	@tools/setup.sh
	@mkdir -p .cache && rm -f .cache/setup-* && touch $@

# What tests need beside it; CMake then finds GoogleTest.
$(TEST_SYSTEM): | $(SYSTEM)
	@tools/setup.sh --test
	@rm -f .cache/test-setup-* build/release/build.ninja && touch $@

# pip's own messages go above the one line that says what failed.
install = .venv/bin/pip install --quiet --disable-pip-version-check -r $(1) \
	|| { echo "setup: error: pip cannot install $(1) into .venv" >&2; exit 1; }

$(VENV): | $(SYSTEM)
	@test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	@echo "setup: installing requirements.txt into .venv"
	@$(call install,requirements.txt)
	@rm -f .venv/.build-* && touch $@

$(TEST_VENV): | $(VENV)
	@echo "setup: installing requirements-test.txt into .venv"
	@$(call install,requirements-test.txt)
	@rm -f .venv/.test-* && touch $@

# configure ALL_ISAS: a build that has all kernels keeps them.
configure = { test -e build/release/build.ninja || cmake --preset release -DSLUICE_ALL_ISAS=$(1); } && \
	{ test $(1) = OFF || ! grep -q SLUICE_ALL_ISAS:BOOL=OFF build/release/CMakeCache.txt || cmake --preset release -DSLUICE_ALL_ISAS=ON; }

# The program alone, with the kernels that this processor runs; `make test` builds the rest.
build: setup
	@$(call configure,$(ALL_ISAS))
	@cmake --build --preset release --target sluice

build-all: setup $(TEST_SYSTEM) $(TEST_VENV)
	@$(call configure,ON)
	@cmake --build --preset release

# A model of the table in tools/fetch_model.py into the model store; does nothing when it is there.
fetch_model = .venv/bin/python tools/fetch_model.py $(1) >/dev/null
# The shell variable `model`: $MODEL, or the default, fetched.
choose_model = if [ -n "$$MODEL" ]; then model=$$MODEL; else \
	  model=smollm2-135m-instruct; $(call fetch_model,smollm2-135m-instruct); fi

run: build
	@$(choose_model) && build/release/bin/sluice run "$$model" -p "$$PROMPT" $(ARGS)

chat: build
	@$(choose_model) && build/release/bin/sluice chat "$$model" $(ARGS)

test: build-all
	@.venv/bin/python tools/fetch_vocab_vectors.py >/dev/null
	@$(call fetch_model,smollm2-135m-instruct)
	@$(call fetch_model,gemma-3-270m-q4_k_m)
	@ctest --preset release -j $(JOBS)

test-arm: setup $(TEST_SYSTEM) $(TEST_VENV)
	@tools/setup.sh --arm
	@test -e build/arm/build.ninja || cmake --preset arm
	@cmake --build --preset arm
	@ctest --preset arm -j $(JOBS)

BROWSER_VENV := .venv/.browser-$(call hash,requirements-browser.txt)

$(BROWSER_VENV): | $(TEST_VENV)
	@tools/setup.sh --browser
	@echo "setup: installing requirements-browser.txt into .venv"
	@$(call install,requirements-browser.txt)
	@rm -f .venv/.browser-* && touch $@

test-page: build $(TEST_VENV) $(BROWSER_VENV)
	@.venv/bin/python -m pytest -q -rs -p no:cacheprovider tests/page

# Python's clients into an environment of their own, Node's beside it; without npm those are skipped.
CLIENTS := .cache/clients
CLIENTS_MADE := $(CLIENTS)/.made-$(call hash,requirements-clients.txt tests/serve/clients/node/package.json)

$(CLIENTS_MADE):
	@echo "setup: installing requirements-clients.txt into $(CLIENTS)"
	@test -x $(CLIENTS)/bin/pip || $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check -r requirements-clients.txt \
	  || { echo "setup: error: pip cannot install requirements-clients.txt into $(CLIENTS)" >&2; exit 1; }
	@mkdir -p $(CLIENTS)/node && cp tests/serve/clients/node/package.json $(CLIENTS)/node
	@if command -v npm >/dev/null; then cd $(CLIENTS)/node && npm install --silent --no-package-lock --no-audit --no-fund; \
	  else echo "setup: no npm: Node's clients are left out"; fi
	@rm -f $(CLIENTS)/.made-* && touch $@

test-clients: build $(CLIENTS_MADE)
	@$(call fetch_model,smollm2-135m-instruct)
	@$(call fetch_model,gemma-3-270m-q4_k_m)
	@$(CLIENTS)/bin/python -m pytest -q -rs -p no:cacheprovider tests/serve/clients

bench: build-all
	@.venv/bin/python bench/run.py

# llama.cpp from PyPI, built here, and Sluice in turns; ARGS="--only 'decode-*'" picks rows.
bench-peers: build-all
	@.venv/bin/python bench/peers.py $(ARGS)

# Peak memory at budgets from the least up, in memory cgroups.
bench-budgets: build-all
	@.venv/bin/python bench/budgets.py $(ARGS)

format: setup $(TEST_SYSTEM)
	@git ls-files '*.cpp' '*.h' | xargs clang-format -i
	@cd rust/text && cargo fmt

lint: build-all
	@tools/lint.sh

fuzz: setup $(TEST_SYSTEM)
	@tools/setup.sh --fuzz
	@cmake --preset fuzz && cmake --build --preset fuzz

clean:
	rm -rf build
