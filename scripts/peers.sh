#!/usr/bin/env bash
# Builds the peers that Telegen is tested against into target/peers: the OpenTelemetry Collector and Prometheus 3 from Go
# modules, and a small program on each official OpenTelemetry SDK. What is there and unchanged is left alone.
# Usage: scripts/peers.sh [collector] [prometheus] [python] [node] [go] [java]   (none: all)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${CARGO_TARGET_DIR:-target}/peers
mkdir -p "$out"
out=$(cd "$out" && pwd)
export GOFLAGS="${GOFLAGS:-} -mod=readonly" CGO_ENABLED=0

# NAME FOLDER COMMAND...: runs the command when the folder changed since it succeeded last.
build() {
  local name=$1 folder=$2 stamp
  shift 2
  stamp=$(cd "$folder" && find . -type f -not -path './node_modules/*' | LC_ALL=C sort | xargs sha256sum | sha256sum)
  [[ -e $out/$name.stamp && "$(cat "$out/$name.stamp")" == "$stamp" ]] && return 0
  rm -f "$out/$name.stamp"
  "$@" || { echo "SKIPPED peer $name: it could not be built"; return 0; }
  echo "$stamp" > "$out/$name.stamp"
}

collector() { (cd tests/peers/collector && go build -trimpath -ldflags=-s -o "$out/collector" .); }
# Without the service discoveries of clouds, which nobody asks here.
prometheus() {
  (cd tests/peers/prometheus &&
    go build -trimpath -ldflags=-s -tags remove_all_sd -o "$out/prometheus" github.com/prometheus/prometheus/cmd/prometheus)
}
go_() { (cd tests/peers/sdk/go && go build -trimpath -ldflags=-s -o "$out/sdk-go" .); }
python() {
  rm -rf "$out/python" && python3 -m venv "$out/python" &&
    "$out/python/bin/pip" -q install --disable-pip-version-check -r tests/peers/sdk/python/requirements.txt
}
node() {
  rm -rf "$out/node" && mkdir "$out/node" && cp tests/peers/sdk/node/* "$out/node" &&
    (cd "$out/node" && npm ci --silent --no-audit --no-fund)
}
java() {
  rm -rf "$out/java" && mkdir "$out/java" &&
    mvn -q -B -f tests/peers/sdk/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$out/java/lib" &&
    javac -d "$out/java" -cp "$out/java/lib/*" tests/peers/sdk/java/Main.java
}

(($# > 0)) || set -- collector prometheus python node go java
for peer in "$@"; do
  case "$peer" in
    collector | prometheus) build "$peer" "tests/peers/$peer" "$peer" ;;
    go) build sdk-go tests/peers/sdk/go go_ ;;
    python | node | java) build "sdk-$peer" "tests/peers/sdk/$peer" "$peer" ;;
    *) echo "peers: unknown peer '$peer'" >&2; exit 2 ;;
  esac
done
