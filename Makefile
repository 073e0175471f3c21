# Two commands matter: `make demo` and `make test`. Both set up all they need; a second set-up takes no time (stamps on the lock files).
SHELL := /bin/bash
.DEFAULT_GOAL := help

NODE_STAMP := node_modules/.stamp
BUILD_STAMP := dist/.stamp
SOURCES := $(shell find src -name '*.ts') tsconfig.json tsconfig.build.json

.PHONY: help setup setup-dev demo test test-unit test-long lint bench bench-long clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(NODE_STAMP): package-lock.json package.json .npmrc
	npm ci --no-audit --no-fund
	@touch $@

$(BUILD_STAMP): $(NODE_STAMP) $(SOURCES)
	npm run --silent build
	@touch $@

setup: $(BUILD_STAMP) ## dependencies, the command, and the engine's Python environment
	@bin/sluice engine install core

setup-dev: setup
	@bin/sluice engine install deep
	@bin/sluice engine install dev
	@bin/sluice engine install track
	@node test/environment.js mlflow

demo: setup ## three examples and a server: from raw data to a prediction over HTTP
	@node examples/demo.js

test: setup-dev ## every test
	@node test/run.js unit integration e2e engine

test-unit: $(NODE_STAMP) ## the tests that need no Python
	@node test/run.js unit

test-long: setup-dev ## what is too long for CI
	@node test/run.js long

lint: $(BUILD_STAMP) ## format, lint, types
	npx --no-install biome check .
	npx --no-install tsc --noEmit

bench: setup-dev ## measures us and the peers side by side, writes docs/benchmarks.md
	@node bench/run.js

bench-long: setup-dev ## what is too long for bench: training networks
	@node bench/run.js --long

clean: ## what setup made in this folder
	rm -rf node_modules dist coverage
