# Every target here is one that CI runs, so that "it works here" means the same
# for everybody. `make help` lists them.

SHELL := bash
GO ?= go
PACKAGES := ./...
COMMANDS ?= ./cmd/...
# grpcnotrace leaves a page about traces out of gRPC, which nobody can open here. Its
# templates would keep the linker from dropping the methods that nobody calls.
#
# Without C, netgo and osusergo change nothing; with it, they keep C out of the standard
# library. So what needs no C is compiled once for the commands, the tests, the static
# checks, and for the development server, which has DuckDB in it. (Not on a Mac, whose
# resolver is the better one and needs no C.)
ifeq ($(shell uname),Linux)
TAGS := grpcnotrace,netgo,osusergo
else
TAGS := grpcnotrace
endif
export GOFLAGS := -buildvcs=false -trimpath -tags=$(TAGS)
export CGO_ENABLED := 0

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: demo
demo: COMMANDS = ./cmd/ampipe
demo: build devserver ## Load a synthetic chain into a Delta Lake table, verify it and show rows
	@scripts/demo

.PHONY: build
build: ## Build the product's commands into bin/ (static, no C compiler needed)
	GOWORK=off $(GO) build -ldflags "-s -w $$(scripts/stamp)" -o bin/ $(COMMANDS)

.PHONY: devserver
devserver: ## Build the development Amp server into bin/ (needs a C compiler)
	cd devserver && CGO_ENABLED=1 $(GO) build -ldflags "-s -w" -o ../bin/devserver .

.PHONY: nats-server
nats-server: ## Build the NATS server of the version that the product embeds, for tests
	GOWORK=off $(GO) build -ldflags "-s -w" -o bin/ github.com/nats-io/nats-server/v2

# The linker warns of getaddrinfo, getpwuid and dlopen, which DuckDB would need for
# extensions, and which nothing here uses.
.PHONY: devserver-static
devserver-static: ## The same without a shared library, for an image with nothing in it
	cd devserver && CGO_ENABLED=1 $(GO) build \
		-ldflags '-s -w -linkmode external -extldflags -static' -o ../bin/devserver .

.PHONY: test
test: build devserver nats-server ## Run every test with real servers, what runs concurrently under the race detector
	@scripts/test

MODEL_SECONDS ?= 600
.PHONY: model
model: ## Random chains, forks, kills and deliveries, for MODEL_SECONDS (600); MODEL_SEED repeats a round
	AMPIPE_MODEL_SECONDS=$(MODEL_SECONDS) AMPIPE_MODEL_SEED=$(MODEL_SEED) scripts/deltalake run scripts/redis run scripts/postgres run \
		$(GO) test -count=1 -timeout $$(( $(MODEL_SECONDS) + 600 ))s -v -run '^TestModel$$' ./pkg/pipeline

CHAOS_SECONDS ?= 600
.PHONY: chaos
chaos: build devserver nats-server ## Two pipelines among random troubles and commands, for CHAOS_SECONDS (600); CHAOS_SEED repeats a round
	AMPIPE_BIN=$(CURDIR)/bin CHAOS_SECONDS=$(CHAOS_SECONDS) CHAOS_SEED=$(CHAOS_SEED) scripts/redis run scripts/postgres run \
		$(GO) test -count=1 -timeout $$(( $(CHAOS_SECONDS) + 900 ))s -v -run '^TestChaos$$' ./pkg/pipeline

.PHONY: deploytest
deploytest: build devserver nats-server ## Test what is shipped in deploy/ and docker-compose.yml
	cd deploy/deploytest && GOWORK=off AMPIPE_BIN=$(CURDIR)/bin ../../scripts/postgres run $(GO) test -count=1 -timeout 15m ./...
	cd deploy/release && GOWORK=off $(GO) test -count=1 -timeout 15m ./...

.PHONY: examples
examples: build devserver ## Test what is in examples/, with the built commands
	cd examples/sqlite-sink && GOWORK=off AMPIPE_BIN=$(CURDIR)/bin $(GO) test -count=1 -timeout 15m ./...

.PHONY: release
release: ## Make archives, bills of materials and checksums of this commit in dist/
	cd deploy/release && GOWORK=off $(GO) run . -out $(CURDIR)/dist

