# Every target here is one that CI runs, so that "it works here" means the same
# for everybody. `make help` lists them.

SHELL := bash
GO ?= go
PACKAGES := ./...
export GOFLAGS := -buildvcs=false

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: demo
demo: build devserver ## Load a synthetic chain into PostgreSQL, verify it and show rows
	@scripts/demo

.PHONY: build
build: ## Build the product's commands into bin/ (static, no C compiler needed)
	CGO_ENABLED=0 GOWORK=off $(GO) build -trimpath -ldflags "-s -w $$(scripts/stamp)" -o bin/ ./cmd/...

.PHONY: devserver
devserver: ## Build the development Amp server into bin/ (needs a C compiler)
	cd devserver && CGO_ENABLED=1 $(GO) build -trimpath -o ../bin/devserver .

.PHONY: test
test: build devserver ## Run every test with real servers (PostgreSQL: DATABASE_URL, or a private one)
	@scripts/test

.PHONY: race
race: ## Run the tests under the race detector (not the end-to-end ones: they run the built commands)
	@WITHOUT='/pkg/pipeline$$' scripts/test -race

MODEL_SECONDS ?= 600
.PHONY: model
model: ## Random chains, forks, kills and deliveries, for MODEL_SECONDS (600); MODEL_SEED repeats a round
	AMPIPE_MODEL_SECONDS=$(MODEL_SECONDS) AMPIPE_MODEL_SEED=$(MODEL_SEED) scripts/deltalake run scripts/redis run scripts/postgres run \
		$(GO) test -count=1 -timeout $$(( $(MODEL_SECONDS) + 600 ))s -v -run '^TestModel$$' ./pkg/pipeline

.PHONY: deploytest
deploytest: build devserver ## Test what is shipped in deploy/ and docker-compose.yml
	cd deploy/deploytest && GOWORK=off AMPIPE_BIN=$(CURDIR)/bin $(GO) test -count=1 -timeout 15m ./...
	cd deploy/release && GOWORK=off $(GO) test -count=1 -timeout 15m ./...

.PHONY: release
release: ## Make archives, bills of materials and checksums of this commit in dist/
	cd deploy/release && GOWORK=off $(GO) run . -out $(CURDIR)/dist

.PHONY: notices
notices: ## Write THIRD_PARTY_NOTICES, after a module was added, removed or updated
	cd deploy/release && GOWORK=off $(GO) run . -notices write

.PHONY: lint
lint: ## Formatting, vet, staticcheck, tidy modules
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(PACKAGES)
	cd devserver && $(GO) vet ./...
	cd deploy/deploytest && GOWORK=off $(GO) vet ./...
	cd deploy/release && GOWORK=off $(GO) vet ./...
	GOWORK=off $(GO) vet -tags docs ./cmd/...
	$(GO) build -o bin/ honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck $(PACKAGES)
	cd devserver && ../bin/staticcheck ./...
	cd deploy/deploytest && GOWORK=off ../../bin/staticcheck ./...
	cd deploy/release && GOWORK=off ../../bin/staticcheck ./...
	GOWORK=off $(GO) mod tidy -diff
	cd devserver && GOWORK=off $(GO) mod tidy -diff
	cd deploy/deploytest && GOWORK=off $(GO) mod tidy -diff
	cd deploy/release && GOWORK=off $(GO) mod tidy -diff
	cd deploy/release && GOWORK=off $(GO) run . -notices check
	bash -n scripts/* .ci/run

.PHONY: bench
bench: build devserver ## Run the benchmarks; Markdown goes to docs/benchmarks/
	@scripts/bench
