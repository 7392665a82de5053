#!/usr/bin/env bash
# What: requests/s of nginx and a Go server: untraced, with the kernel half alone, with the whole agent. Ratios of interleaved rounds.
source "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-6}
cargo build --release --locked -q -p telegen
cargo build --release --locked -q -p telegen-bpf --example discard
port=$(free_port); start_nginx "$port"; nginx_url=http://127.0.0.1:$port/index.html
port=$(free_port); start_go "$port"; go_url=http://127.0.0.1:$port/echo

with_kernel_half() { # URL
  "$target/release/examples/discard" 600 /wrk > "$work/discard" & local pid=$!
  # Until it is attached the verifier has a processor to itself.
  until grep -q attached "$work/discard"; do sleep 0.05; done
  sleep 0.3; rate "$1"; kill "$pid"; wait "$pid" 2>/dev/null || true
}
with_agent() { # URL
  "$target/release/telegen" agent --set "server.listen=127.0.0.1:$api" --set 'agent.traces.capture_budget=0' \
    --set 'agent.discovery.exclude=[{exe: "*/wrk"}]' 2> "$work/agent" & local pid=$!
  until grep -q ready "$work/agent"; do sleep 0.05; done
  sleep 0.5; rate "$1"
  sleep 1
  { awk '/VmRSS/ {print $2 / 1024}' "/proc/$pid/status"; curl -s "http://127.0.0.1:$api/api/v1/ledger" | python3 -c '
import json, sys
t = json.load(sys.stdin)["traces"]
print(t["produced"], sum(sum(r.values()) for r in t["lost"].values()))'; } > "$work/last"
  kill -TERM "$pid"; wait "$pid" || true
}

printf '%-7s %-22s %12s %7s\n' server row requests/s ratio
for server in nginx go; do
  url_name=${server}_url; url=${!url_name}
  rate "$url" > /dev/null
  : > "$work/kernel"; : > "$work/whole"; : > "$work/plain"; : > "$work/kernel.rate"; : > "$work/whole.rate"
  for _ in $(seq "$rounds"); do
    api=$(free_port)
    plain=$(rate "$url"); kernel=$(with_kernel_half "$url"); whole=$(with_agent "$url"); again=$(rate "$url")
    base=$(echo "$plain $again" | awk '{print ($1 + $2) / 2}')
    echo "$base" >> "$work/plain"; echo "$kernel" >> "$work/kernel.rate"; echo "$whole" >> "$work/whole.rate"
    echo "$kernel $base" | awk '{print $1 / $2}' >> "$work/kernel"
    echo "$whole $base" | awk '{print $1 / $2}' >> "$work/whole"
  done
  printf '%-7s %-22s %12.0f %7s\n' "$server" "without" "$(median < "$work/plain")" 1
  printf '%-7s %-22s %12.0f %7.3f\n' "$server" "kernel half only" "$(median < "$work/kernel.rate")" "$(median < "$work/kernel")"
  printf '%-7s %-22s %12.0f %7.3f\n' "$server" "whole agent" "$(median < "$work/whole.rate")" "$(median < "$work/whole")"
  echo "        agent: RSS $(sed -n 1p "$work/last") MiB; requests produced, lost: $(sed -n 2p "$work/last")"
done
