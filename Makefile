# One command for each thing; CI runs these same ones (`.ci/run`).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
RESULTS := $(TARGET)/test-results.log
# Agents of `make demo` (10000), of the storms (15000) and of `make storm-drain` (8000).
AGENTS ?=
# Stock clients and their shares, for `make storm-clients`.
CLIENTS ?= loadtest/clients/field.toml
# Share of agents, 0 to 1, whose state changed before `make storm-bytes`.
CHANGED ?= 0
# Agents of `make admission-table`.
STORM_AGENTS ?= 100000
# Executions of each fuzz target of `make fuzz`.
RUNS ?= 10000000
# Number of seeds that `make sim` runs, beginning with FIRST; or the one SEED whose events it prints.
SEEDS ?= 100000
FIRST ?= 0
SEED ?=
# The commit that `make prove-speed` compares HEAD with, and how often each is measured. BASE_BIN and
# HEAD_BIN are folders of builds that are there (seawall, loadtest, benches/): nothing is built then.
BASE ?= 1af75eb
PAIRS ?= 15
BASE_BIN ?= $(TARGET)/proof/base
HEAD_BIN ?= $(TARGET)/proof/head
# `SIZE=small` runs a proof in small.
SIZE ?= full
SMALL = $(if $(filter small,$(SIZE)),--small)
# `ONLY=3` runs the steps of point 3 alone; or more of a step's name.
ONLY ?=
CHOSEN = $(SMALL) --seeds $(SEEDS) $(if $(ONLY),--only "$(ONLY)")
BUILDS = .ci/builds $(if $(filter file,$(origin BASE_BIN)),$(BASE):$(BASE_BIN)) \
	$(if $(filter file,$(origin HEAD_BIN)),HEAD:$(HEAD_BIN))
SPEED = --base $(BASE_BIN) --head $(HEAD_BIN) --pairs $(PAIRS) $(if $(SMALL),--quick)
PROOF = GO="$$(.ci/go)" CI=true $(CARGO) run -q -p proof -- --bin $(TARGET)/release --logs $(TARGET)/proof
# The simulation is an integration test of the gateway's crate, built with a feature of its own. It is
# asked for here alone: a member of the workspace that asked for it would turn it on for every build,
# and a second workspace would compile every dependency once more.
SIM := $(CARGO) test --features simulation

.PHONY: help setup fmt clippy check unit interop tests test summary doc docs-update deny bench figures \
	bench-build fuzz-check fuzz-build fuzz release demo smoke sim sim-attachments sim-ownership sim-mutations storm-bytes storm-outage \
	storm-slow storm-drain storm-gate storm-gate-fixed storm-auto storm-clients admission-table prove-dedup \
	prove-admission prove-clients prove-cluster prove-house prove-speed prove-small

help: ## List every command.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 18

setup: ## Install what building and testing need (Debian, with a Rust toolchain); says what first.
	@.ci/setup

demo: ## Run a storm of AGENTS=10000 without and with Seawall (first compiles, 4 min or more); ends with a table.
	@echo "Compiling Seawall and its load generator, optimised: about 4 minutes the first time on 4 cores, 8 on 2;"
	@echo "cargo names each part as it begins, and the last one, seawall, takes half of the time. Nothing to do later."
	@$(MAKE) --no-print-directory release
	$(TARGET)/release/loadtest demo --agents $(or $(AGENTS),10000)

storm-bytes: release ## Compare what a server gets without and with Seawall: AGENTS=15000, CHANGED=0.
	$(TARGET)/release/loadtest compare --agents $(or $(AGENTS),15000) --changed $(CHANGED)

storm-outage: release ## Kill and restart a server under AGENTS=15000: what they notice, what it gets.
	$(TARGET)/release/loadtest outage --agents $(or $(AGENTS),15000)

storm-slow: release ## Storm of AGENTS=15000 that all changed, at a server that takes 200 reports a second.
	$(TARGET)/release/loadtest slow --agents $(or $(AGENTS),15000)

storm-drain: release ## Drain one of two gateways behind HAProxy: AGENTS=8000 move to the other.
	$(TARGET)/release/loadtest drain --agents $(or $(AGENTS),8000)

storm-gate: release ## Run the storms that admission is judged by, AGENTS=15000, each with its budget.
	$(TARGET)/release/loadtest gate --agents $(or $(AGENTS),15000)

storm-gate-fixed: release ## Compare two of them with a fixed Retry-After of 30 s, AGENTS=15000.
	$(TARGET)/release/loadtest gate --agents $(or $(AGENTS),15000) --cases r1000,r250 --compare-fixed

storm-auto: release ## Compare the automatic admission rate with rates set by hand, AGENTS=15000.
	$(TARGET)/release/loadtest gate --agents $(or $(AGENTS),15000) --auto

storm-clients: release ## Run storms of a mix of stock clients, AGENTS=10000: CLIENTS=FILE says which.
	$(TARGET)/release/loadtest gate --agents $(or $(AGENTS),10000) --clients $(CLIENTS)

admission-table: ## Simulate storms at the gate: what each way of refusing costs. STORM_AGENTS=100000
	$(CARGO) run --release -p loadtest -- admission-table --agents $(STORM_AGENTS)

# `clippy` compiles the benchmarks, too.
test: ## Run everything that CI runs, `make setup` included.
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory fmt clippy doc deny
	@$(MAKE) --no-print-directory tests
	@$(MAKE) --no-print-directory smoke prove-small
	@$(MAKE) --no-print-directory fuzz-check
	@$(MAKE) --no-print-directory summary

