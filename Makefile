# Telegen's tasks. `make run` is the main job: set up, build, watch this machine.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
TELEGEN := $(TARGET_DIR)/release/telegen
BENCHES := $(sort $(patsubst bench/%.sh,%,$(filter-out bench/lib.sh,$(wildcard bench/[a-z]*.sh))))

.PHONY: help setup setup-test setup-demo build run demo test test-long check bench fmt

help: ## Lists the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Installs what build and run need (Debian 12, root or sudo, Rust present).
	@scripts/setup.sh build

setup-test: ## Installs what the tests need beside that.
	@scripts/setup.sh build test

build: ## Builds the release program.
	cargo build --release --locked -p telegen

run: setup build ## Sets up, builds, and watches this machine: http://127.0.0.1:19090
	$(TELEGEN) agent

setup-demo:
	@scripts/setup.sh build demo

demo: setup-demo build ## Sets up, builds, and watches a small shop of six services under light load.
	tests/apps/demo/run.sh $(TELEGEN)

test: setup-test ## Sets up what tests need and runs every test.
	scripts/test.sh

test-long: ## The long forms: 1,000,000 records through 100 kills, 40 hard stops of a machine, 100 reloads, overload, ten minutes without a peer; every recorded walk against net-snmp.
	TELEGEN_LONG=1 cargo test --release --locked -p telegen --test delivery --test hardstop -- --nocapture
	TELEGEN_LONG=1 cargo test --release --locked -p telegen-snmp --features engine --test walks -- --nocapture

check: ## Format, lints, unit tests.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked --lib --bins

bench: ## Lists the benchmarks.
	@for b in $(BENCHES); do printf 'make bench-%-12s %s\n' "$$b" "$$(sed -n 's/^# What: //p' bench/$$b.sh)"; done

bench-%: setup-test build
	bench/$*.sh

fmt: ## Formats the sources.
	cargo fmt --all
