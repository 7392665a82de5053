//! Starts agents and servers, and reads what the agents wrote.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program under test.
pub const TELEGEN: &str = env!("CARGO_BIN_EXE_telegen");

/// One agent at a time: each sees the whole host, and load of one test would be loss in another.
static TURN: Mutex<()> = Mutex::new(());

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Why the tap cannot run here, if it cannot.
pub fn cannot_tap() -> Option<String> {
    let out = Command::new(TELEGEN).args(["doctor", "--json"]).output().unwrap();
    let features: Value =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("doctor --json: {e}"));
    let features = features.as_array().cloned().unwrap_or_default();
    let traces =
        features.iter().find(|f| f["feature"] == "traces").unwrap_or_else(|| panic!("no feature traces"));
    (traces["enabled"] != true).then(|| traces["reason"].to_string())
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running agent.
pub struct Agent {
    child: Child,
    dir: tempfile::TempDir,
    /// Where its API listens.
    pub api: u16,
    _turn: MutexGuard<'static, ()>,
}

/// What an agent told: all spans and the last ledger.
#[derive(Debug)]
pub struct Told {
    /// Spans with the resource's attributes under `resource`.
    pub spans: Vec<Span>,
    /// Exported metrics: requests of the file, in order.
    pub metrics: Vec<Value>,
    /// What it printed on standard error.
    pub stderr: String,
    /// Port of its API: what the tests asked there is no part of any.
    api: String,
}

/// A span, its attributes flattened to texts.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub name: String,
    pub kind: u64,
    pub trace_id: String,
    pub span_id: String,
    pub parent_id: String,
    pub start: u64,
    pub end: u64,
    pub status: u64,
    pub attrs: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute's text, or empty.
    pub fn attr(&self, key: &str) -> &str {
        self.attrs.get(key).map_or("", String::as_str)
    }
    /// A server's span.
    pub fn is_server(&self) -> bool {
        self.kind == 2
    }
    /// `service.name`.
    pub fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }
    /// Duration in ms.
    pub fn ms(&self) -> f64 {
        (self.end - self.start) as f64 / 1e6
    }
}

