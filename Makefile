# One command for each thing; CI runs these same ones (`.ci/run`).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
RESULTS := $(TARGET)/test-results.log
# Agents of `make demo` (10000), of the storms (15000) and of `make storm-drain` (8000).
AGENTS ?=
# Share of agents, 0 to 1, that have news in `make storm-bytes`.
CHANGED ?= 0
# Agents of `make admission-table`.
STORM_AGENTS ?= 100000
# Executions of each fuzz target of `make fuzz`.
RUNS ?= 10000000
# Seeds of `make sim`, from FIRST on; or the SEED that it tells line by line.
SEEDS ?= 100000
FIRST ?= 0
SEED ?=
# The simulation is an integration test of the gateway's crate that is built only with its feature. A
# member of the workspace that asked for the feature would turn it on for every build of the workspace,
# and a workspace of its own would compile every dependency once more.
SIM := $(CARGO) test --features simulation --test sim

.PHONY: help setup fmt clippy check unit interop tests test summary doc docs-update deny bench figures \
	bench-build fuzz-build fuzz release demo smoke sim sim-mutations storm-bytes storm-outage storm-slow \
	storm-drain storm-gate storm-gate-fixed storm-auto admission-table

help: ## Shows what there is.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 18

setup: ## Installs and fetches what building and testing need (Debian, with a Rust toolchain).
	@.ci/setup

demo: release ## Shows a storm: a server, Seawall and AGENTS=10000 agents, with a table at the end.
	$(TARGET)/release/loadtest demo --agents $(or $(AGENTS),10000)

storm-bytes: release ## One storm of AGENTS=15000 without and with Seawall (CHANGED=0): bytes, and the share left.
	$(TARGET)/release/loadtest compare --agents $(or $(AGENTS),15000) --changed $(CHANGED)

storm-outage: release ## A server killed and restarted under AGENTS=15000: what they notice, what it gets.
	$(TARGET)/release/loadtest outage --agents $(or $(AGENTS),15000)

storm-slow: release ## A storm of AGENTS=15000, all with news, at a server good for 200 reports a second.
	$(TARGET)/release/loadtest slow --agents $(or $(AGENTS),15000)

storm-drain: release ## One of two gateways behind HAProxy drained of AGENTS=8000: how they come to the other.
	$(TARGET)/release/loadtest drain --agents $(or $(AGENTS),8000)

storm-gate: release ## The storms that admission is judged by, AGENTS=15000, each against its budget.
	$(TARGET)/release/loadtest gate --agents $(or $(AGENTS),15000)

storm-gate-fixed: release ## Two of them beside a fixed Retry-After of 30 s, AGENTS=15000, in one run.
	$(TARGET)/release/loadtest gate --agents $(or $(AGENTS),15000) --cases r1000,r250 --compare-fixed

storm-auto: release ## A gateway that finds its rate itself against rates set by hand, AGENTS=15000, in turns.
	$(TARGET)/release/loadtest gate --agents $(or $(AGENTS),15000) --auto

admission-table: ## Simulates storms at the gate: what each way of refusing costs. STORM_AGENTS=100000
	$(CARGO) run --release -p loadtest -- admission-table --agents $(STORM_AGENTS)

test: ## Everything that CI runs, `make setup` included.
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory fmt clippy doc deny
	@$(MAKE) --no-print-directory tests
	@$(MAKE) --no-print-directory bench-build smoke
	@$(MAKE) --no-print-directory fuzz-build
	@$(MAKE) --no-print-directory summary

check: ## The compiler's opinion, and nothing else.
	$(CARGO) check --workspace --all-targets

fmt: ## Is everything formatted?
	$(CARGO) fmt --all --check

clippy: ## Lints, as errors.
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --features simulation --lib --test sim -- -D warnings

unit: ## Unit and property tests alone.
	$(CARGO) test --workspace --lib --bins

interop: ## Tests against the real OpAMP client and server (opamp-go) alone.
	GO="$$(.ci/go)" $(CARGO) test --test interop

tests: ## All tests: unit, property, style, sockets, interop, a thousand seeds of the simulation.
	@mkdir -p $(TARGET)
	GO="$$(.ci/go)" $(CARGO) test --workspace --no-fail-fast 2>&1 | tee $(RESULTS)
	$(SIM) 2>&1 | tee -a $(RESULTS)

figures: ## The figures that the sources are judged by, with goals; ROOT=DIR counts another tree's.
	@$(if $(ROOT),FIGURES_ROOT=$(abspath $(ROOT))) $(CARGO) test -q --test tidy -- --nocapture figures_are_counted

sim: ## Simulates fleets and everything that can go wrong: SEEDS=100000 FIRST=0, or SEED=12345 told.
	@SEEDS=$(SEEDS) FIRST=$(FIRST) $(if $(SEED),SEED=$(SEED)) $(SIM) --profile sim -- --nocapture \
		no_seed_breaks_a_rule

sim-mutations: ## Breaks each rule on purpose and shows the seed that notices.
	@$(SIM) -- --nocapture every_breach_is_noticed

summary: ## Sums the results of the last `make tests` up.
	@awk '/^test result:/ { passed += $$4; failed += $$6 } \
		END { printf "%d passed, %d failed\n", passed, failed }' $(RESULTS)

doc: ## The documentation, warnings as errors.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

docs-update: ## Writes the table of docs/METRICS.md anew.
	UPDATE_DOCS=1 $(CARGO) test --lib docs_list_every_metric

deny: ## Licences, sources, duplicate versions, advisories.
	@.ci/deny

bench: ## Benchmarks (docs/PERFORMANCE.md says what they mean).
	$(CARGO) bench --workspace

bench-build: ## Do the benchmarks compile?
	$(CARGO) bench --workspace --no-run

release: ## Optimised binaries in target/release.
	$(CARGO) build --workspace --bins --release

smoke: ## A small demo, to see that it works.
	@$(MAKE) --no-print-directory demo AGENTS=1000

fuzz-build: ## Do the fuzz targets compile? Needs a nightly compiler.
	@.ci/fuzz build

fuzz: ## Runs each fuzz target RUNS=10000000 times. Needs a nightly compiler.
	@.ci/fuzz run $(RUNS)
