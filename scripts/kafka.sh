#!/usr/bin/env bash
# Fetches Apache Kafka (from Maven Central, by Maven) into target/kafka/lib, for a test. Does nothing when it is there.
set -euo pipefail
cd "$(dirname "$0")/.."
lib=${CARGO_TARGET_DIR:-target}/kafka/lib
[[ -e $lib/.complete ]] && exit 0
mkdir -p "$lib"
lib=$(cd "$lib" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cat > "$work/pom.xml" <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>telegen</groupId><artifactId>kafka</artifactId><version>1</version><dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>3.9.1</version></dependency></dependencies></project>
POM
mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$lib"
touch "$lib/.complete"
