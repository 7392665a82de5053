#!/usr/bin/env bash
# Every test, in the order in which a failure says most: style, units and real programs, the other build.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log" "$log.page" "$log.guest" "$log.again"' EXIT

# What hangs is ended, so that the rest is still asked and a verdict is printed. Seconds.
limit() { timeout --kill-after=20 "$@"; }

echo "== format"
cargo fmt --all --check
echo "== lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
echo "== tests"
limit 600 scripts/kafka.sh || echo "SKIPPED Apache Kafka: it could not be fetched"
limit 900 scripts/peers.sh || echo "SKIPPED peers: they could not be built"
status=0
limit 2700 cargo test --workspace --locked --no-fail-fast -- --nocapture > "$log" 2>&1 || status=$?
grep -E '^(test |test result|error|SKIPPED|failures:|thread .* panicked|     Running)' "$log" || true
again=0
if ((status != 0)); then
  grep -A 15 'panicked at' "$log" | head -200 || true
  # What failed is asked once more, alone: the machine may have been too busy. That it happened is told and counted.
  mapfile -t failed_tests < <(awk '/^failures:$/ {f = 1; next} /^test result:/ {f = 0} f && /^    [A-Za-z0-9_:]+$/ {print $1}' "$log" | sort -u)
  if ((${#failed_tests[@]} > 0 && ${#failed_tests[@]} <= 5)); then
    echo "== asked once more: ${failed_tests[*]}"
    again=${#failed_tests[@]}
    status=0
    limit 900 cargo test --workspace --locked --no-fail-fast -- --nocapture --exact "${failed_tests[@]}" > "$log.again" 2>&1 || status=$?
    grep -E '^test .*(ok|FAILED)$|panicked at' "$log.again" || true
    ((status == 0)) || grep -A 15 'panicked at' "$log.again" | head -200 || true
  fi
fi
echo "== page"
if command -v npm >/dev/null && command -v "${CHROMIUM:-chromium}" >/dev/null; then
  page() { (cd tests/page && limit 300 npm ci --silent --no-audit --no-fund && limit 900 npm test --silent) > "$log.page" 2>&1; }
  page || { grep -E -A 12 '^(not ok|✖)|has not ended' "$log.page" || tail -n 20 "$log.page"; echo "== the page is asked once more"; again=$((again + 1)); page; } || status=$?
  grep -E '^(ℹ|# [a-z]|not ok|✖)' "$log.page" || tail -n 20 "$log.page"
else
  echo "SKIPPED page: needs npm and Chromium" | tee -a "$log"
fi
echo "== other kernels"
limit 900 tests/kernels/run.sh "${CARGO_TARGET_DIR:-target}/debug/telegen" > "$log.guest" 2>&1 || status=$?
grep -aE '^guest|SKIPPED' "$log.guest" || tail -n 40 "$log.guest"
grep -a SKIPPED "$log.guest" >> "$log" || true
echo "== collector-only build"
cargo build --locked -p telegen --no-default-features --features collector

skipped=$(grep -c 'SKIPPED' "$log" || true)
passed=$(awk '/^test result:/ {p += $4} END {print p + 0}' "$log")
failed=$(awk '/^test result:/ {f += $6} END {print f + 0}' "$([[ -s $log.again ]] && echo "$log.again" || echo "$log")")
((again == 0)) || echo "tests that passed only when asked once more, or failed twice: $again"
echo "tests, or parts of them, that could not run here: $skipped"
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
