#!/usr/bin/env bash
# What: OTLP/gRPC to OTLP/gRPC: CPU seconds per million records, RSS, 1 to 64 sources; the disk queue beside dd, a restart on a full queue. Beside Telegen: rotel, the Collector.
# RECORDS (1000000), RATE (100000 records a second for the sources), ROUNDS (5 for the sources), ROWS ("forward sources disk restart"), PACKS ("none zstd gzip"), RESTART_GB (10) choose what is measured.
source "$(dirname "$0")/lib.sh"
records=${RECORDS:-1000000}
rows=" ${ROWS:-forward sources disk restart} "
cargo build --release --locked -q -p telegen
cargo build --release --locked -q -p telegen-testkit --bins
cargo build --release --locked -q -p telegen-buffer --example fill
rotel=${ROTEL:-}
if [[ $rows == *" forward "* && -z $rotel ]] && python3 -m venv "$work/venv" 2>/dev/null && "$work/venv/bin/pip" -q install rotel 2>/dev/null; then
  rotel=$(find "$work/venv" -name rotel-agent -type f | head -1)
fi
[[ -n $rotel || $rows != *" forward "* ]] || echo "SKIPPED rotel beside Telegen: it could not be installed" >&2
collector=$target/peers/collector
[[ $rows != *" forward "* && $rows != *" sources "* ]] || scripts/peers.sh collector
[[ -x $collector ]] || collector=

sink_port=$(free_port)
"$target/release/otlp-sink" --grpc "127.0.0.1:$sink_port" --count-only > "$work/sink" & pids+=($!)
wait_port "$sink_port"

cpu() { awk '{print ($14 + $15) / 100}' "/proc/$1/stat"; }
peak() { awk '/VmHWM/ {print int($2 / 1024)}' "/proc/$1/status"; }
stop() { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }

# NAME PID PORT SIGNAL PACK [MORE...]: sends, waits until the process is quiet, prints a row. The last figure is what it
# cost to open the connections, which the cost of the records does not have in it.
measure() {
  local name=$1 pid=$2 port=$3 signal=$4 pack=$5 closed before after line idle load
  shift 5
  "$target/release/otlp-load" --to "127.0.0.1:$port" --signal "$signal" --pack "$pack" --records 20000 "$@" > /dev/null
  sleep 1.5
  rm -f "$work/go" "$work/line"; mkfifo "$work/go"; : > "$work/line"
  closed=$(cpu "$pid")
  "$target/release/otlp-load" --to "127.0.0.1:$port" --signal "$signal" --pack "$pack" --records "$records" --wait "$@" \
    < "$work/go" > "$work/line" & load=$!
  exec 9> "$work/go"
  until grep -q open "$work/line"; do kill -0 "$load" || exit 1; sleep 0.02; done
  sleep 0.5
  before=$(cpu "$pid")
  echo >&9; wait "$load"; exec 9>&-
  line=$(tail -n 1 "$work/line")
  # Until what is queued has left.
  idle=0; after=$(cpu "$pid")
  while ((idle < 3)); do
    sleep 0.5
    if [[ $(awk -v a="$(cpu "$pid")" -v b="$after" 'BEGIN {print (a - b < 0.06)}') == 1 ]]; then idle=$((idle + 1)); else idle=0; fi
    after=$(cpu "$pid")
  done
  python3 - "$name" "$signal" "$pack" "$closed" "$before" "$after" "$(peak "$pid")" "$line" <<'PY'
import json, sys
name, signal, pack, closed, before, after, rss, line = sys.argv[1:]
l, opening = json.loads(line), float(before) - float(closed)
cpu = (float(after) - float(before)) * 1e6 / l["records"]
print(f'{name:22} {signal:7} {pack:5} {l["bytes_a_record"]:8} {cpu:10.2f} {l["records"] / l["seconds"]:12.0f} {rss:8} {opening * 1000:8.0f}')
PY
}

