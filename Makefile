# make run    build Samvad, place a real call to the demo agent, then keep serving
# make test   every check and test, with the real peers they need
# make bench  criterion benches and the load figures of docs/performance.md

SHELL := /bin/bash
CARGO ?= cargo

BUILD_PACKAGES := build-essential cmake pkg-config libopus-dev flite1-dev libpocketsphinx-dev libsphinxbase-dev
RUN_PACKAGES := pocketsphinx-en-us
TEST_PACKAGES := baresip-core sip-tester procps postgresql python3-venv chromium

.PHONY: bench-api schemathesis python-peers run test packages test-packages provider-sdks fmt lint doc unit console bench

run: packages
	@echo "==> building samvad in release mode (the first build compiles about 300 crates: ten minutes on two cores, seconds after that)"
	@$(CARGO) build --release --locked -p control
	@$(CARGO) run --release --locked --quiet -p control -- demo $(if $(ONCE),--once)

test: test-packages provider-sdks python-peers fmt lint doc unit console

packages:
	@.ci/install-packages $(BUILD_PACKAGES) $(RUN_PACKAGES)

test-packages: packages
	@.ci/install-packages $(TEST_PACKAGES)
	@.ci/install-schemathesis
	@.ci/install-browser-sdk
	@.ci/install-livekit-python

schemathesis:
	@.ci/install-schemathesis

provider-sdks: test-packages
	@.ci/provider-sdks

python-peers: test-packages
	@.ci/python-peers

fmt:
	@echo "==> format"
	@$(CARGO) fmt --all --check

lint:
	@echo "==> lints, and the sans-IO cores without their drivers"
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(CARGO) clippy --locked -p media -p sip --no-default-features -- -D warnings

doc:
	@echo "==> documentation"
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --quiet

unit:
	@echo "==> tests, calls by real peers included"
	@$(CARGO) test --locked --workspace

console: unit
	@echo "==> console: built files against sources, and its story in a browser"
	@.ci/console --story

bench: packages
	@$(CARGO) bench --locked -p benches

# The API beside a FastAPI peer; the figures of docs/performance.md
bench-api: test-packages
	@.ci/install-fastapi
	@$(CARGO) build --release --locked -p control
	@$(CARGO) run --release --locked -p benches --bin api_load
