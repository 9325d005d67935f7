# `make help` lists what can be made. Everything needs only Go and Git.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
BIN ?= bin
FUZZTIME ?= 30s
GOLANGCI_LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/holdfast
	$(GO) build -trimpath -ldflags '-s -w' -o $(BIN)/holdfast ./cmd/holdfast

.PHONY: test
test: ## run all tests, a real API server included
	$(GO) build ./...
	$(GO) test ./...

.PHONY: race
race: ## run all tests with the race detector
	$(GO) build ./...
	$(GO) test -race -timeout 30m ./...

.PHONY: check
check: vet lint generated test ## all that a change has to pass
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'make fmt first:'; gofmt -l $$(git ls-files '*.go'); exit 1; }

.PHONY: fmt
fmt: ## format the Go files
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

.PHONY: vet
vet: ## run go vet
	$(GO) vet ./...

.PHONY: lint
lint: ## run golangci-lint at its pinned version
	$(GOLANGCI_LINT) run ./...

.PHONY: generate
generate: ## make the generated files (config/crd, zz_*) anew
	$(GO) generate ./...

.PHONY: generated
generated: generate ## fail when the generated files are not what generating makes
	git diff --exit-code -- config/crd ':(glob)**/zz_*'

.PHONY: bench
bench: ## measure delivery; see docs/performance.md
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./test/bench/...

.PHONY: fuzz
fuzz: ## run every fuzz test for FUZZTIME (30s)
	@for package in $$($(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do \
		for target in $$($(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

.PHONY: demo
demo: ## start a cluster, deliver the example platform and keep it there
	$(GO) run ./cmd/holdfast up --demo
