# What people do here. `make` lists it; nothing asks a question.
#
# Demo and tests build the same selection in the same profile, so nothing is built twice.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# Where Rust's installer puts cargo, in case this shell does not search there yet.
export PATH := $(PATH):$(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin

# Every part that a feature adds is built and tested; a plain release build has the default ones.
BUILD := --workspace --bins --tests --all-features --locked
# Without a person at the terminal the demo ends by itself.
DEMO_ARGS ?= $(if $(CI),--headless)

# What only these measurements need.
BENCH_FEATURES = $(if $(filter peers,$(BENCH)),--features metaclinic-benches/peers) $(if $(filter backend,$(BENCH)),--features metaclinic-benches/ndarray)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test bench build lint doc-tests install setup setup-test

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: setup build ## two nodes on this machine meet, pair and share a record (options: DEMO_ARGS="--headless --json")
	target/debug/metaclinic demo $(DEMO_ARGS)

test: setup-test lint build ## check format and lints, then run every test
	@if cargo nextest --version >/dev/null 2>&1; then \
	  set -x; cargo nextest run --workspace --all-features --locked; \
	else \
	  set -x; cargo test --workspace --all-features --locked --lib --bins --tests; \
	fi
	cargo test --workspace --all-features --locked --doc

bench: setup ## measure, into benches/results (an optimised build; BENCH="import ecg" for some, BENCH=peers beside other runtimes; METACLINIC_DATA for those with data)
	cargo build --release --bins --locked $(BENCH_FEATURES)
	target/release/bench $(BENCH)

install: setup ## install the program `metaclinic` for this user (an optimised build: takes longer)
	cargo install --path node --locked

build: setup ## build everything that demo and tests need
	cargo build $(BUILD)

lint: setup-test ## check format and lints only
	@if cargo fmt --version >/dev/null 2>&1; then set -x; cargo fmt --all --check; fi
	@if cargo clippy --version >/dev/null 2>&1; then set -x; cargo clippy --workspace --all-targets --all-features --locked -- -D warnings; cargo clippy -p metaclinic --locked -- -D warnings; fi

setup: ## install what building lacks on this machine
	@.ci/setup build

setup-test: ## install what building and testing lack on this machine
	@.ci/setup test
