#!/usr/bin/env bash
# Boots a Debian kernel in an emulated machine and repeats an exact test there. Usage: tests/kernels/run.sh TELEGEN [PACKAGE]
#
# Emulation only: /dev/kvm may open and yet hang the guest.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
here=$(dirname "$0")
"$here/image.sh" "$1" "$here/requests.init" "$folder" "${2:-linux-image-6.12-cloud-amd64}" || { (($? == 3)) && exit 0; exit 1; }
out=$(timeout 400 qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m 1G -nodefaults -no-reboot \
  -display none -serial stdio -kernel "$folder/vmlinuz" -initrd "$folder/initrd" -append "console=ttyS0 quiet panic=-1" </dev/null || true)
printf '%s\n' "$out" | tail -n 40
grep -q 'guest passed' <<< "$out"
