# Shared by the benchmarks: builds, servers on loopback, medians.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
chmod 755 "$work"
declare -a pids=()

finish() {
  for pid in "${pids[@]:-}"; do [[ -n $pid ]] && kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

wait_port() { for _ in $(seq 200); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.05; done; echo "port $1 stays closed" >&2; exit 1; }

start_nginx() { # PORT
  mkdir -p "$work/www"
  printf 'hello telegen\n' > "$work/www/index.html"
  cat > "$work/nginx.conf" <<CONF
worker_processes 2; daemon off; pid $work/nginx.pid; error_log $work/error.log;
events { worker_connections 1024; }
http { access_log off; sendfile on; keepalive_requests 1000000000; client_body_temp_path $work/b; proxy_temp_path $work/p;
  fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  server { listen 127.0.0.1:$1; root $work/www; location = /status { stub_status; } } }
CONF
  nginx -c "$work/nginx.conf" -p "$work" & pids+=($!)
  wait_port "$1"
}

start_go() { # PORT
  (cd tests/apps/go && go build -o "$work/echo" ./server)
  "$work/echo" "$1" "$work/go.log" & pids+=($!)
  wait_port "$1"
}

# Requests a second of one round of wrk.
rate() { wrk -t2 -c32 -d"${SECONDS_A_ROUND:-3}" "$1" | awk '/Requests\/sec/ {print $2}'; }

median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