check: ## cargo check
	$(CARGO) check --workspace --all-targets

fmt: ## Check formatting (`cargo fmt` fixes it).
	$(CARGO) fmt --all --check

clippy: ## Run the lints; each finding is an error.
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --features simulation --lib --test sim --test sim_ownership -- -D warnings

unit: ## Run unit and property tests alone.
	$(CARGO) test --workspace --lib --bins

interop: ## Run the tests with the real OpAMP client and server (opamp-go) alone.
	GO="$$(.ci/go)" $(CARGO) test --test interop

tests: ## Run all tests: unit, property, style, sockets, interop, 1,000 seeds of the simulation.
	@mkdir -p $(TARGET)
	GO="$$(.ci/go)" $(CARGO) test --workspace --no-fail-fast 2>&1 | tee $(RESULTS)
	$(SIM) --profile sim --test sim --test sim_ownership 2>&1 | tee -a $(RESULTS)

figures: ## Print the figures that the sources are judged by; ROOT=DIR counts another tree.
	@$(if $(ROOT),FIGURES_ROOT=$(abspath $(ROOT))) $(CARGO) test -q --test tidy -- --nocapture figures_meet_their_goals

sim: ## Simulate fleets and faults: SEEDS=100000 FIRST=0, or print the events of SEED=12345.
	@SEEDS=$(SEEDS) FIRST=$(FIRST) $(if $(SEED),SEED=$(SEED)) $(SIM) --test sim --profile sim -- \
		--nocapture no_seed_breaks_a_rule

sim-attachments: ## Simulate agents whose connections end on other nodes: SEEDS, FIRST and SEED as above.
	@SEEDS=$(SEEDS) FIRST=$(FIRST) $(if $(SEED),SEED=$(SEED)) $(SIM) --test sim --profile sim -- \
		--nocapture no_seed_breaks_an_attachment

sim-ownership: ## Simulate nodes around a store that fails, and who may speak: SEEDS, FIRST and SEED as above.
	@SEEDS=$(SEEDS) FIRST=$(FIRST) $(if $(SEED),SEED=$(SEED)) $(SIM) --test sim_ownership --profile sim -- \
		--nocapture no_seed_breaks_a_rule

sim-mutations: ## Break each rule on purpose and show the seed that notices.
	@$(SIM) --profile sim --test sim --test sim_ownership -- --nocapture every_breach

summary: ## Sum up the results of the last `make tests`.
	@awk '/^test result:/ { passed += $$4; failed += $$6 } \
		END { printf "%d passed, %d failed\n", passed, failed }' $(RESULTS)

doc: ## Build the documentation; each warning is an error.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

docs-update: ## Write the table of docs/METRICS.md again.
	UPDATE_DOCS=1 $(CARGO) test --lib docs_list_every_metric

deny: ## Check licences, sources, duplicate versions and advisories of packages.
	@.ci/deny

bench: ## Run the benchmarks (docs/PERFORMANCE.md says what they mean).
	$(CARGO) bench --workspace

bench-build: ## Compile the benchmarks.
	$(CARGO) bench --workspace --no-run

release: ## Build optimised binaries in target/release.
	$(CARGO) build --workspace --bins --release

smoke: ## Run a demo of 1,000 agents.
	@$(MAKE) --no-print-directory demo AGENTS=1000

prove-dedup: release ## Prove at full size that servers get only what changed (20 min; SEEDS=100000).
	@$(PROOF) dedup $(CHOSEN)

prove-admission: release ## Prove at full size that storms come in at the set rate, and drains too (20 min).
	@$(PROOF) admission $(CHOSEN)

prove-clients: release ## Prove at full size that each stock client gets in (40 min; SIZE=small: half a minute).
	@$(PROOF) clients $(CHOSEN)

prove-cluster: release ## Prove at full size that several nodes act as one (60 min; SIZE=small: 6 min).
	@$(PROOF) cluster $(CHOSEN)

prove-house: release ## Prove that sources are in order and what held still holds, as quickly (40 min).
	@$(BUILDS)
	@$(PROOF) house $(SMALL) --seeds $(SEEDS) $(SPEED)

prove-speed: ## Compare the speed of BASE=1af75eb and HEAD in PAIRS=15 pairs (30 min, builds aside).
	@$(BUILDS)
	@$(PROOF) speed $(SPEED)

# Of the proof of the cluster these steps take a minute, all of them nine.
CLUSTER_IN_CI = --only "1 storm, server by uid" --only "2 kill"

prove-small: ## Run each proof in small, as CI does, that of the cluster in part: about a minute each.
	@$(MAKE) --no-print-directory prove-dedup SIZE=small
	@$(MAKE) --no-print-directory prove-admission SIZE=small
	@$(MAKE) --no-print-directory prove-clients SIZE=small
	@$(MAKE) --no-print-directory prove-house SIZE=small PAIRS=1 \
		BASE_BIN=$(TARGET)/release HEAD_BIN=$(TARGET)/release
	@$(PROOF) cluster --small $(CLUSTER_IN_CI)

fuzz-check: ## Check that the fuzz targets compile (nightly compiler).
	@.ci/fuzz check

fuzz-build: ## Compile the fuzz targets (nightly compiler).
	@.ci/fuzz build

fuzz: ## Run each fuzz target RUNS=10000000 times (nightly compiler).
	@.ci/fuzz run $(RUNS)
