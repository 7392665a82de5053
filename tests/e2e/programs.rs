//! Servers and clients of every runtime: what the server logged, what the client counted, what the spans say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::{Agent, Server, Span, Told, answer, free_port, lines, nginx, root, same};
use crate::opaque::compile;

/// Requests of a run; `TELEGEN_E2E_REQUESTS` sets another number.
pub fn requests() -> usize {
    std::env::var("TELEGEN_E2E_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

pub fn apps() -> PathBuf {
    root().join("tests/apps")
}

/// Folder of the compiled programs, made once.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apps");
        std::fs::create_dir_all(&out).unwrap();
        out
    })
}

pub fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

pub fn exists(program: &str) -> bool {
    Command::new("which").arg(program).output().is_ok_and(|o| o.status.success())
}

/// The command that runs a program of a runtime; `None`, after printing why, where the runtime is not there.
fn command(runtime: &str, what: &str) -> Option<Command> {
    let needs = match runtime {
        "python" | "wsgi" => "python3",
        "node" => "node",
        "go" => "go",
        _ => "javac",
    };
    if !exists(needs) {
        println!("SKIPPED {runtime} {what}: {needs} is not installed");
        return None;
    }
    let mut c = match runtime {
        "python" => Command::new("python3"),
        "wsgi" => Command::new("python3"),
        "node" => Command::new("node"),
        "go" => {
            let program = built().join(format!("go-{what}"));
            run(Command::new("go")
                .current_dir(apps().join("go"))
                .arg("build")
                .arg("-o")
                .arg(&program)
                .arg(format!("./{what}")));
            return Some(Command::new(program));
        }
        _ => {
            run(Command::new("javac")
                .arg("-d")
                .arg(built())
                .args([apps().join("java/Server.java"), apps().join("java/Client.java")]));
            Command::new("java")
        }
    };
    match runtime {
        "python" => c.arg(apps().join(format!("python/{what}.py"))),
        "wsgi" => c.arg(apps().join("python/wsgi.py")),
        "node" => c.arg(apps().join(format!("node/{what}.js"))),
        _ => c.arg("-cp").arg(built()).arg(if what == "server" { "Server" } else { "Client" }),
    };
    Some(c)
}

/// `METHOD path status response-bytes`.
fn short(s: &Span) -> String {
    format!(
        "{} {} {} {}",
        s.attr("http.request.method"),
        s.attr("url.path"),
        s.attr("http.response.status_code"),
        s.attr("http.response.body.size")
    )
}

fn first_four(line: &str) -> String {
    line.split(' ').take(4).collect::<Vec<_>>().join(" ")
}

/// The histograms count what the spans are, and every exemplar is one of them.
fn metrics_agree(told: &Told, only: impl Fn(&Span) -> bool) {
    for (metric, server) in [("http.server.request.duration", true), ("http.client.request.duration", false)]
    {
        let key = |service: &str, method: &str, status: &str| format!("{service} {method} {status}");
        let mut spans = std::collections::BTreeMap::new();
        for s in told.spans.iter().filter(|s| s.is_server() == server && only(s)) {
            let of = key(s.service(), s.attr("http.request.method"), s.attr("http.response.status_code"));
            *spans.entry(of).or_insert(0) += 1;
        }
        let mut points = std::collections::BTreeMap::new();
        for p in told.points(metric) {
            let attr = |k: &str| p.attrs.get(k).map_or("", String::as_str);
            let of = key(
                &p.resource["service.name"],
                attr("http.request.method"),
                attr("http.response.status_code"),
            );
            *points.entry(of).or_insert(0) += p.count;
        }
        // Others on the host may have been measured too: of a service that is looked at, every count must agree.
        for (of, n) in spans {
            assert_eq!(points.get(&of), Some(&n), "{metric} of {of}");
        }
    }
    let ids: std::collections::BTreeSet<_> =
        told.spans.iter().map(|s| (s.trace_id.clone(), s.span_id.clone())).collect();
    let exemplars = told.exemplars();
    assert!(!exemplars.is_empty());
    for e in exemplars {
        assert!(ids.contains(&e), "exemplar {e:?} is no exported span");
    }
}

