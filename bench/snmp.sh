#!/usr/bin/env bash
# What: polling simulated devices, prometheus-snmp-exporter beside us on the same devices: varbinds a CPU second, memory, lateness
# Usage: bench/snmp.sh [PART] [DEVICES] [ROWS]; parts: peer, scale, rounds, dead, wide
source "$(dirname "$0")/lib.sh"
part=${1:-all}
if [[ $part == all ]]; then
  for part in peer rounds dead wide scale; do "$0" "$part"; done
  exit
fi
case $part in
  peer) devices=${2:-500} rows=${3:-55} ;;
  scale) devices=${2:-5000} rows=${3:-55} ;;
  rounds) devices=${2:-100} rows=${3:-55} ;;
  dead) devices=${2:-1000} rows=${3:-2} ;;
  wide) devices=1 rows=${3:-20000} ;;
  *) echo "no part $part" >&2; exit 2 ;;
esac
telegen=$target/release/telegen
[[ -x $target/release/otlp-sink ]] || cargo build --release --locked -p telegen-testkit

# A switch with so many ports, as a recording.
python3 - "$rows" > "$work/switch.snmprec" <<'PY'
import sys
rows = int(sys.argv[1])
out = ["1.3.6.1.2.1.1.1.0|4|A switch", "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.99999.1", "1.3.6.1.2.1.1.3.0|67|123456"]
for column in (2, 7, 8, 10, 13, 14, 16, 19, 20):
    for i in range(1, rows + 1):
        out.append(f"1.3.6.1.2.1.2.2.1.{column}.{i}|" + ({2: f"4|Ethernet{i}", 7: "2|1", 8: "2|1"}.get(column) or f"65|{i * 1000 + column}"))
for column in (1, 6, 7, 8, 9, 10, 11, 12, 13, 15, 18):
    for i in range(1, rows + 1):
        out.append(f"1.3.6.1.2.1.31.1.1.1.{column}.{i}|" + ({1: f"4|Et{i}", 15: "66|10000", 18: f"4|port {i}"}.get(column) or f"70|{i * 10**9 + column}"))
print("\n".join(out))
PY
port=$(free_port)
declare -a network=()
[[ $part != wide ]] || network=(--delay 20)
"$telegen" snmp simulate "$work/switch.snmprec" --listen "127.2.0.1:$port" --devices "$devices" --quiet "${network[@]}" 2>"$work/simulator" & pids+=($!)
address() { local n=$(($1 + 1)); echo "127.2.$((n / 256)).$((n % 256)):$port"; }
cpu() { awk '{print ($14 + $15) / 100}' "/proc/$1/stat"; }
peak() { awk '/VmHWM/ {print $2 / 1024}' "/proc/$1/status"; }
sink_port=$(free_port)
"$target/release/otlp-sink" --grpc "127.0.0.1:$sink_port" --count-only >"$work/sink" & pids+=($!)
wait_port "$sink_port"
to_sink="{ otlp: { endpoint: \"http://127.0.0.1:$sink_port\", compression: none } }"
mkdir -p "$work/profiles"

# Starts Telegen; its pid is `collector_pid`.
collect() { # PROFILE NAMES INTERVAL LISTEN EXPORT
  for i in $(seq 0 $((devices - 1))); do
    printf -- '- { address: "%s", name: "d%s", credentials: [public], profile: %s }\n' "$(address "$i")" "$i" "$1"
  done > "$work/targets.yaml"
  cat "${more:-/dev/null}" >> "$work/targets.yaml"
  cat > "$work/telegen.yaml" <<CONF
mode: collector
server: { listen: "$4" }
export: $5
collector: { snmp: { interval: $3, names: $2, profiles: ["$work/profiles"], credentials: { public: { version: 2c, community: public } }, target_files: ["$work/targets.yaml"] } }
CONF
  "$telegen" collector --config "$work/telegen.yaml" 2>"$work/log" & collector_pid=$!
  pids+=("$collector_pid")
}
stop() { kill "$collector_pid"; wait "$collector_pid" 2>/dev/null || true; }

