#!/usr/bin/env bash
# Makes FOLDER/vmlinuz and FOLDER/initrd: a Debian kernel, busybox, the program, INIT as the first process, and these
# modules of the kernel in /modules, numbered in order. PROGRAMS names more that go into /bin, with their libraries.
# Prints `SKIPPED ...` and exits with 3 where it cannot.
# Usage: tests/kernels/image.sh TELEGEN INIT FOLDER PACKAGE [MODULE...]
set -euo pipefail
telegen=$(realpath "$1") init=$(realpath "$2") folder=$(realpath "$3") package=$4
shift 4
cache=${TELEGEN_KERNEL_CACHE:-${CARGO_TARGET_DIR:-target}/kernels}
mkdir -p "$cache"
cache=$(realpath "$cache")

for need in qemu-system-x86_64 busybox cpio xz; do
  command -v "$need" >/dev/null || { echo "SKIPPED kernel $package: $need is not installed"; exit 3; }
done

# A package without a version stands for the newest one it depends on; without lists, for the one that is here.
real=$(apt-cache depends "$package" 2>/dev/null | awk '/Depends: linux-image-/ {print $2; exit}')
real=${real:-$(cd "$cache" && ls -d "${package%-cloud-amd64}"*-cloud-amd64 2>/dev/null | sort -V | tail -n 1)}
real=${real:-$package}
if ! ls "$cache/$real"/boot/vmlinuz-* >/dev/null 2>&1; then
  (cd "$cache" && apt-get download -qq "$real" >/dev/null 2>&1 && dpkg -x "$real"_*.deb "$real" && rm -f "$real"_*.deb) ||
    { echo "SKIPPED kernel $package: $real cannot be downloaded"; exit 3; }
fi
ln -sf "$(ls "$cache/$real"/boot/vmlinuz-* | head -n 1)" "$folder/vmlinuz"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,proc,sys,dev,tmp,etc,www,run,modules,data}
cp "$(command -v busybox)" "$root/bin/busybox"
# Symbols would only make the guest unpack for longer.
strip -o "$root/bin/telegen" "$telegen"
libraries() { # PROGRAM
  { ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' || true; } | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -Ln "$library" "$root$library"
  done
}
libraries "$telegen"
for program in ${PROGRAMS:-}; do
  strip -o "$root/bin/$(basename "$program")" "$program"
  libraries "$program"
done
printf 'hello' > "$root/www/index.html"
number=10
for module in "$@"; do
  found=$({ find "$cache/$real" -name "$module.ko*" || true; } | head -n 1)
  case "$found" in
    *.xz) xz -dc "$found" > "$root/modules/$number-$module.ko" ;;
    *.ko) cp "$found" "$root/modules/$number-$module.ko" ;;
    *) echo "SKIPPED kernel $package: it has no module $module"; exit 3 ;;
  esac
  number=$((number + 1))
done
cp "$init" "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$folder/initrd"
