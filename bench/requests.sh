#!/usr/bin/env bash
# What: what a request costs the agent's user half, from the kernel half's record to the exporters: one end traced, then both.
source "$(dirname "$0")/lib.sh"
cargo build --release --locked -q -p telegen --example requests
for ends in served both; do
  for sink in none view otlp json; do
    "$target/release/examples/requests" "${SECONDS_A_ROUND:-3}" "$ends" "$sink"
  done
done
