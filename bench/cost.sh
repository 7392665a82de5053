#!/usr/bin/env bash
# What: what the agent itself takes: idle, by requests/s, by open connections, by processes. CPU in parts of one processor.
source "$(dirname "$0")/lib.sh"
cargo build --release --locked -q -p telegen
seconds=${SECONDS_A_ROUND:-5}
port=$(free_port); start_nginx "$port" 16384; url=http://127.0.0.1:$port/index.html
ulimit -n "$(ulimit -Hn)"
settings=('agent.traces.capture_budget=0' 'agent.discovery.exclude=[{exe: "*/h2load"}]')

load() { h2load --h1 -t1 -c"$1" -D "$seconds" --rps="$2" "$url" > "$work/load"; }
rss() { awk '/VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$agent_pid/status"; }
# Memory of the kernel half's maps and programs, MiB.
kernel_memory() { for f in /proc/"$agent_pid"/fdinfo/*; do awk '/^(map|prog)_id/ {id = $0} /^memlock/ {print id, $2}' "$f"; done 2>/dev/null | sort -u | awk '{s += $NF} END {printf "%.1f", s / 1048576}'; }
# Runs a command; gives the agent's CPU meanwhile, percent of a processor.
share() { local a b; a=$(cpu_ms "$agent_pid"); "$@"; b=$(cpu_ms "$agent_pid"); echo "$a $b $seconds" | awk '{printf "%.2f", ($2 - $1) / $3 / 10}'; }
idle_processes() { for _ in $(seq "$1"); do sleep 600 & idle+=($!); done; pids+=("${idle[@]}"); }

declare -a idle=()
idle_processes 200
start_agent
sleep 3
long=$((seconds * 6))
a=$(cpu_ms "$agent_pid"); sleep "$long"; b=$(cpu_ms "$agent_pid")
printf '%-44s %10s %14s %10s\n' "idle, no settings, 200 sleeping processes" "CPU %" "RSS MiB" "files"
printf '%-44s %10s %14s %10s\n' "" "$(echo "$a $b $long" | awk '{printf "%.2f", ($2 - $1) / $3 / 10}')" "$(rss)" "$(ls "/proc/$agent_pid/fd" | wc -l)"
printf '%-44s %s MiB\n' "program, stripped" "$(stat -c %s "$target/release/telegen" | awk '{printf "%.1f", $1 / 1048576}')"
stop_agent
kill "${idle[@]}"; wait "${idle[@]}" 2>/dev/null || true; idle=()

start_agent "${settings[@]}"
printf '\n%-44s %10s %14s %10s %10s\n' "requests/s over 32 connections" "CPU %" "s per 100,000" "RSS MiB" "kernel MiB"
for rate in 320 1600 3200 9984 19968; do
  cpu=$(share load 32 $((rate / 32)))
  printf '%-44s %10s %14s %10s %10s\n' "$rate" "$cpu" "$(echo "$cpu $rate" | awk '{printf "%.3f", $1 / 100 / $2 * 100000}')" "$(rss)" "$(kernel_memory)"
done
stop_agent

printf '\n%-44s %10s\n' "open connections, 5,000 requests/s over 10" "CPU %"
for open in 10 100 1000 10000; do
  start_agent "${settings[@]}"
  python3 - "$port" "$open" "$work/opened" <<'PY' & holder=$!
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
port, n = int(sys.argv[1]), int(sys.argv[2]) - 10
held = []
for _ in range(n):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"GET /index.html HTTP/1.1\r\nHost: bench\r\n\r\n")
    s.recv(4096)
    held.append(s)
open(sys.argv[3], "w").close()
time.sleep(600)
PY
  until [[ -e $work/opened ]]; do sleep 0.1; done
  sleep 2
  printf '%-44s %10s\n' "$open" "$(share load 10 500)"
  kill "$holder"; wait "$holder" 2>/dev/null || true; rm "$work/opened"
  stop_agent
done

printf '\n%-44s %10s\n' "idle processes, 5,000 requests/s over 10" "CPU %"
for n in 10 100 1000; do
  idle_processes "$n"
  start_agent "${settings[@]}"
  sleep 3
  printf '%-44s %10s\n' "$n" "$(share load 10 500)"
  stop_agent
  kill "${idle[@]}"; wait "${idle[@]}" 2>/dev/null || true; idle=()
done
