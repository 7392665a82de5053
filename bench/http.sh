#!/usr/bin/env bash
# What: nginx and a Go server under full and half load: untraced, with the kernel half alone, with the whole agent. Ratios of interleaved rounds.
source "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-6}
cargo build --release --locked -q -p telegen
cargo build --release --locked -q -p telegen-bpf --example discard --example toggle
port=$(free_port); start_nginx "$port"; nginx_url=http://127.0.0.1:$port/index.html; nginx_pid=$server_pid
port=$(free_port); start_go "$port"; go_url=http://127.0.0.1:$port/echo; go_pid=$server_pid
settings=('agent.traces.capture_budget=0' 'agent.discovery.exclude=[{exe: "*/wrk"}, {exe: "*/h2load"}]')

with_kernel_half() { # URL
  : > "$work/discard"
  "$target/release/examples/discard" 600 /wrk > "$work/discard" & local pid=$!
  # Until it is attached the verifier has a processor to itself.
  until grep -q attached "$work/discard"; do sleep 0.05; done
  sleep 0.3; rate "$1"; kill "$pid"; wait "$pid" 2>/dev/null || true
}
# The kernel half attached and detached in turn within one run: what differs from run to run falls on both.
in_turn() { # SECONDS URL
  : > "$work/toggle"
  "$target/release/examples/toggle" "$1" /wrk > "$work/toggle" & local pid=$!
  until grep -q attached "$work/toggle"; do sleep 0.05; done
  sleep 0.3; wrk -t1 -c32 -d"$(($1 + 2))" "$2" > /dev/null; wait "$pid"
  tail -n 1 "$work/toggle" | awk '{print $6}'
}
with_agent() { # URL
  start_agent "${settings[@]}"
  rate "$1"
  sleep 1
  { awk '/VmRSS/ {print $2 / 1024}' "/proc/$agent_pid/status"; curl -s "http://127.0.0.1:$api/api/v1/ledger" | python3 -c '
import json, sys
t = json.load(sys.stdin)["traces"]
print(t["produced"], sum(sum(r.values()) for r in t["lost"].values()))'; } > "$work/last"
  stop_agent
}
# Requests at a fixed rate over 32 connections: their 99th percentile (us) and what they cost the server (us each).
at_rate() { # URL RATE SERVER
  local before after
  rm -f "$work/times" # h2load appends
  before=$(cpu_ms "$3")
  h2load --h1 -t1 -c32 -D "${SECONDS_A_ROUND:-3}" --rps=$(($2 / 32)) --log-file="$work/times" "$1" > /dev/null
  after=$(cpu_ms "$3")
  sort -n -k3 "$work/times" | awk -v cpu="$(echo "$after $before" | awk '{print ($1 - $2) * 1000}')" \
    '{v[NR] = $3} END {print v[int(NR * 0.99)], cpu / NR}'
}
row() { printf '%-7s %-28s %12.1f %7.3f\n' "$@"; }

printf '%-7s %-28s %12s %7s\n' server row value ratio
for server in nginx go; do
  url_name=${server}_url; url=${!url_name}; pid_name=${server}_pid; pid=${!pid_name}
  rate "$url" > /dev/null
  for f in kernel whole plain kernel.rate whole.rate p99 p99.with cpu cpu.with; do : > "$work/$f"; done
  for _ in $(seq "$rounds"); do
    plain=$(rate "$url"); kernel=$(with_kernel_half "$url")
    whole=$(with_agent "$url" 3>&1); again=$(rate "$url")
    base=$(echo "$plain $again" | awk '{print ($1 + $2) / 2}')
    echo "$base" >> "$work/plain"; echo "$kernel" >> "$work/kernel.rate"; echo "$whole" >> "$work/whole.rate"
    ratio "$kernel" "$base" >> "$work/kernel"; ratio "$whole" "$base" >> "$work/whole"
  done
  half=$(median < "$work/plain" | awk '{print int($1 / 2)}')
  for _ in $(seq "$rounds"); do
    read -r p99 cpu < <(at_rate "$url" "$half" "$pid")
    start_agent "${settings[@]}"
    read -r p99_with cpu_with < <(at_rate "$url" "$half" "$pid")
    stop_agent
    echo "$p99" >> "$work/p99"; echo "$cpu" >> "$work/cpu"
    ratio "$p99_with" "$p99" >> "$work/p99.with"; ratio "$cpu_with" "$cpu" >> "$work/cpu.with"
  done
  row "$server" "requests/s without" "$(median < "$work/plain")" 1
  row "$server" "  kernel half only" "$(median < "$work/kernel.rate")" "$(median < "$work/kernel")"
  on_and_off=$(in_turn "${TURNS_SECONDS:-20}" "$url")
  row "$server" "  kernel half, on and off" "$(echo "$(median < "$work/plain") $on_and_off" | awk '{print $1 * $2}')" "$on_and_off"
  row "$server" "  whole agent" "$(median < "$work/whole.rate")" "$(median < "$work/whole")"
  row "$server" "half rate: p99, us, without" "$(median < "$work/p99")" 1
  row "$server" "  whole agent" "$(echo "$(median < "$work/p99") $(median < "$work/p99.with")" | awk '{print $1 * $2}')" "$(median < "$work/p99.with")"
  row "$server" "half rate: server CPU, us" "$(median < "$work/cpu")" 1
  row "$server" "  whole agent" "$(echo "$(median < "$work/cpu") $(median < "$work/cpu.with")" | awk '{print $1 * $2}')" "$(median < "$work/cpu.with")"
  echo "        agent under full load: RSS $(sed -n 1p "$work/last") MiB; requests produced, lost: $(sed -n 2p "$work/last")"
done