telegen() { # PACK QUEUE [MORE]
  local queue=""
  [[ -z $2 ]] || queue="queue: { path: $2, fsync: 100ms, when_full: block, max_size: 16GiB }"
  cat > "$work/telegen.yaml" <<CONF
server: { listen: 127.0.0.1:$(free_port) }
receive: { otlp: { grpc: 127.0.0.1:$port } }
export: { otlp: { endpoint: http://127.0.0.1:${3:-$sink_port}, compression: $1, $queue } }
CONF
  "$target/release/telegen" collector --config "$work/telegen.yaml" 2> "$work/log" & pid=$!
  until grep -q ready "$work/log"; do sleep 0.01; done
}

the_collector() { # PACK
  cat > "$work/collector.yaml" <<CONF
receivers: { otlp: { protocols: { grpc: { endpoint: 127.0.0.1:$port } } } }
processors: { batch: {} }
exporters: { otlp_grpc: { endpoint: 127.0.0.1:$sink_port, tls: { insecure: true }, compression: $1 } }
service:
  telemetry: { metrics: { level: none }, logs: { level: error } }
  pipelines:
    traces: { receivers: [otlp], processors: [batch], exporters: [otlp_grpc] }
    logs: { receivers: [otlp], processors: [batch], exporters: [otlp_grpc] }
CONF
  "$collector" --config "$work/collector.yaml" > "$work/collector.log" 2>&1 & pid=$!
}

head_row() { printf '%-22s %-7s %-5s %8s %10s %12s %8s %8s\n' program signal pack 'B/record' 'CPU s/M' records/s 'RSS MB' 'open ms'; }

if [[ $rows == *" forward "* ]]; then
  head_row
  for pack in ${PACKS:-none zstd gzip}; do
    for signal in traces logs; do
      port=$(free_port); telegen "$pack" ""
      measure telegen "$pid" "$port" "$signal" "$pack"
      stop "$pid"
      if [[ -n $rotel && $pack != zstd ]]; then
        port=$(free_port); http=$(free_port)
        "$rotel" start --exporter otlp --otlp-grpc-endpoint "127.0.0.1:$port" --otlp-http-endpoint "127.0.0.1:$http" \
          --otlp-exporter-endpoint "http://127.0.0.1:$sink_port" --otlp-exporter-protocol grpc \
          --otlp-exporter-compression "$pack" > "$work/rotel" 2>&1 & pid=$!
        if (wait_port "$port") 2>/dev/null && measure rotel "$pid" "$port" "$signal" "$pack"; then :; else echo "SKIPPED rotel $signal $pack: $(tail -1 "$work/rotel")" >&2; fi
        stop "$pid"
      fi
      if [[ -n $collector ]]; then
        port=$(free_port); the_collector "$pack"
        if (wait_port "$port") 2>/dev/null && measure collector "$pid" "$port" "$signal" "$pack"; then :; else echo "SKIPPED collector $signal $pack: $(tail -1 "$work/collector.log")" >&2; fi
        stop "$pid"
      fi
    done
  done
fi

if [[ $rows == *" sources "* ]]; then
  [[ $rows == *" forward "* ]] || head_row
  # Rounds, each in another order, and the median of each count: what the machine does meanwhile moves single rows by a quarter.
  counts=(1 8 64)
  for ((round = 0; round < ${ROUNDS:-5}; round++)); do
    for n in 0 1 2; do
      sources=${counts[(n + round) % 3]}
      port=$(free_port); telegen none ""
      # The same requests at the same times whoever sends them: at full speed one connection hands over several with one
      # read, and more of them would be refused and read again.
      many=(--sources "$sources" --streams 64 --batch 100 --rate "${RATE:-100000}")
      measure "telegen, $sources sources" "$pid" "$port" logs none "${many[@]}" | tee -a "$work/sources"
      stop "$pid"
      [[ -n $collector ]] || continue
      port=$(free_port); the_collector none; wait_port "$port"
      measure "collector, $sources sources" "$pid" "$port" logs none "${many[@]}" | tee -a "$work/sources"
      stop "$pid"
    done
  done
  python3 - "$work/sources" <<'PY'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    words = line.split()
    rows.setdefault((words[0], int(words[1])), []).append(float(words[6]))
print(f'\n{"cost by sources":22} {"CPU s/M, median":>16} {"ratio":>6} {"least":>6} {"most":>6}')
for (who, n), costs in sorted(rows.items(), reverse=True, key=lambda row: (row[0][0], -row[0][1])):
    median = statistics.median(costs)
    print(f'{who + " " + str(n):22} {median:16.2f} {median / statistics.median(rows[who, 1]):6.2f} {min(costs):6.2f} {max(costs):6.2f}')
print()
PY
  port=$(free_port); telegen none "$work/queue"
  measure 'telegen, disk queue' "$pid" "$port" logs none
  stop "$pid"
fi

if [[ $rows == *" disk "* ]]; then
  bytes=$((${DISK_MB:-1024} << 20))
  # The same bytes with the same interval between syncs: written plainly, and as records of a queue.
  plain=$(python3 - "$work/dd" "$bytes" <<'PY'
import os, sys, time
path, total = sys.argv[1], int(sys.argv[2])
block = bytes(i * 31 % 251 for i in range(256 << 10))
fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
start = synced = time.monotonic()
for _ in range(total // len(block)):
    os.write(fd, block)
    if time.monotonic() - synced >= 0.1:
        os.fdatasync(fd); synced = time.monotonic()
os.fdatasync(fd)
print(total / (time.monotonic() - start) / 2**20)
PY
)
  rm -f "$work/dd"
  dd=$(dd if=/dev/zero of="$work/dd" bs=256K count=$((bytes >> 18)) conv=fdatasync 2>&1 | awk '/copied/ {for (i = 1; i <= NF; i++) if ($i == "s,") print $(i - 1)}')
  rm -f "$work/dd"
  queue=$("$target/release/examples/fill" "$work/fill" "$bytes" $((256 << 10)) 100)
  rm -rf "$work/fill"
  python3 - "$plain" "$dd" "$bytes" "$queue" <<'PY'
import json, sys
plain, dd, total, queue = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
q = queue["bytes"] / queue["seconds"] / 2**20
print(f'\n{"disk":42} {"MB/s":>8} {"ratio":>6}')
print(f'{"dd, one sync at the end":42} {total / dd / 2**20:8.0f}')
print(f'{"the same bytes, a sync every 100 ms":42} {plain:8.0f} {"":>6}')
print(f'{"queue on disk, a sync every 100 ms":42} {q:8.0f} {q / plain:6.2f}')
PY
fi

if [[ $rows == *" restart "* ]]; then
  gb=${RESTART_GB:-10}
  dead=$(free_port); port=$(free_port); telegen none "$work/full" "$dead"
  "$target/release/otlp-load" --to "127.0.0.1:$port" --signal logs --records $((gb * 4400000)) > /dev/null
  sleep 1; stop "$pid"
  size=$(du -sm "$work/full" | awk '{print $1}')
  began=$(date +%s%N); telegen none "$work/full" "$dead"; ended=$(date +%s%N)
  printf '\nrestart on a queue of %s MB: ready after %d ms\n' "$size" $(((ended - began) / 1000000))
  stop "$pid"
fi