/// One server and one client; all three accounts of what happened must be the same multiset.
fn pair(server: &str, client: &str, mode: &str) {
    let (Some(mut serve), Some(mut ask)) = (command(server, "server"), command(client, "client")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (server_log, client_log) = (dir.path().join("server.log"), dir.path().join("client.log"));
    serve.arg(port.to_string()).arg(&server_log);
    let running = Server::start(port, dir, &mut serve);
    let Some(agent) = Agent::start(
        &format!("{server} and {client}"),
        "agent: { traces: { capture_budget: 0 }, discovery: { exclude: [ { exe: \"*/deps/e2e-*\" } ] } }\n",
    ) else {
        return;
    };
    ask.args([port.to_string(), requests().to_string(), "32".into(), mode.into()]).arg(&client_log);
    run(&mut ask);
    agent.settle();
    let told = agent.stop();
    let of_port = |s: &&Span| s.attr("server.port") == port.to_string();
    let (servers, clients): (Vec<&Span>, Vec<&Span>) =
        told.spans.iter().filter(of_port).partition(|s| s.is_server());
    let (served, asked) = (lines(&server_log), lines(&client_log));
    assert_eq!(asked.len(), requests());
    same(
        &format!("{server}: server spans"),
        servers.iter().map(|s| short(s)),
        served.iter().map(|l| first_four(l)),
    );
    same(
        &format!("{client}: client spans"),
        clients.iter().map(|s| short(s)),
        asked.iter().map(|l| first_four(l)),
    );
    metrics_agree(&told, |s| of_port(&s));
    drop(running);
}

#[test]
fn python_threads_keep_alive() {
    pair("python", "python", "keep");
}

#[test]
fn wsgi_new_connections() {
    pair("wsgi", "python", "new");
}

#[test]
fn node_keep_alive_and_new_connections() {
    pair("node", "node", "keep");
    pair("node", "node", "new");
}

#[test]
fn go_keep_alive_and_new_connections() {
    pair("go", "go", "keep");
    pair("go", "go", "new");
}

#[test]
fn java_keep_alive() {
    pair("java", "java", "keep");
}

#[test]
fn runtimes_mixed() {
    pair("go", "python", "new");
    pair("python", "node", "keep");
}

#[test]
fn nginx_logs_what_the_spans_say_and_how_long_it_took() {
    let body = "server { listen 127.0.0.1:$PORT; root $DIR/www;
        location /s/200 { return 200 'hello'; } location /s/404 { return 404 'no'; } location /s/204 { return 204; }
        location /s/500 { return 500 'oops!'; } location /file { sendfile on; } }";
    let server = nginx(body);
    std::fs::write(server.dir.path().join("www/file"), vec![b'f'; 70_000]).unwrap();
    let config = "agent: { traces: { capture_budget: 0 }, discovery: { include: [ { exe: \"*nginx*\" }, { exe: \"*/deps/e2e-*\" } ] } }\n";
    let Some(agent) = Agent::start("nginx", config) else { return };
    let wall =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let n = requests() / 4;
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let port = server.port;
            std::thread::spawn(move || {
                use std::io::Write;
                let mut s = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
                let mut clock = Vec::new();
                for i in 0..n {
                    let (path, method) = (
                        ["s/200", "s/404", "s/204", "s/500", "file"][i % 5],
                        ["GET", "POST"][usize::from(i % 5 == 1)],
                    );
                    let request = format!(
                        "{method} /{path}?i={t}.{i} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
                    );
                    let before = wall();
                    s.write_all(request.as_bytes()).unwrap();
                    answer(&mut s);
                    clock.push((format!("i={t}.{i}"), (before, wall())));
                }
                clock
            })
        })
        .collect();
    let clock: std::collections::BTreeMap<String, (u64, u64)> =
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    let mut told = agent.stop();
    metrics_agree(&told, |_| true);
    let servers: Vec<Span> = told.spans.extract_if(.., |s| s.is_server()).collect();
    let clients = std::mem::replace(&mut told.spans, servers);
    // $request_method $request_uri $status $body_bytes_sent $request_time $pid
    let log = lines(&server.dir.path().join("access.log"));
    let log: Vec<Vec<&str>> =
        log.iter().map(|l| l.split(' ').collect()).filter(|f: &Vec<&str>| f[1].contains("?i=")).collect();
    assert_eq!(log.len(), n * 4);
    let with_query = |s: &Span| {
        format!(
            "{} {}?{} {} {}",
            s.attr("http.request.method"),
            s.attr("url.path"),
            s.attr("url.query"),
            s.attr("http.response.status_code"),
            s.attr("http.response.body.size")
        )
    };
    same("nginx", told.spans.iter().map(with_query), log.iter().map(|f| f[..4].join(" ")));
    same("clients", clients.iter().map(with_query), log.iter().map(|f| f[..4].join(" ")));
    // What the client's clock says encloses its span. A millisecond for the clocks.
    let mut near = [0; 2];
    let request_time: std::collections::BTreeMap<&str, f64> =
        log.iter().map(|f| (f[1].split('?').nth(1).unwrap(), f[4].parse::<f64>().unwrap() * 1e3)).collect();
    let served: std::collections::BTreeMap<&str, &Span> =
        told.spans.iter().map(|s| (s.attr("url.query"), s)).collect();
    for c in &clients {
        let query = c.attr("url.query");
        let ((before, after), s) = (clock[query], served[query]);
        let at = |t: u64| t as f64 / 1e6;
        assert!(at(c.start) >= at(before) - 1.0 && at(c.end) <= at(after) + 1.0, "{query} by the clock");
        assert!(
            s.start >= c.start && s.end <= c.end,
            "{query}: the server's time is not within the client's"
        );
        near[0] += usize::from(((after - before) as f64 / 1e6 - c.ms()).abs() <= 2.0);
        near[1] += usize::from((request_time[query] - s.ms()).abs() <= 2.0);
    }
    println!("within 2 ms of the client's clock {} and of nginx's {} of {}", near[0], near[1], clients.len());
    let pids = log.iter().map(|f| f[5].to_owned());
    same("workers", told.spans.iter().map(|s| s.resource["process.pid"].clone()), pids);
    assert!(told.spans.iter().all(|s| s.service() == "nginx"));
    let instances: std::collections::BTreeSet<_> =
        told.spans.iter().map(|s| s.resource["service.instance.id"].clone()).collect();
    assert_eq!(instances.len(), 1, "a master and its workers are one instance");
}

