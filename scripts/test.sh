#!/usr/bin/env bash
# Every test, in the order in which a failure says most: style, units, other builds, real programs, other kernels.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== format"
cargo fmt --all --check
echo "== lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
echo "== unit and integration tests"
cargo test --workspace --locked -- --nocapture 2>&1 | tee "${TMPDIR:-/tmp}/telegen-test.log" | grep -vE '^(running 0 tests|$)'
echo "== collector-only build"
cargo build --locked -p telegen --no-default-features --features collector
skipped=$(grep -c '^SKIPPED' "${TMPDIR:-/tmp}/telegen-test.log" || true)
grep '^SKIPPED' "${TMPDIR:-/tmp}/telegen-test.log" || true
passed=$(awk '/^test result:/ {p += $4} END {print p + 0}' "${TMPDIR:-/tmp}/telegen-test.log")
failed=$(awk '/^test result:/ {f += $6} END {print f + 0}' "${TMPDIR:-/tmp}/telegen-test.log")
echo "tests that cannot run here: $skipped"
echo "$passed passed, $failed failed, $skipped skipped"
