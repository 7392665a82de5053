#!/usr/bin/env bash
# What: how soon the page is there, from loopback and uncached: ms to the first paint and to the first rows.
set -euo pipefail
cd "$(dirname "$0")/../tests/page"
[[ -d node_modules ]] || npm ci --silent --no-audit --no-fund
RELEASE=1 node paint.mjs "${LOOKS:-20}"
