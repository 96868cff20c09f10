# The commands of this repository. `make help` lists them.

# Queries are checked against `.sqlx`, so nothing here needs a database to compile.
export SQLX_OFFLINE = true

.DEFAULT_GOAL := help
.PHONY: help demo test build bench sqlx bootstrap

help: ## Lists these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: bootstrap ## Shows both parties at work on this machine (KEEP=1 leaves them running)
	cargo build --workspace --bins
	target/debug/demo $(if $(KEEP),--keep)

# One selection of targets for the build and the tests, so that nothing is compiled twice.
test: bootstrap ## Format, lints, licences, build and every test; DATABASE_URL names a server to use instead of a private one
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then echo cargo deny check; cargo deny check; \
	else echo "cargo-deny is not installed: licences and advisories are not checked (cargo install cargo-deny)"; fi
	cargo build --workspace --all-targets
	cargo test --workspace

build: bootstrap ## The optimised programs, in target/release
	cargo build --workspace --bins --release

bench: bootstrap ## How much it carries on this machine, optimised
	cargo build --workspace --bins --release
	target/release/bench all

sqlx: bootstrap ## Renews .sqlx after a change to a query or a migration
	.ci/sqlx

bootstrap: ## Installs what the build needs and this machine lacks
	@.ci/bootstrap
