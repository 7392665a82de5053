#!/usr/bin/env bash
# Installs packages that build, run and tests need, and says which. Safe to run again: what is there is left alone.
# Usage: scripts/setup.sh [build] [test] [demo]
set -euo pipefail

declare -a wanted=() helpful=()
for part in "$@"; do
  case "$part" in
    build) wanted+=(clang-19 gcc libc6-dev libelf-dev zlib1g-dev libzstd-dev linux-libc-dev pkg-config make git) ;;
    test) wanted+=(nginx-light wrk nghttp2-client curl python3 nodejs golang-go default-jdk-headless gcc-multilib bpftool util-linux npm chromium iproute2 nftables
      snmp snmpd snmptrapd prometheus-snmp-exporter prometheus python3-venv maven)
      # Without these the tests on other kernels are skipped.
      helpful+=(qemu-system-x86 seabios cpio busybox-static xz-utils e2fsprogs binutils)
      ;;
    demo) wanted+=(nginx-light python3 nodejs golang-go default-jdk-headless) ;;
    *) echo "setup: unknown part '$part' (build, test, demo)" >&2; exit 2 ;;
  esac
done

command -v cargo >/dev/null || { echo "setup: Rust is missing: see https://rustup.rs" >&2; exit 1; }

# A package counts as there when dpkg says so, or when its command came some other way (a newer Node.js, say).
present() {
  case "$1" in
    nodejs) command -v node >/dev/null && return 0 ;;
    golang-go) command -v go >/dev/null && return 0 ;;
    default-jdk-headless) command -v javac >/dev/null && return 0 ;;
    nftables) command -v nft >/dev/null && return 0 ;;
    npm | chromium | python3 | wrk | curl | git | make | gcc | bpftool) command -v "$1" >/dev/null && return 0 ;;
    maven) command -v mvn >/dev/null && return 0 ;;
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null && return 0 ;;
    xz-utils) command -v xz >/dev/null && return 0 ;;
    binutils) command -v strip >/dev/null && return 0 ;;
    e2fsprogs) command -v mkfs.ext4 >/dev/null && return 0 ;;
    nginx-light) command -v nginx >/dev/null && return 0 ;;
  esac
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

declare -a missing=()
for package in "${wanted[@]}"; do
  present "$package" || missing+=("$package")
done
declare -a missing_helpful=()
for package in "${helpful[@]:-}"; do
  [[ -z $package ]] || present "$package" || missing_helpful+=("$package")
done
if ((${#missing[@]} + ${#missing_helpful[@]} == 0)); then
  echo "setup: everything is there"
  exit 0
fi

declare -a as_root=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || { echo "setup: needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]} ${missing_helpful[*]}"
"${as_root[@]}" apt-get update -qq
# Servers that come with the packages are not started: tests start their own.
policy=/usr/sbin/policy-rc.d
made=
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  made=1
fi
status=0
install() { DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
((${#missing[@]} == 0)) || install "${missing[@]}" || status=$?
((${#missing_helpful[@]} == 0)) || install "${missing_helpful[@]}" ||
  echo "setup: could not install ${missing_helpful[*]}: tests that need them are skipped"
[[ -z $made ]] || "${as_root[@]}" rm -f "$policy"
exit "$status"
