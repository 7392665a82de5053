#!/usr/bin/env bash
# What: what the page costs the agent: ns a span that it looks at, ms a reading of all metrics, memory.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked -q -p telegen-view --example cost
for rate in 1000 20000 100000; do "${CARGO_TARGET_DIR:-target}/release/examples/cost" "$rate"; done
