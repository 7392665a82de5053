#!/usr/bin/env bash
# What: requests/s where both ends of every request are traced and joined, beside one end traced and none; what joining costs, and how many were joined.
source "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-6}
cargo build --release --locked -q -p telegen
cost=$(cargo test --release --locked -q -p telegen-trace -p telegen-config --features telegen-trace/engine --lib -- --nocapture --exact tree::tests::of_many_requests_each_finds_its_other_end_and_its_parent)
port=$(free_port); start_nginx "$port"; nginx_url=http://127.0.0.1:$port/index.html
port=$(free_port); start_go "$port"; go_url=http://127.0.0.1:$port/echo

with_agent() { # ROW URL [ARGUMENT ...]: requests/s; what the agent says goes to $work/ROW.agent
  local row=$1 url=$2; shift 2
  local api; api=$(free_port)
  "$target/release/telegen" agent --set "server.listen=127.0.0.1:$api" --set 'agent.traces.capture_budget=0' \
    --set export.prometheus.enabled=true "$@" 2> "$work/agent" & local pid=$!
  until grep -q ready "$work/agent"; do sleep 0.05; done
  sleep 0.5
  local before; before=$(cpu "$pid")
  rate "$url"
  sleep 1.5
  curl -s "http://127.0.0.1:$api/metrics" > "$work/metrics"
  curl -s "http://127.0.0.1:$api/api/v1/ledger" > "$work/ledger"
  python3 - "$work" "$(awk '/VmRSS/ {print $2 / 1024}' "/proc/$pid/status")" "$(($(cpu "$pid") - before))" >> "$work/$row.agent" <<'PY'
import json, re, sys
work, rss, ticks = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
ledger = json.load(open(f"{work}/ledger"))["traces"]
lost = sum(sum(r.values()) for r in ledger["lost"].values())
joined = alone = 0
for line in open(f"{work}/metrics"):
    m = re.match(r"traces_service_graph_request_total\{(.*)\} (\d+)", line)
    if m:
        alone, joined = (alone + int(m[2]), joined) if "virtual_node" in m[1] else (alone, joined + int(m[2]))
spans = max(1, ledger["produced"])
print(f"RSS {rss:.0f} MiB, {ticks * 1e4 / spans:.2f} us of processor a span; joined {joined}, alone {alone}; spans {spans}, lost {lost}")
PY
  kill -TERM "$pid"; wait "$pid" || true
}

cpu() { awk '{print $14 + $15}' "/proc/$1/stat"; } # ticks of 10 ms

printf '%-7s %-22s %12s %7s\n' server row requests/s ratio
for server in nginx go; do
  url_name=${server}_url; url=${!url_name}
  rate "$url" > /dev/null
  rm -f "$work"/{plain,one,both}*
  for _ in $(seq "$rounds"); do
    plain=$(rate "$url"); one=$(with_agent one "$url" --set 'agent.discovery.exclude=[{exe: "*/wrk"}]')
    both=$(with_agent both "$url"); again=$(rate "$url")
    base=$(echo "$plain $again" | awk '{print ($1 + $2) / 2}')
    echo "$base" >> "$work/plain"
    for row in one both; do
      echo "${!row}" >> "$work/$row.rate"; echo "${!row} $base" | awk '{print $1 / $2}' >> "$work/$row"
    done
  done
  printf '%-7s %-22s %12.0f %7s\n' "$server" "without" "$(median < "$work/plain")" 1
  printf '%-7s %-22s %12.0f %7.3f\n' "$server" "one end traced" "$(median < "$work/one.rate")" "$(median < "$work/one")"
  printf '%-7s %-22s %12.0f %7.3f\n' "$server" "both ends traced" "$(median < "$work/both.rate")" "$(median < "$work/both")"
  echo "        one end:   $(tail -n 1 "$work/one.agent")"
  echo "        both ends: $(tail -n 1 "$work/both.agent")"
done
grep -F 'ns a request' <<< "$cost"
