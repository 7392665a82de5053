# Shared by the benchmarks: builds, servers on loopback, agents, medians.
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

# As Debian sets it up (sendfile, tcp_nopush), but for the access log.
start_nginx() { # PORT [CONNECTIONS]
  mkdir -p "$work/www"
  printf 'hello telegen\n' > "$work/www/index.html"
  cat > "$work/nginx.conf" <<CONF
worker_processes 2; daemon off; pid $work/nginx.pid; error_log $work/error.log;
events { worker_connections ${2:-1024}; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path $work/b; proxy_temp_path $work/p;
  fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  server { listen 127.0.0.1:$1 backlog=8192; root $work/www; location = /status { stub_status; } } }
CONF
  nginx -c "$work/nginx.conf" -p "$work" & pids+=($!); server_pid=$!
  wait_port "$1"
}

start_go() { # PORT
  (cd tests/apps/go && go build -o "$work/echo" ./server)
  "$work/echo" "$1" "$work/go.log" & pids+=($!); server_pid=$!
  wait_port "$1"
}

# Starts the agent with these further settings and waits until it watches; its pid is `agent_pid`.
start_agent() { # SETTING...
  local -a set=()
  for s in "$@"; do set+=(--set "$s"); done
  api=$(free_port)
  : > "$work/agent"
  "$target/release/telegen" agent --set "server.listen=127.0.0.1:$api" "${set[@]}" 2> "$work/agent" & agent_pid=$!
  until grep -q ready "$work/agent"; do sleep 0.05; done
  sleep 0.5
}

stop_agent() { kill -TERM "$agent_pid"; wait "$agent_pid" || true; }

# CPU time of processes and their children so far, ms. Linux adds it up in ns (schedstat); threads that have ended count.
cpu_ms() { # PID...
  local pid child
  for pid in "$@"; do
    cat "/proc/$pid/schedstat"
    for task in /proc/"$pid"/task/[0-9]*; do [[ ${task##*/} == "$pid" ]] || cat "$task/schedstat"; done
    for child in $(cat "/proc/$pid/task/$pid/children"); do cat "/proc/$child/schedstat"; done
  done 2>/dev/null | awk '{s += $1} END {printf "%.1f\n", s / 1e6}'
}

# Requests a second of one round of wrk. One thread: with two beside two workers on two processors the scheduler falls
# into one of two habits for a while (many events a wake-up, or one), which differ by a third and hide all else.
rate() { wrk -t1 -c32 -d"${SECONDS_A_ROUND:-3}" "$1" | awk '/Requests\/sec/ {print $2}'; }

median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
ratio() { echo "$1 $2" | awk '{print $1 / $2}'; }
