# fitd: every command a developer or a first visitor needs. `make help` lists them.

PYTHON      ?= python3
VENV        ?= .venv
BIN         := $(VENV)/bin
# Which torch to install. The default prefers the CPU build where the configured indexes carry it
# and falls back to the platform's default build. To choose another index or build:
#   make run TORCH_INDEX=<address of a package index> TORCH=torch==2.13.0+cu130
TORCH       ?= torch==2.13.0
TORCH_INDEX ?=
TORCH_FLAGS := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),)

HOST        ?= 127.0.0.1
PORT        ?= 8000
DATA_DIR    ?= fitd-data

.DEFAULT_GOAL := help
.PHONY: help install run serve test chaos explore lint types imports contract answers baseline typescript docs openapi constraints bench bench-big examples clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed ## Create .venv with everything that is pinned

$(VENV)/.installed: constraints/dev.txt pyproject.toml sdk/python/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r constraints/dev.txt
	$(if $(findstring +,$(TORCH)),,$(BIN)/python -m pip install --quiet $(TORCH_FLAGS) "$(TORCH)+cpu" 2>/dev/null ||) \
	  $(BIN)/python -m pip install --quiet $(TORCH_FLAGS) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . --editable sdk/python
	@touch $@

constraints: ## Resolve the pins again (needs uv)
	sh constraints/compile.sh

clean: ## Remove what the other targets made, but no data
	rm -rf $(VENV) $(NODE_PARTS:=/node_modules) $(CLIENT)/dist $(CLIENT)/src/generated $(CLIENT)/test/pages .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

serve: install ## Run the service alone
	$(BIN)/fitd serve --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

run: install ## Start the service and walk through the tutorial's job
	@$(BIN)/python examples/tutorial.py --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

examples: install ## Run all examples, on the service at PORT or on one of their own
	@PORT=$(PORT) FITD=$(abspath $(BIN))/fitd PYTHON=$(abspath $(BIN))/python bash examples/run-all.sh

# Two processes, each with a service of its own; the tests of one file stay together, and files begin in the order in
# which tests/conftest.py puts them: those with services first, so that no long one is left for the end.
TEST_PROCESSES ?= 2
TEST_ORDER := --dist loadfile --no-loadscope-reorder

# Compiled once: where the environment forbids to write bytecode, each process that a test starts would compile all anew.
test: install node-parts ## Run all tests
	$(BIN)/python -m compileall -q service sdk/python tests
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) $(TEST_ORDER)

# What is written in TypeScript, and the tool that finds breaking changes. Each has its packages in a folder of its own.
CLIENT      := sdk/typescript
NODE_PARTS  := $(CLIENT) contract

typescript: $(CLIENT)/dist/.built ## Build the TypeScript client from openapi.json

$(NODE_PARTS:=/node_modules/.installed): %/node_modules/.installed: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

CLIENT_SOURCES = $(wildcard $(CLIENT)/src/*.ts $(CLIENT)/test/*.ts $(CLIENT)/scripts/* $(CLIENT)/*.json $(CLIENT)/*.mjs)

$(CLIENT)/dist/.built: $(CLIENT)/node_modules/.installed openapi.json $(CLIENT_SOURCES) $(CLIENT)/README.md \
    docs/how-to/use-from-typescript.md
	rm -rf $(CLIENT)/dist
	cd $(CLIENT) && npm run build --silent
	@touch $@

# Python alone is enough to work on the service: without Node the tests that need it are skipped, and say so. Where
# FITD_REQUIRE_NODE is set, as in CI, that is an error.
.PHONY: node-parts
ifeq ($(shell command -v npm),)
node-parts:
	@echo "npm is not installed: the TypeScript client and breaking changes of the contract are not tested" >&2
	@test -z "$$FITD_REQUIRE_NODE"
else
node-parts: typescript contract/node_modules/.installed
endif

# Some minutes for each loop and database; PROMISES="--kills 20" for a short look.
PROMISES ?= --kills 200

chaos: install ## Kill parts of the service again and again, and print which promises held
	$(BIN)/python -m tests.chaos $(PROMISES)
	$(BIN)/python -m pytest --no-header -q tests/jobs/test_jobs_machine.py --machine-runs 1000

explore: install ## Run the property tests on cases that were never tried
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --hypothesis-profile default tests/spec tests/training tests/tables tests/jobs

lint: install ## Check style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install ## Check types
	$(BIN)/mypy
	$(BIN)/mypy --config-file sdk/python/pyproject.toml sdk/python/src/fitd_client tests/sdk/typed_uses.py

imports: install ## Check that the rooms are layered
	$(BIN)/lint-imports

openapi: install ## Write openapi.json anew from the code
	$(BIN)/python -m service openapi > openapi.json

contract: install node-parts ## Check that openapi.json and the generated docs are valid and in step with the code
	$(BIN)/python -m service openapi | diff -u openapi.json -
	$(BIN)/openapi-spec-validator openapi.json
	$(BIN)/python contract/breaks.py
	$(BIN)/python docs/generate.py --check

answers: install ## Record the examples of answers anew from a live service, and write openapi.json
	$(BIN)/python -m tests.contract.record
	$(BIN)/python -m service openapi > openapi.json

baseline: ## Take openapi.json as what clients rely on from now on: at a release (docs/decisions/0029)
	cp openapi.json contract/baseline.json

docs: install ## Write the generated reference pages anew from the code
	$(BIN)/python docs/generate.py

# All parts take some 20 minutes; BENCH="--only engines --jobs J1 J4" for a look at some, BENCH="--help" for more.
BENCH       ?=

bench: install ## Measure against plain torch and other libraries, and write docs/reference/benchmarks.md
	$(BIN)/python -m benchmarks $(BENCH)

bench-big: install ## Measure a large table, from upload to fit (BENCH="--rows 50000000" for all of it)
	$(BIN)/python -m benchmarks.big_data $(BENCH)
