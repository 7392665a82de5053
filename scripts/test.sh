#!/usr/bin/env bash
# Every test, in the order in which a failure says most: style, units and real programs, the other build.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log" "$log.page" "$log.guest"' EXIT

echo "== format"
cargo fmt --all --check
echo "== lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
echo "== tests"
scripts/kafka.sh || echo "SKIPPED Apache Kafka: it could not be fetched"
status=0
cargo test --workspace --locked --no-fail-fast -- --nocapture > "$log" 2>&1 || status=$?
grep -E '^(test |test result|error|SKIPPED|failures:|thread .* panicked|     Running)' "$log" || true
if ((status != 0)); then
  grep -A 15 'panicked at' "$log" | head -200
fi
echo "== page"
if command -v npm >/dev/null && command -v "${CHROMIUM:-chromium}" >/dev/null; then
  (cd tests/page && npm ci --silent --no-audit --no-fund && npm test --silent) > "$log.page" 2>&1 || status=$?
  grep -E '^(ℹ|#|not ok|✖)' "$log.page" || tail -n 20 "$log.page"
else
  echo "SKIPPED page: needs npm and Chromium" | tee -a "$log"
fi
echo "== other kernels"
tests/kernels/run.sh "${CARGO_TARGET_DIR:-target}/debug/telegen" > "$log.guest" 2>&1 || status=$?
grep -aE '^guest|SKIPPED' "$log.guest" || tail -n 40 "$log.guest"
grep -a SKIPPED "$log.guest" >> "$log" || true
echo "== collector-only build"
cargo build --locked -p telegen --no-default-features --features collector

skipped=$(grep -c 'SKIPPED' "$log" || true)
passed=$(awk '/^test result:/ {p += $4} END {print p + 0}' "$log")
failed=$(awk '/^test result:/ {f += $6} END {print f + 0}' "$log")
echo "tests, or parts of them, that could not run here: $skipped"
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
