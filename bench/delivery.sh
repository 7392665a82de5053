#!/usr/bin/env bash
# What: CPU seconds per million records from OTLP/gRPC to OTLP/gRPC (spans, logs; none, zstd, gzip), RSS, and the disk queue beside dd; rotel beside Telegen.
source "$(dirname "$0")/lib.sh"
records=${RECORDS:-1000000}
cargo build --release --locked -q -p telegen
cargo build --release --locked -q -p telegen-testkit --bins
rotel=${ROTEL:-}
if [[ -z $rotel ]] && python3 -m venv "$work/venv" 2>/dev/null && "$work/venv/bin/pip" -q install rotel 2>/dev/null; then
  rotel=$(find "$work/venv" -name rotel-agent -type f | head -1)
fi
[[ -n $rotel ]] || echo "SKIPPED rotel beside Telegen: it could not be installed" >&2

sink_port=$(free_port)
"$target/release/otlp-sink" --grpc "127.0.0.1:$sink_port" --count-only > "$work/sink" & pids+=($!)
wait_port "$sink_port"

cpu() { awk '{print ($14 + $15) / 100}' "/proc/$1/stat"; }
peak() { awk '/VmHWM/ {print int($2 / 1024)}' "/proc/$1/status"; }

# NAME PID PORT SIGNAL PACK: sends, waits until the process is quiet, prints a row.
measure() {
  local name=$1 pid=$2 port=$3 signal=$4 pack=$5 before after line idle
  "$target/release/otlp-load" --to "127.0.0.1:$port" --signal "$signal" --pack "$pack" --records 20000 > /dev/null
  sleep 1.5
  before=$(cpu "$pid")
  line=$("$target/release/otlp-load" --to "127.0.0.1:$port" --signal "$signal" --pack "$pack" --records "$records")
  # Until what is queued has left.
  idle=0; after=$(cpu "$pid")
  while ((idle < 3)); do
    sleep 0.5
    if [[ $(awk -v a="$(cpu "$pid")" -v b="$after" 'BEGIN {print (a - b < 0.06)}') == 1 ]]; then idle=$((idle + 1)); else idle=0; fi
    after=$(cpu "$pid")
  done
  python3 - "$name" "$signal" "$pack" "$before" "$after" "$(peak "$pid")" "$line" <<'PY'
import json, sys
name, signal, pack, before, after, rss, line = sys.argv[1:]
l = json.loads(line)
cpu = (float(after) - float(before)) * 1e6 / l["records"]
print(f'{name:22} {signal:7} {pack:5} {l["bytes_a_record"]:8} {cpu:10.2f} {l["records"] / l["seconds"]:12.0f} {rss:8}')
PY
}

telegen() { # PACK QUEUE
  local queue=""
  [[ -z $2 ]] || queue="queue: { path: $2, fsync: 100ms, when_full: block, max_size: 8GiB }"
  cat > "$work/telegen.yaml" <<CONF
server: { listen: 127.0.0.1:$(free_port) }
receive: { otlp: { grpc: 127.0.0.1:$port } }
export: { otlp: { endpoint: http://127.0.0.1:$sink_port, compression: $1, $queue } }
CONF
  "$target/release/telegen" collector --config "$work/telegen.yaml" 2> "$work/log" & pid=$!
  until grep -q ready "$work/log"; do sleep 0.05; done
}

printf '%-22s %-7s %-5s %8s %10s %12s %8s\n' program signal pack 'B/record' 'CPU s/M' records/s 'RSS MB'
for pack in none zstd gzip; do
  for signal in traces logs; do
    port=$(free_port); telegen "$pack" ""
    measure telegen "$pid" "$port" "$signal" "$pack"
    kill "$pid"; wait "$pid" 2>/dev/null || true
    if [[ -n $rotel && $pack != zstd ]]; then
      port=$(free_port); http=$(free_port)
      "$rotel" start --exporter otlp --otlp-grpc-endpoint "127.0.0.1:$port" --otlp-http-endpoint "127.0.0.1:$http" \
        --otlp-exporter-endpoint "http://127.0.0.1:$sink_port" --otlp-exporter-protocol grpc \
        --otlp-exporter-compression "$pack" > "$work/rotel" 2>&1 & pid=$!
      if (wait_port "$port") 2>/dev/null && measure rotel "$pid" "$port" "$signal" "$pack"; then :; else echo "SKIPPED rotel $signal $pack: $(tail -1 "$work/rotel")" >&2; fi
      kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true
    fi
  done
done
port=$(free_port); telegen none "$work/queue"
measure 'telegen, disk queue' "$pid" "$port" logs none
kill "$pid"; wait "$pid" 2>/dev/null || true
