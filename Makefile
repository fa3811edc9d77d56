# Every task of the repository. `make help` lists them; .ci/run runs `make test`.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --silent

export PYTHON

BIN := .venv/bin
RUN_READY := .venv/.ready-run
DEV_READY := .venv/.ready-dev
CLIENT := src/anywire/static/anywire.js
CLIENT_READY := clients/js/node_modules/.ready
NODE_TESTS_READY := tests/js/node_modules/.ready
OFFICIAL := $(addprefix src/anywire/static/,socket.io.min.js sockjs.min.js signalr.min.js phoenix.min.js actioncable.js)
CLIENT_SOURCE := $(shell find clients/js/src clients/js/*.json clients/js/*.mjs -type f 2>/dev/null)
GORILLA := build/gorilla-peer
NPM := npm ci --ignore-scripts --no-fund --no-audit --loglevel=error

HOST ?= 127.0.0.1
PORT ?= 8000
TOKEN ?=
WIRE ?=
SUITE ?=
WSTEST ?=
REPO ?=
ARGS ?=

# Floors 0 to 2 (tests/test_layers.py): here every branch is tested.
FLOORS := errors frames body payload nesting outbox limits wires net core
comma := ,
empty :=
space := $(empty) $(empty)
GATED := $(subst $(space),$(comma),$(foreach name,$(FLOORS),src/anywire/$(name).py src/anywire/$(name)/*))

.PHONY: help
help: ## this list
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' Makefile

# ---- what people run

.PHONY: demo
demo: ## serve the chat (HOST=127.0.0.1 PORT=8000 TOKEN=made-up)
	@echo "[1/3] Python environment"
	@sh scripts/node.sh
	@$(MAKE) $(RUN_READY)
	@echo "[2/3] Browser client, and the official clients beside it on the page"
	@$(MAKE) $(CLIENT)
	@echo "[3/3] Serving the chat; Ctrl-C stops it"
	@exec $(BIN)/anywire demo --host "$(HOST)" --port "$(PORT)" $(if $(TOKEN),--token "$(TOKEN)")

.PHONY: test
test: ## everything that gates: packages, lint, types, client, docs, all tests, coverage
	@echo "[1/8] What this machine has: Python, Node, Debian packages"
	@sh scripts/python.sh >/dev/null
	@sh scripts/node.sh
	@sh scripts/debian-packages.sh
	@echo "[2/8] Python environment with the test tools"
	@$(MAKE) $(DEV_READY)
	@echo "[3/8] Browser client, the npm packages of the tests, and their peer in Go"
	@$(MAKE) $(CLIENT) $(NODE_TESTS_READY) $(GORILLA)
	@echo "[4/8] Lint, types and floors"
	@$(MAKE) lint types layers
	@echo "[5/8] Browser client: types, size, tests in Node"
	@$(MAKE) client
	@echo "[6/8] Documentation, strict"
	@$(MAKE) docs
	@echo "[7/8] All tests"
	@$(BIN)/coverage erase
	@sh scripts/tests.sh $(ARGS)
	@echo "[8/8] Every branch of floors 0 to 2"
	@$(MAKE) coverage-gate
	@echo "make test: all green"

.PHONY: check
check: ## the quick half of test: lint, types, floors, unit tests (under two minutes)
	@echo "[1/4] Python environment"
	@$(MAKE) $(DEV_READY)
	@echo "[2/4] Lint and types"
	@$(MAKE) lint types
	@echo "[3/4] Floors"
	@$(MAKE) layers
	@echo "[4/4] Unit tests: no network, no Node, no browser"
	@$(BIN)/pytest -q -m "not slow and not net and not node and not browser" $(ARGS)

.PHONY: coverage
coverage: $(DEV_READY) ## all Python tests, then every branch of floors 0 to 2
	@echo "[1/2] All Python tests"
	@$(BIN)/coverage erase
	@sh scripts/tests.sh $(ARGS)
	@echo "[2/2] Every branch of floors 0 to 2"
	@$(MAKE) coverage-gate

.PHONY: format
format: $(DEV_READY) ## write the source in one form and mend what the linter can mend
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

.PHONY: docs
docs: $(DEV_READY) ## build the documentation into site/; a warning fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "      site/index.html"

.PHONY: conformance
ifeq ($(SUITE),)
conformance: $(DEV_READY) $(NODE_TESTS_READY) $(GORILLA) ## the protocol suites alone (WIRE=raw: those naming it; SUITE=socketio REPO=path: that one)
	@echo "[1/1] Protocol suites$(if $(WIRE), of $(WIRE))"
	@$(BIN)/pytest $(wildcard tests/contracts tests/net tests/wires tests/client tests/interop) $(if $(WIRE),-k "$(WIRE)") $(ARGS)
else
conformance: $(RUN_READY)
	@$(BIN)/python -m conformance.suites.$(SUITE) $(if $(WSTEST),--wstest "$(WSTEST)") $(if $(REPO),--repo "$(REPO)") $(ARGS)
endif

.PHONY: bench
bench: $(RUN_READY) ## measure beside the peers and compare with bench/README.md (minutes)
	@echo "[1/2] Load generator and peers, into bench/"
	@sh bench/setup.sh
	@echo "[2/2] Measuring"
	@$(BIN)/python bench/compare.py $(ARGS)

.PHONY: mutants
mutants: $(DEV_READY) ## break floors 0 to 2 one line at a time and see the tests notice
	@$(BIN)/python scripts/mutants.py $(ARGS)

.PHONY: clean
clean: ## remove what make made, the environment included
	@rm -rf .venv site build dist htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@rm -rf src/anywire/static clients/js/dist clients/js/node_modules tests/js/node_modules
	@find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# ---- parts of the above

.PHONY: lint types layers client coverage-gate
lint: $(DEV_READY)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "anywire: some files are not in the one form; run: make format" >&2; exit 1; }

types: $(DEV_READY)
	@$(BIN)/mypy

layers: $(DEV_READY)
	@$(BIN)/pytest -q tests/test_layers.py

client: $(CLIENT)
	@cd clients/js && npm run --silent check && npm run --silent size && npm test --silent

coverage-gate:
	@$(BIN)/coverage report --include="$(GATED)" --fail-under=100

# ---- set-up, each step once: the stamps say which versions were installed

$(RUN_READY): pyproject.toml constraints.txt scripts/environment.sh
	@sh scripts/environment.sh
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt scripts/environment.sh
	@sh scripts/environment.sh dev
	@touch $(RUN_READY) $@

$(CLIENT_READY): clients/js/package.json clients/js/package-lock.json
	@sh scripts/node.sh
	@echo "      installing the build tools of the browser client, and the official clients of the demo"
	@cd clients/js && $(NPM)
	@touch $@

# What the page of the demo shows beside our own client, as their authors built it, with their licences:
# those that npm does not carry are in clients/js/licenses.
MODULES := clients/js/node_modules
src/anywire/static/socket.io.min.js: $(CLIENT_READY)
	@$(call taken,socket.io-client/dist,$(MODULES)/socket.io-client/LICENSE,socket.io-client)
src/anywire/static/sockjs.min.js: $(CLIENT_READY)
	@$(call taken,sockjs-client/dist,$(MODULES)/sockjs-client/LICENSE,sockjs-client)
src/anywire/static/signalr.min.js: $(CLIENT_READY) clients/js/licenses/signalr.LICENSE
	@$(call taken,@microsoft/signalr/dist/browser,clients/js/licenses/signalr.LICENSE,signalr)
src/anywire/static/phoenix.min.js: $(CLIENT_READY)
	@$(call taken,phoenix/priv/static,$(MODULES)/phoenix/LICENSE.md,phoenix)
src/anywire/static/actioncable.js: $(CLIENT_READY) clients/js/licenses/actioncable.LICENSE
	@$(call taken,@rails/actioncable/app/assets/javascripts,clients/js/licenses/actioncable.LICENSE,actioncable)

# The folder of a package, its licence, and how that is called here.
taken = mkdir -p $(@D) && cp $(2) $(@D)/$(3).LICENSE && cp $(MODULES)/$(1)/$(@F) $@

$(NODE_TESTS_READY): tests/js/package.json tests/js/package-lock.json
	@sh scripts/node.sh
	@echo "      installing the npm packages of the tests"
	@cd tests/js && $(NPM)
	@touch $@

$(GORILLA): tests/interop/gorilla/main.go scripts/gorilla.sh
	@echo "      building the peer of the tests that is written in Go"
	@sh scripts/gorilla.sh
	@touch $@

$(CLIENT): $(CLIENT_READY) $(CLIENT_SOURCE) $(OFFICIAL)
	@echo "      building the browser client"
	@cd clients/js && npm run --silent build
	@mkdir -p $(@D)
	@cp clients/js/dist/*.js $(@D)/
	@touch $@
