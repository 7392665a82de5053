#!/usr/bin/env bash
# What: notifications a CPU second, v2c and v3 (SHA-256, AES), snmptrapd beside us on the same messages
# Usage: bench/traps.sh [MESSAGES]
source "$(dirname "$0")/lib.sh"
messages=${1:-400000}
telegen=$target/release/telegen
command -v snmptrapd >/dev/null || { echo "SKIPPED bench traps: snmptrapd is missing" >&2; exit 0; }
[[ -x $target/release/otlp-sink ]] || cargo build --release --locked -p telegen-testkit
engine=0x8000000005aabbccdd
user=(-v3 -e "$engine" -u ops -l authPriv -a SHA-256 -A authentic-1 -x AES -X private-22)
event=1.3.6.1.6.3.1.1.5.3
variables=(1.3.6.1.2.1.2.2.1.1.7 i 7 1.3.6.1.2.1.2.2.1.2.7 s Ethernet7 1.3.6.1.2.1.2.2.1.8.7 i 2)
free_udp() { python3 -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
cpu() { awk '{print ($14 + $15) / 100}' "/proc/$1/stat"; }

# One message of each kind as net-snmp sends it, to be sent again and again.
cat > "$work/flood.py" <<'PY'
import os, socket, sys, time
what, file, port, count, pid = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
if what == "take":
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", port))
    s.settimeout(10)
    print("ready", flush=True)
    open(file, "wb").write(s.recv(65535))
    sys.exit()
message = open(file, "rb").read()
s = socket.socket(type=socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
s.connect(("127.0.0.1", port))
# In bursts that a receiver's buffer holds: what it costs is measured, not what it drops.
inode = None
def queued():
    for line in open("/proc/net/udp"):
        f = line.split()
        if f[1].endswith(":%04X" % port):
            return int(f[4].split(":")[1], 16)
    return 0
for i in range(count):
    s.send(message)
    if i % 200 == 199:
        while queued() > 60_000:
            time.sleep(0.0005)
while queued():
    time.sleep(0.01)
time.sleep(0.5)
PY
take() { # NAME ARGS...
  local name=$1 port; shift
  port=$(free_udp)
  python3 "$work/flood.py" take "$work/$name" "$port" 0 0 > "$work/taker" & local taker=$!
  until grep -q ready "$work/taker" 2>/dev/null; do sleep 0.05; done
  MIBS='' SNMP_PERSISTENT_DIR="$work/sender" snmptrap "$@" "127.0.0.1:$port" 42 "$event" "${variables[@]}"
  wait "$taker"
}
take v2c -v2c -c public
take v3 "${user[@]}"

rate() { # PID MESSAGE PORT
  local a b
  a=$(cpu "$1")
  python3 "$work/flood.py" send "$work/$2" "$3" "$messages" "$1"
  b=$(cpu "$1")
  awk -v a="$a" -v b="$b" -v n="$messages" 'BEGIN {printf "%.0f", n / (b - a)}'
}

sink_port=$(free_port) port=$(free_udp)
"$target/release/otlp-sink" --grpc "127.0.0.1:$sink_port" --count-only >"$work/sink" & pids+=($!)
wait_port "$sink_port"
cat > "$work/telegen.yaml" <<CONF
mode: collector
server: { listen: "127.0.0.1:$(free_port)" }
view: { enabled: false }
export: { otlp: { endpoint: "http://127.0.0.1:$sink_port", compression: none, queue: { max_size: 64MiB } } }
collector: { snmp: { credentials: { ops: { version: 3, user: ops, auth: { protocol: sha256, password: authentic-1 }, priv: { protocol: aes128, password: private-22 } } },
  traps: { listen: ["udp://127.0.0.1:$port"], communities: [public], users: [ops] } } }
CONF
"$telegen" collector --config "$work/telegen.yaml" 2>"$work/log" & ours=$!
pids+=("$ours")
until grep -q ready "$work/log"; do sleep 0.05; done
v2c=$(rate "$ours" v2c "$port") v3=$(rate "$ours" v3 "$port")
listen=$(sed -n 's/^server: .*"\(127[^"]*\)".*/\1/p' "$work/telegen.yaml")
counted=$(curl -s "http://$listen/metrics" | awk '/^telegen_produced_total.*logs/ {p += $2} /^telegen_lost_total.*logs/ {l += $2} END {printf "%d taken in, %d of them lost and counted", p, l}')
kill "$ours"

trapd_port=$(free_udp)
printf 'authCommunity log public\ncreateUser -e %s ops SHA-256 "authentic-1" AES "private-22"\nauthUser log ops priv\n' "$engine" > "$work/snmptrapd.conf"
MIBS='' SNMP_PERSISTENT_DIR="$work/trapd" snmptrapd -f -C -n -On -c "$work/snmptrapd.conf" -Lf "$work/trapd.log" "udp:127.0.0.1:$trapd_port" & peer=$!
pids+=("$peer")
until grep -q NET-SNMP "$work/trapd.log" 2>/dev/null; do sleep 0.05; done
full=$messages messages=$((messages / 10))
peer_v2c=$(rate "$peer" v2c "$trapd_port") peer_v3=$(rate "$peer" v3 "$trapd_port")

printf '%-36s %14s %14s\n' 'notifications a CPU second' v2c 'v3 SHA-256 AES'
printf '%-36s %14s %14s\n' "snmptrapd $(dpkg-query -W -f '${Version}' snmptrapd), to a file" "$peer_v2c" "$peer_v3"
printf '%-36s %14s %14s\n' 'telegen, to OTLP' "$v2c" "$v3"
printf 'telegen: %s (sent %s)\n' "$counted" "$((2 * full))"
