#!/usr/bin/env bash
# What: requests/s of nginx and a Go server in an emulated machine whose clock counts instructions: without, kernel half alone, whole agent, both ends.
# SECONDS_A_ROUND (2): of the emulated clock, in which a second is 10^9 instructions of one processor. KERNEL: a Debian kernel package.
source "$(dirname "$0")/lib.sh"
cargo build --release --locked -q -p telegen
cargo build --release --locked -q -p telegen-bpf --example discard
(cd tests/apps/go && CGO_ENABLED=0 go build -o "$work/echo-server" ./server)
PROGRAMS="$(command -v nginx) $(command -v wrk) $work/echo-server $target/release/examples/discard" \
  tests/kernels/image.sh "$target/release/telegen" bench/guest.init "$work" "${KERNEL:-linux-image-6.12-cloud-amd64}"
timeout 1800 qemu-system-x86_64 -M q35 -accel tcg,thread=single -icount shift=0,sleep=off -cpu Nehalem -smp 1 -m 2G -nodefaults \
  -no-reboot -display none -serial stdio -kernel "$work/vmlinuz" -initrd "$work/initrd" \
  -append "console=ttyS0 quiet panic=-1 seconds=${SECONDS_A_ROUND:-2}" < /dev/null > "$work/out" || true
tr -d '\r' < "$work/out" | grep -a '^guest done' > /dev/null || { tail -n 40 "$work/out" >&2; exit 1; }
tr -d '\r' < "$work/out" | python3 -c '
import sys, json
rows, rss, ledger = {}, {}, {}
for line in sys.stdin.buffer:
    words = line.decode("utf-8", "replace").split()
    if words[:1] == ["row"]: rows[words[1], words[2]] = float(words[3])
    if words[:1] == ["rss"]: rss[words[1]] = float(words[2])
    if words[:1] == ["ledger"]: ledger[words[1]] = json.loads(" ".join(words[2:]))["traces"]
names = {"without": "without", "kernel": "  kernel half only", "whole": "  whole agent, server", "both": "  whole agent, both ends", "again": "without, at the end"}
server, row, value, ratio = "server", "row", "requests/s", "ratio"
print(f"{server:7} {row:26} {value:>12} {ratio:>7}")
for server in ("nginx", "go"):
    base = (rows[server, "without"] + rows[server, "again"]) / 2
    for name, text in names.items():
        print(f"{server:7} {text:26} {rows[server, name]:12.0f} {rows[server, name] / base:7.3f}")
for name, of in ledger.items():
    lost = sum(sum(r.values()) for r in of["lost"].values())
    produced, took = of["produced"], rss[name]
    print(f"{names[name].strip()}: {produced} requests, {lost} lost, RSS {took:.1f} MiB")
'