.PHONY: notices
notices: ## Write THIRD_PARTY_NOTICES, after a module was added, removed or updated
	cd deploy/release && GOWORK=off $(GO) run . -notices write

.PHONY: compose-long
compose-long: build devserver ## Load 5,000,000 rows by docker-compose.yml, without an engine, while everything is rolled
	cd deploy/deploytest && GOWORK=off AMPIPE_BIN=$(CURDIR)/bin AMPIPE_COMPOSE_ROWS=5000000 \
		$(GO) test -count=1 -timeout 60m -v -run '^TestCompose$$' ./compose

# Packages that need no server, by the tests of which another architecture is tried.
PURE := $(addprefix ./pkg/,block config entry arrowguard health sqlcheck arrowfmt)
QEMU ?= qemu-aarch64-static
.PHONY: arm64-test
arm64-test: ## Compile for linux/arm64, and run the tests of the pure packages under qemu-user
	@command -v $(QEMU) >/dev/null || { echo "$(QEMU) is missing (Debian: apt-get install qemu-user-static)" >&2; exit 1; }
	GOWORK=off GOARCH=arm64 $(GO) build -ldflags '-s -w' -o bin/arm64/ ./cmd/...
	$(QEMU) bin/arm64/ampipe version
	GOWORK=off GOARCH=arm64 $(GO) test -exec $(QEMU) -timeout 30m $(PURE)

.PHONY: compose-test
compose-test: ## Run docker-compose.yml on this machine's container engine: build, load, verify, remove
	@scripts/compose-test

.PHONY: lint
lint: ## Formatting, vet, staticcheck, tidy modules
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(PACKAGES)
	cd devserver && CGO_ENABLED=1 $(GO) vet ./...
	cd deploy/deploytest && GOWORK=off $(GO) vet ./...
	cd deploy/release && GOWORK=off $(GO) vet ./...
	cd examples/sqlite-sink && GOWORK=off $(GO) vet ./...
	GOWORK=off $(GO) vet -tags docs,$(TAGS) ./cmd/...
	$(GO) build -o bin/ honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck $(PACKAGES)
	cd devserver && CGO_ENABLED=1 ../bin/staticcheck ./...
	cd deploy/deploytest && GOWORK=off ../../bin/staticcheck ./...
	cd deploy/release && GOWORK=off ../../bin/staticcheck ./...
	cd examples/sqlite-sink && GOWORK=off ../../bin/staticcheck ./...
	GOWORK=off $(GO) mod tidy -diff
	cd devserver && GOWORK=off $(GO) mod tidy -diff
	cd deploy/deploytest && GOWORK=off $(GO) mod tidy -diff
	cd deploy/release && GOWORK=off $(GO) mod tidy -diff
	cd examples/sqlite-sink && GOWORK=off $(GO) mod tidy -diff
	cd deploy/release && GOWORK=off $(GO) run . -notices check
	bash -n $$(git ls-files scripts | grep -v "\.go$$") .ci/run

.PHONY: count
count: ## Print what the code consists of: lines, words, conditions with a side effect
	$(GO) run ./scripts/count

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities (VULNDB: a copy of the database; VULNCHECK=required: fail where there is none)
	$(GO) build -o bin/ golang.org/x/vuln/cmd/govulncheck
	@scripts/vulncheck

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## Feed every parser of what comes from outside for FUZZ_SECONDS (60) each
	@scripts/fuzz $(FUZZ_SECONDS)

CLUSTER_SECONDS ?= 900
.PHONY: cluster
cluster: ## Kill the nodes of a NATS cluster one after the other, for CLUSTER_SECONDS (900)
	AMPIPE_CLUSTER_SECONDS=$(CLUSTER_SECONDS) $(GO) test -count=1 -timeout $$(( $(CLUSTER_SECONDS) + 600 ))s -v -run '^TestClusterWhoseNodesAreKilled$$' ./pkg/pipeline

.PHONY: smoke
smoke: build devserver ## Compile the benchmarks and run each once, without a figure
	@scripts/bench --smoke

.PHONY: bench
bench: build devserver ## Run the benchmarks; Markdown goes to docs/benchmarks/
	@scripts/bench
