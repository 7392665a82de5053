#!/usr/bin/env bash
# Boots a Debian kernel in an emulated machine, loads every program there and repeats one exact test: 40 requests are 40
# server spans and 40 client spans; and two whose answers are read 8 s later, when the clock has been set an hour on.
# Usage: tests/kernels/run.sh TELEGEN [PACKAGE]
#
# Emulation only: /dev/kvm may open and yet hang the guest.
set -euo pipefail
telegen=$(realpath "$1")
package=${2:-linux-image-6.12-cloud-amd64}
cache=${TELEGEN_KERNEL_CACHE:-${CARGO_TARGET_DIR:-target}/kernels}
mkdir -p "$cache"
cache=$(realpath "$cache")

for need in qemu-system-x86_64 busybox cpio; do
  command -v "$need" >/dev/null || { echo "SKIPPED kernel $package: $need is not installed"; exit 0; }
done

# A package without a version stands for the newest one it depends on.
real=$(apt-cache depends "$package" 2>/dev/null | awk '/Depends: linux-image-/ {print $2; exit}')
real=${real:-$package}
if ! ls "$cache/$real"/boot/vmlinuz-* >/dev/null 2>&1; then
  (cd "$cache" && apt-get download -qq "$real" >/dev/null 2>&1 && dpkg -x "$real"_*.deb "$real" && rm -f "$real"_*.deb) ||
    { echo "SKIPPED kernel $package: $real cannot be downloaded"; exit 0; }
fi
kernel=$(ls "$cache/$real"/boot/vmlinuz-* | head -n 1)

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,proc,sys,dev,tmp,etc,www,run}
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$telegen" "$root/bin/telegen"
ldd "$telegen" | grep -oE '/[^ ]+' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
printf 'hello' > "$root/www/index.html"
cat > "$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
echo "guest kernel $(uname -r)"
telegen agent --set server.listen= --set export.file.path=/tmp/out.jsonl \
  --set 'agent.discovery.include=[{exe: "*busybox*"}, {exe: "*httpd*"}, {exe: "*wget*"}]' 2> /tmp/log &
agent=$!
for i in $(seq 600); do grep -q ready /tmp/log && break; sleep 0.1; done
httpd -f -p 127.0.0.1:8080 -h /www &
sleep 1
for i in $(seq 40); do wget -q -O /dev/null "http://127.0.0.1:8080/index.html?i=$i"; done
# The clock belongs to the whole machine: only here can it be set. The agent looks at it every ten seconds: within one of the two.
nc 127.0.0.1 8080 -e /bin/late &
late=$!
sleep 5
nc 127.0.0.1 8080 -e /bin/late
wait $late
sleep 3
kill -TERM $agent
wait $agent
cat /tmp/log
servers=$(grep -o '"kind":2' /tmp/out.jsonl | wc -l)
clients=$(grep -o '"kind":3' /tmp/out.jsonl | wc -l)
echo "guest saw $servers server spans, $clients client spans"
spans='"startTimeUnixNano":"[0-9]*","endTimeUnixNano":"[0-9]*"'
longest=$(grep -o "$spans" /tmp/out.jsonl | awk -F'"' '{ d = ($8 - $4) / 1e9; if (d > most) most = d } END { printf "%d", most }')
echo "guest saw $longest s as the longest span"
if [ "$servers" = 42 ] && [ "$clients" = 42 ] && [ "$longest" -ge 8 ] && [ "$longest" -lt 60 ]; then echo "guest passed"; else echo "guest failed"; fi
poweroff -f
INIT
cat > "$root/bin/late" <<'LATE'
#!/bin/busybox sh
printf 'GET /index.html?late HTTP/1.0\r\n\r\n'
date -s "@$(($(date +%s) + 3600))" > /dev/null
sleep 8
cat > /dev/null
LATE
chmod +x "$root/init" "$root/bin/late"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$root.initrd"
trap 'rm -rf "$root" "$root.initrd"' EXIT
out=$(timeout 400 qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m 1G -nodefaults -no-reboot \
  -display none -serial stdio -kernel "$kernel" -initrd "$root.initrd" -append "console=ttyS0 quiet panic=-1" </dev/null || true)
printf '%s\n' "$out" | tail -n 40
grep -q 'guest passed' <<< "$out"