impl Agent {
    /// Starts an agent; `config` is YAML beside the exporter and listener that the harness sets.
    /// `None` (after printing why) where the tap cannot run.
    pub fn start(test: &str, config: &str) -> Option<Agent> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = cannot_tap() {
            println!("SKIPPED {test}: {why}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let api = free_port();
        let file = dir.path().join("config.yaml");
        fs::write(&file, whole(dir.path(), api, config)).unwrap();
        let mut child = Command::new(TELEGEN)
            .arg("agent")
            .arg("--config")
            .arg(&file)
            .stderr(fs::File::create(dir.path().join("stderr")).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let text = fs::read_to_string(dir.path().join("stderr")).unwrap();
            if text.contains("ready") {
                break;
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the agent ended with {status}:\n{text}");
            }
            assert!(Instant::now() < end, "the agent is not ready after a minute:\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Agent { child, dir, api, _turn: turn })
    }

    /// Puts another configuration in the place of the first, sends SIGHUP and waits until it was read; gives what the
    /// agent said meanwhile.
    pub fn reload(&self, config: &str) -> String {
        let said = || fs::read_to_string(self.dir.path().join("stderr")).unwrap();
        let before = said().len();
        let new = self.dir.path().join("new.yaml");
        fs::write(&new, whole(self.dir.path(), self.api, config)).unwrap();
        fs::rename(new, self.dir.path().join("config.yaml")).unwrap();
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let new = said().split_off(before);
            if new.contains("the configuration was") {
                return new;
            }
            assert!(Instant::now() < end, "the agent does not read it again:\n{new}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a text was written so many times by the exporter that the harness sets: settling is for those whose
    /// own questions to the agent are not watched.
    pub fn wait_written(&self, text: &str, times: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        let written = || fs::read_to_string(self.dir.path().join("out.jsonl")).unwrap_or_default();
        while written().matches(text).count() < times {
            assert!(Instant::now() < end, "{text} is not written {times} times");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// GET on its API.
    pub fn get(&self, path: &str) -> String {
        get(self.api, path).1
    }

    /// The ledger of a signal.
    pub fn ledger(&self, signal: &str) -> Value {
        serde_json::from_str::<Value>(&self.get("/api/v1/ledger")).unwrap()[signal].clone()
    }

    /// Waits until the ledger's `produced` of traces stops moving, and gives it.
    pub fn settle(&self) -> Value {
        let mut last = Value::Null;
        let mut same = 0;
        for _ in 0..400 {
            let now = self.ledger("traces");
            if now == last && now["in_flight"].as_u64() == Some(0) {
                same += 1;
                if same >= 8 {
                    return now;
                }
            } else {
                same = 0;
            }
            last = now;
            std::thread::sleep(Duration::from_millis(250));
        }
        last
    }

    /// Ends the agent with SIGTERM and reads what it wrote.
    pub fn stop(mut self) -> Told {
        // Records of the last calls lie in the rings for one turn.
        std::thread::sleep(Duration::from_millis(1600));
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = wait(&mut self.child, Duration::from_secs(20));
        let stderr = fs::read_to_string(self.dir.path().join("stderr")).unwrap();
        assert_eq!(status, Some(0), "exit of the agent:\n{stderr}");
        let (mut spans, mut metrics) = (Vec::new(), Vec::new());
        // The exporter begins a new file when one is full.
        for name in ["out.jsonl.5", "out.jsonl.4", "out.jsonl.3", "out.jsonl.2", "out.jsonl.1", "out.jsonl"] {
            let Ok(text) = fs::read_to_string(self.dir.path().join(name)) else { continue };
            for line in text.lines() {
                let v: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
                if v.get("resourceSpans").is_some() {
                    read_spans(&v, &mut spans);
                } else if v.get("resourceMetrics").is_some() {
                    metrics.push(v);
                }
            }
        }
        let api = self.api.to_string();
        spans.retain(|s| s.attr("server.port") != api);
        Told { spans, metrics, stderr, api }
    }
}

/// A test's configuration with what the harness sets.
fn whole(dir: &Path, api: u16, config: &str) -> String {
    let out = dir.join("out.jsonl");
    let mut text = format!("server: {{ listen: \"127.0.0.1:{api}\" }}\n");
    if !config.contains("export:") {
        text += &format!("export: {{ file: {{ path: {} }} }}\n", out.display());
    }
    text + &config.replace("$OUT", &out.display().to_string())
}

/// A point of a histogram, the last of its series that was exported.
#[derive(Clone, Debug, Default)]
pub struct Point {
    pub resource: BTreeMap<String, String>,
    pub attrs: BTreeMap<String, String>,
    pub count: u64,
}

impl Told {
    /// The last point of every series of a cumulative histogram.
    pub fn points(&self, name: &str) -> Vec<Point> {
        let mut last = BTreeMap::new();
        self.each_histogram(|metric, resource, p| {
            if metric == name && !flat(&p["attributes"]).values().any(|v| *v == self.api) {
                let count = p["count"].as_str().unwrap().parse().unwrap();
                let key = (resource.to_string(), p["attributes"].to_string());
                let point = Point { resource: flat(resource), attrs: flat(&p["attributes"]), count };
                last.insert(key, point);
            }
        });
        last.into_values().collect()
    }

    /// (trace id, span id) of every exemplar that was exported.
    pub fn exemplars(&self) -> Vec<(String, String)> {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let mut all = Vec::new();
        self.each_histogram(|_, _, p| {
            if !flat(&p["attributes"]).values().any(|v| *v == self.api) {
                let exemplars = p["exemplars"].as_array().into_iter().flatten();
                all.extend(exemplars.map(|e| (text(&e["traceId"]), text(&e["spanId"]))));
            }
        });
        all
    }

    fn each_histogram(&self, mut take: impl FnMut(&str, &Value, &Value)) {
        for m in &self.metrics {
            for r in m["resourceMetrics"].as_array().unwrap() {
                for s in r["scopeMetrics"].as_array().unwrap() {
                    for metric in s["metrics"].as_array().unwrap() {
                        for p in metric["histogram"]["dataPoints"].as_array().into_iter().flatten() {
                            take(metric["name"].as_str().unwrap(), &r["resource"]["attributes"], p);
                        }
                    }
                }
            }
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Waits for a child's exit code.
pub fn wait(child: &mut Child, at_most: Duration) -> Option<i32> {
    let end = Instant::now() + at_most;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

fn flat(list: &Value) -> BTreeMap<String, String> {
    let text = |v: &Value| -> String {
        let Some((kind, inner)) = v.as_object().and_then(|o| o.iter().next()) else { return String::new() };
        match (kind.as_str(), inner) {
            ("stringValue" | "intValue", Value::String(s)) => s.clone(),
            (_, other) => other.to_string(),
        }
    };
    list.as_array()
        .map(|a| a.iter().map(|kv| (kv["key"].as_str().unwrap().to_owned(), text(&kv["value"]))).collect())
        .unwrap_or_default()
}

fn read_spans(v: &Value, out: &mut Vec<Span>) {
    let number = |v: &Value| v.as_str().map_or_else(|| v.as_u64().unwrap_or(0), |s| s.parse().unwrap());
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    for rs in v["resourceSpans"].as_array().unwrap() {
        let resource = flat(&rs["resource"]["attributes"]);
        for ss in rs["scopeSpans"].as_array().unwrap() {
            for s in ss["spans"].as_array().unwrap() {
                out.push(Span {
                    name: text(&s["name"]),
                    kind: number(&s["kind"]),
                    trace_id: text(&s["traceId"]),
                    span_id: text(&s["spanId"]),
                    parent_id: text(&s["parentSpanId"]),
                    start: number(&s["startTimeUnixNano"]),
                    end: number(&s["endTimeUnixNano"]),
                    status: number(&s["status"]["code"]),
                    attrs: flat(&s["attributes"]),
                    resource: resource.clone(),
                });
            }
        }
    }
}

/// Counts of equal things, for comparing multisets.
pub fn multiset<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_insert(0) += 1;
    }
    counts
}

/// Compares two multisets and prints only where they differ.
pub fn same<T: Ord + std::fmt::Debug + Clone>(
    what: &str,
    got: impl IntoIterator<Item = T>,
    expect: impl IntoIterator<Item = T>,
) {
    let (got, expect) = (multiset(got), multiset(expect));
    let differ: Vec<_> = got
        .keys()
        .chain(expect.keys())
        .filter(|k| got.get(k) != expect.get(k))
        .map(|k| (k.clone(), got.get(k).copied().unwrap_or(0), expect.get(k).copied().unwrap_or(0)))
        .take(10)
        .collect();
    let total = |m: &BTreeMap<T, usize>| m.values().sum::<usize>();
    assert!(
        differ.is_empty(),
        "{what}: {} got, {} expected; (thing, got, expected) of the first that differ: {differ:#?}",
        total(&got),
        total(&expect)
    );
}

/// A server that ends with its value.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
    /// Its folder.
    pub dir: tempfile::TempDir,
}

impl Server {
    /// Starts a command and waits until it accepts connections on `port`.
    pub fn start(port: u16, dir: tempfile::TempDir, command: &mut Command) -> Server {
        let child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.path().join("stdout")).unwrap())
            .stderr(fs::File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut server = Server { child, port, dir };
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = || fs::read_to_string(server.dir.path().join("stderr")).unwrap();
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", said());
            }
            assert!(Instant::now() < end, "the server does not listen: {}", said());
            std::thread::sleep(Duration::from_millis(30));
        }
        server
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
            // nginx ends its workers on SIGTERM, not on SIGKILL.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            if wait(&mut self.child, Duration::from_secs(5)).is_none() {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
            }
        }
    }
}

/// nginx with a configuration of the given `server` body; `$DIR` stands for its folder.
pub fn nginx(body: &str) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let path = dir.path().display().to_string();
    fs::create_dir(dir.path().join("www")).unwrap();
    // nginx's workers are another user.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let text = format!(
        "daemon off; worker_processes 2; pid {path}/pid; error_log {path}/error.log;
         events {{ worker_connections 1024; }}
         http {{
           client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;
           uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
           log_format t '$request_method $request_uri $status $body_bytes_sent $request_time $pid';
           access_log {path}/access.log t; keepalive_requests 1000000;
           {}
         }}",
        body.replace("$DIR", &path).replace("$PORT", &port.to_string())
    );
    fs::write(dir.path().join("nginx.conf"), text).unwrap();
    let conf = dir.path().join("nginx.conf");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&conf).arg("-p").arg(dir.path());
    Server::start(port, dir, &mut command)
}

/// A raw exchange: GET with a new connection.
pub fn get(port: u16, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let answer = raw(port, request.as_bytes());
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return (status, dechunk(body));
    }
    (status, body.to_owned())
}

fn dechunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        out += &rest[..size];
        body = rest[size..].trim_start_matches("\r\n");
    }
    out
}

/// Sends bytes on a new connection and reads until the peer closes.
pub fn raw(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut s = TcpStream::connect(("127.0.0.1", port)).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    s.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    s.read_to_end(&mut answer).unwrap();
    answer
}

/// Reads one response that says its length.
pub fn answer(s: &mut impl Read) {
    let (mut got, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        let n = s.read(&mut buffer).unwrap();
        assert!(n > 0, "ended after {:?}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..n]);
        let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.map_or(0, |l| l.split('\r').next().unwrap().parse().unwrap());
        if got.len() >= end + 4 + length {
            return;
        }
    }
}

/// Lines of a server's file.
pub fn lines(path: &Path) -> Vec<String> {
    BufReader::new(fs::File::open(path).unwrap()).lines().map(Result::unwrap).collect()
}
