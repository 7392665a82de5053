#!/usr/bin/env bash
# Starts the shop, its visitors, and Telegen in front of you: run.sh TELEGEN [ARGUMENT ...]. Ctrl-C ends all of it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
telegen=$1
shift
base=${DEMO_PORT:-18080}
built=${CARGO_TARGET_DIR:-$here/../../../target}/demo
mkdir -p "$built"
built=$(cd "$built" && pwd)
work=$(mktemp -d)
chmod 755 "$work"
declare -a started=()

finish() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait "${started[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

for command in nginx python3 node go javac jar; do
  command -v "$command" >/dev/null || { echo "demo: $command is missing: make setup-demo" >&2; exit 1; }
done

echo "demo: building the services"
(cd "$here/cart" && GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -o "$built/cart" .)
javac -d "$built/payments" "$here/payments/Payments.java"
jar --create --file "$built/payments.jar" --main-class Payments -C "$built/payments" .

# The system's Python and Node: what a version manager puts in front is a shell script.
python=$(python3 -c 'import sys; print(sys.executable)')
((nginx = base, shop = base + 1, catalogue = base + 2, cart = base + 3, search = base + 4, payments = base + 5))

free() { ! (: < "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for port in $nginx $shop $catalogue $cart $search $payments; do
  free "$port" || { echo "demo: port $port is taken: set DEMO_PORT to the first of six free ones" >&2; exit 1; }
done

cat > "$work/nginx.conf" <<CONF
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
worker_processes 1;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  upstream shop { server 127.0.0.1:$shop; keepalive 8; }
  upstream cart { server 127.0.0.1:$cart; keepalive 8; }
  upstream search { server 127.0.0.1:$search; keepalive 8; }
  proxy_http_version 1.1;
  proxy_set_header connection "";
  server {
    listen 127.0.0.1:$nginx;
    location / { proxy_pass http://shop; }
    location /cart/ { proxy_pass http://cart/; }
    location /search { proxy_pass http://search; }
  }
}
CONF

run() { "${@:2}" > "$work/$1.log" 2>&1 & started+=($!); }
export PYTHONDONTWRITEBYTECODE=1
run catalogue "$python" "$here/catalogue.py" "$catalogue"
run payments java -Xmx64m -jar "$built/payments.jar" "$payments" "$catalogue"
run cart "$built/cart" "$cart" "$payments"
run search node "$here/search.js" "$search" "$catalogue" "$cart"
run shop "$python" "$here/shop.py" "$shop" "$cart" "$payments" "$catalogue"
run nginx nginx -p "$work" -c "$work/nginx.conf"
for port in $nginx $shop $catalogue $cart $search $payments; do
  for _ in $(seq 300); do
    free "$port" || continue 2
    sleep 0.1
  done
  echo "demo: nothing listens on port $port; what the services said:" >&2
  tail -n 5 "$work"/*.log >&2
  exit 1
done
run visitors "$python" "$here/visitors.py" "$nginx"
echo "demo: the shop is on http://127.0.0.1:$nginx, Telegen's page on http://127.0.0.1:19090 unless set otherwise. Ctrl-C ends both."
"$telegen" agent "$@" &
agent=$!
started+=("$agent")
wait "$agent"
