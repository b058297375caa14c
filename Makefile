# Leno's everyday commands. `make demo` and `make test` work on a fresh Debian 12 with a Rust toolchain.
.PHONY: demo test unit e2e field bench tidy packages-demo packages-test packages-bench packages-field

demo: packages-demo
	cargo build --release --locked -p leno
	./target/release/leno demo

test: unit e2e

unit:
	cargo test --workspace --locked --exclude leno

# End-to-end: real processes in network namespaces, at most two labs at a time.
e2e: packages-test
	cargo build --profile e2e --locked -p leno -p leno-proxy
	cargo test --profile e2e --locked -p leno --test it -- --test-threads=2

# What users of other proxies met, against the release binary. FIELD_DIR is the folder of the scripts.
field: packages-field
	cargo build --release --locked -p leno
	.ci/field

bench: packages-bench
	cargo build --release --locked -p leno -p leno-proxy -p bench
	./target/release/bench http1
	./target/release/bench routes
	./target/release/bench world

tidy:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo xtask tidy

packages-demo:
	@.ci/packages nftables curl

packages-test:
	@.ci/packages nftables curl

packages-bench:
	@.ci/packages wrk nginx-light haproxy strace python3-venv

packages-field:
	@.ci/packages nftables curl util-linux python3-venv
