#!/usr/bin/env bash
# Boots a Debian kernel in an emulated machine and repeats an exact test there. Usage: tests/kernels/run.sh TELEGEN [PACKAGE]
#
# Emulation only: /dev/kvm may open and yet hang the guest.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
here=$(dirname "$0")
"$here/image.sh" "$1" "$here/requests.init" "$folder" "${2:-linux-image-6.12-cloud-amd64}" || { (($? == 3)) && exit 0; exit 1; }
# An emulated processor may run an instruction that another one is just rewriting, as kernels do while they start: a panic
# before the first line of the test says nothing of Telegen and is tried again.
for attempt in 1 2 3; do
  out=$(timeout 400 qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m 1G -nodefaults -no-reboot \
    -display none -serial stdio -kernel "$folder/vmlinuz" -initrd "$folder/initrd" -append "console=ttyS0 quiet panic=-1" </dev/null || true)
  printf '%s\n' "$out" | tail -n 40
  if grep -aq '^guest kernel' <<< "$out" || ! grep -aq 'Kernel panic' <<< "$out"; then break; fi
  echo "the kernel did not start, attempt $attempt"
done
grep -aq 'guest passed' <<< "$out"