# A value that every poll tells of itself: of polls whose place in each device's row of polls is from FIRST to LAST.
told() { # METRIC FIRST LAST
  python3 - "$work/out.jsonl" "$@" <<'PY'
import json, sys
file, metric, first, last = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
needle, seen, values = f'"name":"{metric}"', {}, []
for line in open(file):
    if needle not in line:
        continue
    for rm in json.loads(line)["resourceMetrics"]:
        target = next(a["value"]["stringValue"] for a in rm["resource"]["attributes"] if a["key"] == "snmp.target")
        if target.startswith("dead"):
            continue
        for sm in rm["scopeMetrics"]:
            for m in sm["metrics"]:
                if m["name"] == metric:
                    for p in m["gauge"]["dataPoints"]:
                        n = seen[target] = seen.get(target, 0) + 1
                        if first <= n <= last:
                            values.append(p.get("asDouble", int(p.get("asInt", 0))))
values.sort()
at = lambda q: values[min(len(values) - 1, int(q * len(values)))]
print(f"{len(values)} polls, mean {sum(values) / len(values):.3f}, p50 {at(0.5):.3f}, p99 {at(0.99):.3f}, most {values[-1]:.3f}")
PY
}

case $part in
  rounds)
    collect auto otel 10s "" "{ file: { path: \"$work/out.jsonl\", rotate: { max_size: 4GiB } } }"
    sleep 35
    stop
    printf '%s devices of %s ports; packets a poll: first: %s; later: %s\n' "$devices" "$rows" \
      "$(told snmp.device.poll.packets 1 1)" "$(told snmp.device.poll.packets 2 9)"
    exit ;;
  dead)
    for with in without with; do
      more=/dev/null
      if [[ $with == with ]]; then
        # In the same loopback network, and nobody there.
        printf -- '- { address: "127.3.0.1:%s", name: dead, credentials: [public] }\n' "$port" > "$work/dead.yaml"
        more=$work/dead.yaml
      fi
      rm -f "$work/out.jsonl"
      collect auto otel 5s "" "{ file: { path: \"$work/out.jsonl\" } }"
      sleep 32
      stop
      printf '%s devices of %s ports every 5 s, %s a dead one; seconds late: %s\n' "$devices" "$rows" "$with" "$(told snmp.device.poll.lateness 2 1000)"
    done
    exit ;;
  wide)
    collect auto otel 60s "" "{ file: { path: \"$work/out.jsonl\", rotate: { max_size: 4GiB } } }"
    sleep 145
    stop
    printf 'one device of %s ports, 20 ms there and back, answers of 1472 bytes; seconds a poll: first: %s; later: %s\n' "$rows" \
      "$(told snmp.device.poll.duration 1 1)" "$(told snmp.device.poll.duration 2 9)"
    printf 'packets a poll: first: %s; later: %s\n' "$(told snmp.device.poll.packets 1 1)" "$(told snmp.device.poll.packets 2 9)"
    exit ;;
  scale)
    collect auto otel 60s "" "$to_sink"
    sleep 70
    a=$(cpu "$collector_pid")
    sleep 60
    b=$(cpu "$collector_pid")
    printf '%s devices of %s ports every 60 s, names otel: %s %% of a core, peak RSS %s MiB (40 MB and 256 B an interface: %s)\n' "$devices" "$rows" \
      "$(awk -v a="$a" -v b="$b" 'BEGIN {printf "%.1f", (b - a) / 60 * 100}')" "$(peak "$collector_pid")" \
      "$(awk -v i=$((devices * rows)) 'BEGIN {printf "%.1f", (40e6 + 256 * i) / 1048576}')"
    stop
    exit ;;
esac