#[test]
fn one_shot_processes_are_told_each_with_its_own_resource_in_one_series() {
    let server = nginx("server { listen 127.0.0.1:$PORT; location / { return 200 'hello'; } }");
    let Some(agent) =
        Agent::start("one-shot curls", "agent: { discovery: { include: [ { exe: \"*/curl\" } ] } }\n")
    else {
        return;
    };
    let n = requests() / 10;
    for i in 0..n {
        run(Command::new("curl").args([
            "-s",
            "-o",
            "/dev/null",
            &format!("http://127.0.0.1:{}/{i}", server.port),
        ]));
    }
    agent.settle();
    let told = agent.stop();
    same("curls", told.spans.iter().map(short), (0..n).map(|i| format!("GET /{i} 200 5")));
    let pids: std::collections::BTreeSet<_> =
        told.spans.iter().map(|s| s.resource["process.pid"].clone()).collect();
    assert_eq!(pids.len(), n);
    assert!(
        told.spans.iter().all(|s| s.service() == "curl" && s.resource["process.executable.name"] == "curl")
    );
    let points = told.points("http.client.request.duration");
    assert_eq!(points.iter().map(|p| p.count).collect::<Vec<_>>(), [n as u64], "{points:#?}");
}

#[test]
fn processes_that_live_for_one_request_are_all_told() {
    let Some(program) = compile("plain.c", &[], "short") else { return };
    let server = nginx("server { listen 127.0.0.1:$PORT; location / { return 200 'hello'; } }");
    let config = format!("agent: {{ discovery: {{ include: [ {{ exe: \"{}\" }} ] }} }}\n", program.display());
    let Some(agent) = Agent::start("short processes", &config) else { return };
    // Two at a time: one's fork and exec are told while the other's request is under way.
    let n = requests() / 4;
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (program, port) = (program.clone(), server.port.to_string());
            std::thread::spawn(move || (0..n).for_each(|_| run(Command::new(&program).arg(&port))))
        })
        .collect();
    workers.into_iter().for_each(|w| w.join().unwrap());
    agent.settle();
    let told = agent.stop();
    same("requests", told.spans.iter().map(short), (0..2 * n).map(|_| "GET /plain 200 5".to_owned()));
    let pids: std::collections::BTreeSet<_> =
        told.spans.iter().map(|s| s.resource["process.pid"].clone()).collect();
    assert_eq!(pids.len(), 2 * n);
    assert!(told.spans.iter().all(|s| s.resource["process.executable.name"] == "short"));
    let points = told.points("http.client.request.duration");
    assert_eq!(points.iter().map(|p| p.count).collect::<Vec<_>>(), [2 * n as u64], "{points:#?}");
}
