#!/usr/bin/env bash
# What: what a record costs a collector that gets OTLP/gRPC logs from 1, 8 and 64 connections, in an emulated machine whose clock counts instructions.
# RECORDS (100000) of each turn, RATE (50000 records a second of the emulated clock, in which a second is 10^9 instructions of one processor that is shared with load and sink: idle for more than half), ORDER (1,8,64,64,1,8,8,64,1: the turns). KERNEL: a Debian kernel package.
source "$(dirname "$0")/lib.sh"
cargo build --release --locked -q -p telegen
cargo build --release --locked -q -p telegen-testkit --bins
PROGRAMS="$target/release/otlp-load $target/release/otlp-sink" \
  tests/kernels/image.sh "$target/release/telegen" bench/sources.init "$work" "${KERNEL:-linux-image-6.12-cloud-amd64}" inet_diag tcp_diag
timeout 3600 qemu-system-x86_64 -M q35 -accel tcg,thread=single -icount shift=0,sleep=off -cpu Nehalem -smp 1 -m 2G -nodefaults \
  -no-reboot -display none -serial stdio -kernel "$work/vmlinuz" -initrd "$work/initrd" \
  -append "console=ttyS0 quiet panic=-1 records=${RECORDS:-100000} rate=${RATE:-50000} order=${ORDER:-1,8,64,64,1,8,8,64,1}" < /dev/null > "$work/out" || true
tr -d '\r' < "$work/out" | grep -a '^guest done' > /dev/null || { tail -n 40 "$work/out" >&2; exit 1; }
tr -d '\r' < "$work/out" | python3 -c '
import json, statistics, sys
rows, sent, taken = {}, 0, 0
for line in sys.stdin.buffer:
    words = line.decode("utf-8", "replace").split(None, 6)
    if words[:1] == ["taken"]: taken = json.loads(" ".join(words[1:]))["logs"]
    if words[:1] == ["row"]:
        sources, opening, sending, turns, busy = map(int, words[1:6])
        load = json.loads(words[6])
        records = load["records"]
        # The warm-up, and a request for each connection.
        sent += 20000 + sources * 100 + records
        rows.setdefault(sources, []).append((sending / records, opening / sources, turns * 100 / records, busy, records / load["seconds"], load["refused"]))
first = statistics.median(row[0] for row in rows[min(rows)])
sources, cost, ratio, least, most, opening, turns, rate, busy, refused = "sources", "instr/record", "ratio", "least", "most", "opening/source", "turns/request", "records/s", "busy %", "refused"
print(f"{sources:>7} {cost:>12} {ratio:>6} {least:>6} {most:>6} {opening:>14} {turns:>13} {rate:>9} {busy:>6} {refused:>7}")
for sources, of in sorted(rows.items()):
    cost, opening, turns, busy, rate, _ = map(statistics.median, zip(*of))
    costs = [row[0] for row in of]
    print(f"{sources:7} {cost:12.1f} {cost / first:6.3f} {min(costs):6.0f} {max(costs):6.0f} {opening:14.0f} {turns:13.2f} {rate:9.0f} {busy:6.0f} {sum(row[5] for row in of):7}")
print(f"of {sent} records {sent - taken} did not arrive; opening a source has its first request in it (100 records)")
sys.exit(sent != taken)
'