command -v prometheus-snmp-exporter >/dev/null || { echo "SKIPPED bench snmp: prometheus-snmp-exporter is missing" >&2; exit 0; }
# The same objects for the exporter, in the form of version 0.21; and a profile made of it for us.
python3 - > "$work/snmp.yml" <<'PY'
objects = [(f"1.3.6.1.2.1.2.2.1.{c}", n, t) for c, n, t in [(7, "ifAdminStatus", "gauge"), (8, "ifOperStatus", "gauge"), (13, "ifInDiscards", "counter"), (14, "ifInErrors", "counter"), (19, "ifOutDiscards", "counter"), (20, "ifOutErrors", "counter")]]
objects += [(f"1.3.6.1.2.1.31.1.1.1.{c}", n, t) for c, n, t in [(6, "ifHCInOctets", "counter"), (7, "ifHCInUcastPkts", "counter"), (8, "ifHCInMulticastPkts", "counter"), (9, "ifHCInBroadcastPkts", "counter"), (10, "ifHCOutOctets", "counter"), (11, "ifHCOutUcastPkts", "counter"), (12, "ifHCOutMulticastPkts", "counter"), (13, "ifHCOutBroadcastPkts", "counter"), (15, "ifHighSpeed", "gauge")]]
labels = [("ifDescr", "1.3.6.1.2.1.2.2.1.2"), ("ifName", "1.3.6.1.2.1.31.1.1.1.1"), ("ifAlias", "1.3.6.1.2.1.31.1.1.1.18")]
print("if_mib:\n  version: 2\n  max_repetitions: 25\n  auth: { community: public }\n  walk:")
for oid in [o[0] for o in objects] + [l[1] for l in labels]:
    print(f"  - {oid}")
print("  metrics:")
for oid, name, kind in objects:
    print(f"  - name: {name}\n    oid: {oid}\n    type: {kind}\n    help: {name}\n    indexes: [ {{ labelname: ifIndex, type: gauge }} ]\n    lookups:")
    for label, of in labels:
        print(f"    - {{ labels: [ifIndex], labelname: {label}, oid: {of}, type: DisplayString }}")
PY
"$telegen" snmp import "$work/snmp.yml" > "$work/profiles/if_mib.yaml"

varbinds=$((rows * 18))

# The exporter: every device once, 50 at a time.
exporter_port=$(free_port)
prometheus-snmp-exporter --config.file="$work/snmp.yml" --web.listen-address="127.0.0.1:$exporter_port" 2>"$work/exporter" & exporter=$!
pids+=("$exporter")
wait_port "$exporter_port"
for i in $(seq 0 $((devices - 1))); do
  printf 'url = "http://127.0.0.1:%s/snmp?module=if_mib&target=%s"\noutput = /dev/null\n' "$exporter_port" "$(address "$i")"
done > "$work/urls"
begun=$(cpu "$exporter")
curl -s --no-progress-meter -Z --parallel-max 50 -K "$work/urls"
theirs=$(awk -v a="$begun" -v b="$(cpu "$exporter")" -v v=$((varbinds * devices)) 'BEGIN {printf "%.0f", v / (b - a)}')
their_peak=$(peak "$exporter")
kill "$exporter"

# Telegen: the same objects of every device, two rounds, out as OTLP to a sink.
measure() { # PROFILE NAMES
  collect "$1" "$2" 5s "" "$to_sink"
  sleep 8
  local a b
  a=$(cpu "$collector_pid")
  sleep 10
  b=$(cpu "$collector_pid")
  # Two rounds in ten seconds; names of rows are not read again, so only the values count.
  awk -v a="$a" -v b="$b" -v v=$((rows * 15 * devices * 2)) 'BEGIN {printf "%.0f", v / (b - a)}'
  peak "$collector_pid" > "$work/peak"
  stop
}
ours=$(measure if_mib mib)
our_peak=$(cat "$work/peak")
auto=$(measure auto otel)
auto_peak=$(cat "$work/peak")

printf '%s devices of %s ports\n' "$devices" "$rows"
printf '%-44s %14s %10s\n' 'end to end' 'varbinds/CPU s' 'peak MiB'
printf '%-44s %14s %10.1f\n' "prometheus-snmp-exporter $(dpkg-query -W -f '${Version}' prometheus-snmp-exporter)" "$theirs" "$their_peak"
printf '%-44s %14s %10.1f\n' 'telegen, the same objects' "$ours" "$our_peak"
printf '%-44s %14s %10.1f\n' 'telegen, profile auto, names otel' "$auto" "$auto_peak"
awk -v a="$ours" -v b="$theirs" 'BEGIN {printf "telegen / exporter: %.1f\n", a / b}'
