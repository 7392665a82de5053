use std::path::Path;

use telegen_config::{Errors, Layers, Lookup};
use telegen_pipeline::WhenFull;

use super::{Settings, env, source};

/// An environment and a file system of one's own.
#[derive(Default)]
pub(super) struct Table(pub(super) Vec<(&'static str, &'static str)>);

impl Lookup for Table {
    fn env(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    }
    fn file(&self, path: &str) -> Result<String, String> {
        self.env(path).ok_or_else(|| "no such file".to_owned())
    }
}

fn load_with(table: Table, yaml: &str, sets: &[&str]) -> Result<(Settings, String), Errors> {
    let mut layers = Layers::new().text("t.yaml", yaml, &table);
    for set in sets {
        layers = layers.set(*set);
    }
    let (environment, _) = env::layer(&table, &layers);
    let loaded = layers.below(environment).load::<Settings>(&table)?;
    Ok((loaded.settings.clone(), loaded.show()))
}

fn load(yaml: &str) -> Result<Settings, Errors> {
    load_with(Table::default(), yaml, &[]).map(|(s, _)| s)
}

/// The lines of the report.
fn wrong(yaml: &str) -> Vec<String> {
    load(yaml).unwrap_err().problems().iter().map(ToString::to_string).collect()
}

fn fresh(file: &str, made: &str, command: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "docs/{file} is not fresh: run telegen config {command} > docs/{file}");
}

#[test]
fn the_committed_reference_and_schema_are_fresh() {
    fresh("configuration.md", &super::reference(), "docs");
    let schema = telegen_config::schema::<Settings>();
    fresh("config.schema.json", &format!("{schema:#}\n"), "schema");
}

#[test]
fn the_default_file_has_no_section_that_is_no_map() {
    // Nothing behind a key but keys that are switched off is null to a schema.
    let text = super::default_file();
    let active: Vec<&str> =
        text.lines().filter(|l| !l.trim_start().starts_with('#') && !l.trim().is_empty()).collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    for (at, line) in active.iter().enumerate().filter(|(_, line)| line.ends_with(':')) {
        assert!(active.get(at + 1).is_some_and(|next| depth(next) > depth(line)), "{line}");
    }
    assert!(text.contains("\n# export:\n") && text.contains("\nagent:\n"));
}

#[test]
fn the_reference_names_the_words_of_every_choice_once() {
    let text = super::reference();
    for row in [
        "| `export.otlp.queue.when_full` | block \\| drop_oldest \\| drop_newest | not set |",
        "| `collector.snmp.credentials.NAME.version` | 1 \\| 2c \\| 3 | must be given |",
        "| `export.kafka.brokers` | list of addresses |",
    ] {
        assert!(text.contains(row), "{row}");
    }
    for words in
        ["md5, sha1, sha224, sha256, sha384 or sha512", "des, aes128, aes192, aes256, aes192c or aes256c"]
    {
        assert!(text.contains(words), "{words}");
    }
}

#[test]
fn what_is_shown_of_queues_is_what_they_do() {
    let yaml = "export: { otlp: [ { name: a, endpoint: http://a }, { name: b, endpoint: http://b, queue: { path: /q } } ] }\n";
    let mut settings = load(yaml).unwrap();
    settings.fill_in_queues();
    let queue = |at: usize| {
        let queue = &settings.export.otlp()[at].queue;
        (queue.max_size.unwrap().to_string(), queue.when_full.unwrap())
    };
    assert_eq!(queue(0), ("16MiB".to_owned(), WhenFull::Block));
    assert_eq!(queue(1), ("1GiB".to_owned(), WhenFull::DropOldest));
}

#[test]
fn the_default_file_reads_as_the_defaults() {
    assert_eq!(load(&super::default_file()), Ok(Settings::default()));
    assert_eq!(load(""), Ok(Settings::default()));
}

#[test]
fn the_default_file_is_right_also_when_every_example_is_switched_on() {
    let text =
        super::default_file().replace("${KAFKA_PASSWORD}", "p").replace("${file:/etc/telegen/", "${file:");
    let mut on = String::new();
    for line in text.lines() {
        // A section whose keys are all switched off is one word and a colon.
        let section = |l: &str| l.ends_with(':') && !l.contains(' ');
        let uncommented = line.strip_prefix("# ").filter(|l| l.starts_with("  ") || section(l));
        // Keys that are empty by default stand twice: the example wins.
        on.push_str(uncommented.unwrap_or(line));
        on.push('\n');
    }
    let lines: Vec<&str> = on.lines().collect();
    let key = |l: &str| l.split(':').next().map(str::to_owned);
    let kept: Vec<&str> = (0..lines.len())
        .filter(|i| {
            let empty = lines[*i].ends_with(": []") || lines[*i].ends_with(": {}");
            !(empty && lines.get(i + 1).is_some_and(|next| key(next) == key(lines[*i])))
        })
        .map(|i| lines[i])
        .collect();
    let table = Table(vec![("token", "t"), ("snmp-auth", "long enough"), ("snmp-priv", "long enough")]);
    let (settings, _) = load_with(table, &kept.join("\n"), &[]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(settings.collector.snmp.targets.len(), 1);
    assert_eq!(settings.export.otlp().len(), 1);
    assert!(settings.collector.snmp.traps.is_some() && settings.receive.otlp.is_some());
}

/// The configuration block of the contract, with its defaults written out.
const WHOLE: &str = r#"
mode: agent
log: { level: info, format: text }
resource: { attributes: { deployment.environment.name: prod } }
server: { listen: 127.0.0.1:19090, auth: { token_file: FILE }, tls: { cert: FILE, key: FILE }, hosts: [] }
limits: { memory: 256MiB }
shutdown: { timeout: 5s }
receive:
  otlp: { grpc: 127.0.0.1:4317, http: 127.0.0.1:4318, acknowledge: memory, tls: {cert: FILE, key: FILE}, auth: {token_file: FILE}, insecure: false }
export:
  otlp:
    endpoint: http://127.0.0.1:4317
    protocol: grpc
    compression: gzip
    headers: { authorization: "${file:/etc/telegen/token}" }
    tls: { ca: FILE, cert: FILE, key: FILE, insecure_skip_verify: false }
    timeout: 10s
    retry: { initial: 1s, max: 30s, max_elapsed: 0s }
    batch: { max_bytes: 4MiB, max_items: 8192, timeout: 1s }
    queue: { path: /var/lib/telegen/queue, max_size: 1GiB, fsync: 100ms, when_full: drop_oldest }
    signals: [traces, metrics, logs, profiles]
  file: { path: telemetry.jsonl, rotate: { max_size: 100MiB, keep: 5 } }
  prometheus: { enabled: true }
  remote_write: { endpoint: http://127.0.0.1:9090/api/v1/write, version: 2, headers: {}, tls: {}, timeout: 10s, retry: {}, queue: {} }
  kafka: { brokers: ["127.0.0.1:9092"], topic: "otlp_{signal}", encoding: otlp_proto, compression: zstd, sasl: { mechanism: SCRAM-SHA-512, username: U, password: P }, tls: {} }
  console: {}
process:
  attributes:
    - { action: drop, key: K }
    - { action: rename, key: K, to: L }
    - { action: hash, key: K }
    - { action: mask, key: K }
    - { action: set, key: K, value: V }
agent:
  ring_size: 8MiB
  discovery:
    include: [ { port: "8000-8999", exe: "/usr/*", service: "shop-*", container: "*", namespace: "*" } ]
    exclude: []
  traces:
    enabled: true
    sample: { ratio: 1.0, keep_errors: true, keep_slower_than: 1s }
    frontend: auto
    head: { request: 512, response: 256 }
    capture_budget: 20000/s
    mask: { query_keys: [extra, secret, keys] }
    headers: []
    instrumented: metrics
  metrics: { interval: 10s, exponential_histograms: false, max_routes: 200, max_series_per_service: 2000 }
  profiles: { enabled: true, rate: 19, interval: 10s }
  logs: { enabled: true, files: [ { path: "/var/log/app/*.log", exclude: [], start: end, multiline: auto, parse: auto } ] }
  host: { enabled: true }
  network: { enabled: true }
  gpu: { enabled: true }
collector:
  snmp:
    interval: 60s
    credentials:
      public: { version: 2c, community: public }
      ops:    { version: 3, user: ops, auth: { protocol: sha256, password: "${file:auth}" }, priv: { protocol: aes128, password: "12345678" }, context: "" }
    targets:
      - { address: 127.0.0.1:1161, name: core-1, credentials: [ops, public], interval: 30s, profile: auto, labels: { site: lab } }
    target_files: ["/etc/telegen/targets/*.yaml"]
    scan: [ { subnet: 127.1.0.0/24, credentials: [public], packets_per_second: 200 } ]
    shard: { index: 0, of: 1 }
    profiles: ["/etc/telegen/profiles"]
    names: otel
    traps: { listen: ["udp://127.0.0.1:10162", "tcp://127.0.0.1:10162"], communities: [public], users: [ops], sources: [], limits: { per_device: 0, dedup: 0s }, forward: [] }
  arrays: []
  clouds: []
  databases: []
"#;

fn files() -> Table {
    Table(vec![("/etc/telegen/token", "Bearer tok-en\n"), ("auth", "correct horse")])
}

#[test]
fn every_key_of_the_contract_is_accepted_and_its_values_are_the_defaults() {
    let (s, shown) = load_with(files(), WHOLE, &[]).unwrap_or_else(|e| panic!("{e}"));
    let d = Settings::default();
    assert_eq!((s.mode, s.log, s.limits, s.shutdown), (d.mode, d.log, d.limits, d.shutdown));
    assert_eq!(s.server.listen, d.server.listen);
    assert_eq!(s.agent.traces.sample, d.agent.traces.sample);
    assert_eq!(s.agent.traces.capture_budget, d.agent.traces.capture_budget);
    assert_eq!(s.agent.metrics, d.agent.metrics);
    assert_eq!(s.agent.profiles, d.agent.profiles);
    assert_eq!(s.collector.snmp.interval, d.collector.snmp.interval);
    let minimal = "export: { otlp: { endpoint: 'http://127.0.0.1:4317' }, file: { path: telemetry.jsonl } }";
    let m = load(minimal).unwrap();
    let (whole, least) = (&s.export.otlp()[0], &m.export.otlp()[0]);
    assert_eq!(
        (whole.protocol, whole.compression, whole.timeout),
        (least.protocol, least.compression, least.timeout)
    );
    assert_eq!((&whole.retry, &whole.batch, &whole.signals), (&least.retry, &least.batch, &least.signals));
    assert_eq!(
        (whole.queue.fsync, whole.queue.when_full()),
        (least.queue.fsync, telegen_pipeline::WhenFull::DropOldest)
    );
    assert_eq!(least.queue.when_full(), telegen_pipeline::WhenFull::Block);
    assert_eq!(s.export.files()[0].config(), m.export.files()[0].config());
    for secret in ["tok-en", "correct horse", "12345678", "password: P", "community: public", "- public"] {
        assert!(!shown.contains(secret), "{secret} is shown:\n{shown}");
    }
    assert!(shown.contains("authorization: REDACTED") && shown.contains("community: REDACTED"));
}

#[test]
fn what_is_shown_reads_back_where_nothing_is_secret() {
    let yaml =
        "export: { otlp: { endpoint: 'http://h:4317', queue: { path: /q } } }\nagent: { ring_size: 64KiB }";
    let (settings, shown) = load_with(Table::default(), yaml, &[]).unwrap();
    assert_eq!(load(&shown), Ok(settings));
}

#[test]
fn a_wrong_key_is_named_with_file_line_column_and_the_nearest_one() {
    assert_eq!(wrong("servr: {}"), ["t.yaml:1:1 servr: unknown key (nearest: server)"]);
    assert_eq!(
        wrong("agent:\n  traces:\n    sample: { ration: 0.5 }\n"),
        ["t.yaml:3:15 agent.traces.sample.ration: unknown key (nearest: ratio)"]
    );
    assert_eq!(
        wrong("endpoint: http://h:1\nlisten: 127.0.0.1:1"),
        [
            "t.yaml:1:1 endpoint: unknown key (nearest: export)",
            "t.yaml:2:1 listen: unknown key (nearest: limits)"
        ]
    );
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_only_one_that_has_it() {
    assert_eq!(wrong("ring_size: 1MiB"), ["t.yaml:1:1 ring_size: unknown key (nearest: agent.ring_size)"]);
}

#[test]
fn all_problems_of_a_file_are_told_at_once_and_in_order() {
    let found = wrong(
        "mode: agnet\nagent:\n  ring_size: 8Mib\n  traces: { head: { request: 0 }, headers: x }\n  metrics: { interval: 10 }\nexport: { otlp: { endpoint: ftp://h } }\n",
    );
    assert_eq!(
        found,
        [
            "t.yaml:1:7 mode: \"agnet\": expected one of agent, collector (nearest: agent)",
            "t.yaml:3:14 agent.ring_size: \"8Mib\": expected a size (KiB MiB GiB TiB kB MB GB TB or plain bytes), such as 64MiB",
            "t.yaml:4:30 agent.traces.head.request: \"0\": 0 is not allowed here",
            "t.yaml:4:44 agent.traces.headers: \"x\": expected a list",
            "t.yaml:5:24 agent.metrics.interval: \"10\": expected a duration with units (d h m s ms us ns), such as 10s or 1m30s",
            "t.yaml:6:29 export.otlp.endpoint: \"ftp://h\": expected http:// or https://",
        ]
    );
}

#[test]
fn zero_is_allowed_only_where_it_means_something() {
    for yaml in [
        "agent: { traces: { capture_budget: 0 } }",
        "export: { otlp: { endpoint: 'http://h:1', retry: { max_elapsed: 0s } } }",
        "collector: { snmp: { shard: { index: 0, of: 2 }, traps: { listen: ['udp://h:1'], limits: { per_device: 0, dedup: 0s } } } }",
    ] {
        assert!(load(yaml).is_ok(), "{yaml}: {:?}", load(yaml));
    }
    for yaml in [
        "shutdown: { timeout: 0s }",
        "limits: { memory: 0 }",
        "agent: { metrics: { interval: 0s } }",
        "agent: { metrics: { max_routes: 0 } }",
        "agent: { metrics: { max_series_per_service: 0 } }",
        "agent: { profiles: { rate: 0 } }",
        "agent: { traces: { sample: { ratio: 0 } } }",
        "agent: { ring_size: 0 }",
        "export: { otlp: { endpoint: 'http://h:1', timeout: 0s } }",
        "export: { otlp: { endpoint: 'http://h:1', batch: { max_items: 0 } } }",
        "export: { otlp: { endpoint: 'http://h:1', retry: { initial: 0s } } }",
        "export: { otlp: { endpoint: 'http://h:1', queue: { max_size: 0 } } }",
        "export: { otlp: { endpoint: 'http://h:1', queue: { fsync: 0s } } }",
        "export: { file: { path: x, rotate: { keep: 0 } } }",
        "collector: { snmp: { interval: 0s } }",
        "collector: { snmp: { scan: [ { subnet: 127.1.0.0/24, packets_per_second: 0 } ] } }",
        "collector: { snmp: { shard: { of: 0 } } }",
    ] {
        assert_eq!(wrong(yaml).len(), 1, "{yaml}: {:?}", load(yaml).err());
    }
}

#[test]
fn what_would_be_open_to_the_network_needs_a_guard() {
    let server = |listen: &str| format!("server: {{ listen: '{listen}' }}");
    for fine in ["", "unix:/run/telegen.sock", "127.0.0.1:1", "[::1]:1", "localhost:1"] {
        assert!(load(&server(fine)).is_ok(), "{fine}");
    }
    for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "host.example:1"] {
        assert_eq!(wrong(&server(open)).len(), 1, "{open}");
        assert!(load(&format!("server: {{ listen: '{open}', auth: {{ token_file: t }} }}")).is_ok());
    }
    let receive = |more: &str| format!("receive: {{ otlp: {{ grpc: '0.0.0.0:4317'{more} }} }}");
    assert!(load(&receive(", insecure: true")).is_ok());
    assert!(load(&receive(", tls: { cert: c, key: k }, auth: { token_file: t }")).is_ok());
    assert_eq!(wrong(&receive(", tls: { cert: c, key: k }")).len(), 1);
    assert_eq!(wrong(&receive("")).len(), 1);
}

#[test]
fn substitution_reaches_numbers_and_durations_and_is_never_shown() {
    let table =
        || Table(vec![("RATE", "17"), ("WAIT", "20"), ("HOST", "hidden.example"), ("tok", "s3cret\n")]);
    let yaml = "agent: { profiles: { rate: '${RATE}' }, metrics: { interval: '${WAIT}s' } }\n\
                export: { otlp: { endpoint: 'http://u:p@${HOST}:1/x', headers: { a: 'Bearer ${file:tok}' } } }";
    let (s, shown) = load_with(table(), yaml, &[]).unwrap();
    assert_eq!(s.agent.profiles.rate, 17);
    assert_eq!(s.agent.metrics.interval, telegen_config::Duration::secs(20));
    assert_eq!(s.export.otlp()[0].headers["a"].expose(), "Bearer s3cret");
    for line in ["rate: REDACTED", "interval: REDACTEDs", "endpoint: http://REDACTED@REDACTED:1/x"] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
    assert!(!shown.contains("hidden") && !shown.contains("s3cret") && !shown.contains("u:p"));
    // A wrong value that was substituted is not in the message either.
    let error =
        load_with(table(), "mode: ${HOST}\nagent: { ring_size: '${RATE}x' }", &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "t.yaml:1:7 mode: \"REDACTED\": expected one of agent, collector\n\
         t.yaml:2:21 agent.ring_size: \"REDACTEDx\": expected a size (KiB MiB GiB TiB kB MB GB TB or plain bytes), such as 64MiB"
    );
    assert_eq!(
        wrong("export: { otlp: { endpoint: http://me:pw@/x } }"),
        [
            "t.yaml:1:29 export.otlp.endpoint: \"http://REDACTED@/x\": expected a URL such as http://127.0.0.1:4317 or https://host/path"
        ]
    );
}

#[test]
fn a_wrong_secret_is_not_repeated() {
    let error = wrong(
        "collector: { snmp: { credentials: { a: { version: 3, user: u, auth: { protocol: md5, password: hunter2 } } } } }",
    );
    assert_eq!(
        error,
        ["t.yaml:1:96 collector.snmp.credentials.a.auth.password: \"REDACTED\": shorter than 8 characters"]
    );
    assert_eq!(
        wrong("export: { otlp: { endpoint: http://h:1, headers: { a: \"x\\ny\" } } }"),
        ["t.yaml:1:55 export.otlp.headers.a: \"REDACTED\": a header's value has no control characters"]
    );
    assert_eq!(wrong("export: { otlp: { endpoint: http://h:1, headers: { a: *hunter2 } } }").len(), 1);
    assert!(
        !wrong("export: { otlp: { endpoint: http://h:1, headers: { a: *hunter2 } } }")[0].contains("hunter2")
    );
}

#[test]
fn set_wins_over_the_file_and_the_file_over_the_environment() {
    let table = || {
        Table(vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4317"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=env,b=x%20y,service.name=me"),
        ])
    };
    let yaml =
        "export: { otlp: { endpoint: http://file:1, timeout: 3s } }\nresource: { attributes: { a: file } }";
    let (s, _) =
        load_with(table(), yaml, &["export.otlp.timeout=4s", "resource.attributes.k8s.pod.name=p"]).unwrap();
    let otlp = &s.export.otlp()[0];
    assert_eq!(otlp.endpoint.to_string(), "http://file:1");
    assert_eq!(otlp.compression, telegen_export::Compression::None);
    assert_eq!(otlp.timeout, telegen_config::Duration::secs(4));
    let attributes: Vec<(&str, &str)> =
        s.resource.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(attributes, [("a", "file"), ("b", "x y"), ("k8s.pod.name", "p")]);
    assert_eq!(s.resource.service_name, "me");
}

#[test]
fn nothing_is_exported_unless_someone_says_so() {
    assert!(Settings::default().export.is_empty());
    let lone = Table(vec![("OTEL_EXPORTER_OTLP_HEADERS", "a=b"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert!(load_with(lone, "", &[]).unwrap().0.export.is_empty());
    let endpoint = Table(vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]);
    let (s, _) = load_with(endpoint, "", &[]).unwrap();
    assert_eq!(s.export.otlp()[0].protocol, telegen_export::Protocol::HttpProtobuf);
    let off = Table(vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]);
    assert!(load_with(off, "", &["export.otlp=null"]).unwrap().0.export.is_empty());
}

#[test]
fn an_endpoint_of_one_signal_is_used_as_it_is_and_the_rest_goes_elsewhere() {
    let table = Table(vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=v"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "k=w"),
    ]);
    let (s, _) = load_with(table, "", &[]).unwrap();
    let configs: Vec<_> =
        s.export.otlp().iter().map(telegen_export::settings::OtlpSettings::config).collect();
    let seen: Vec<_> = configs
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.target.endpoint.url.as_str(),
                c.target.endpoint.exact,
                c.target.headers[0].1.expose(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [("otlp", "http://all:4318", false, "v"), ("otlp-traces", "http://traces:4317", true, "w")]
    );
    let takes = |i: usize| configs[i].signals.iter().map(telegen_model::Signal::name).collect::<Vec<_>>();
    assert_eq!((takes(0), takes(1)), (vec!["metrics", "logs", "profiles"], vec!["traces"]));
}

#[test]
fn a_variable_that_makes_no_sense_is_ignored_and_told() {
    let table = Table(vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sometimes"),
    ]);
    let (_, ignored) = env::layer(&table, &Layers::new());
    assert_eq!(ignored.len(), 2);
    assert!(
        ignored[0]
            .starts_with("environment variable OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is ignored")
    );
    assert!(load_with(table, "", &[]).unwrap().0.export.is_empty());
}

#[test]
fn exporters_of_one_name_are_refused() {
    assert_eq!(
        wrong("export: { file: [ { path: a }, { path: b } ] }"),
        ["t.yaml:1:32 export.file.1: is called file like export.file.0: give it another `name`"]
    );
    assert!(load("export: { file: [ { path: a }, { path: b, name: second } ] }").is_ok());
}

#[test]
fn a_section_with_nothing_in_it_is_a_section_with_defaults_but_an_exporter_must_say_what_it_wants() {
    assert!(load("agent:\nserver:\nexport:\n").is_ok());
    assert_eq!(
        wrong("export:\n  console:\n"),
        ["t.yaml:2:10 export.console: has no value: write {} for the defaults, or remove the key"]
    );
    assert!(load("export:\n  console: {}\n").is_ok());
}

#[test]
fn set_takes_lists_by_number_and_reports_what_is_wrong_with_it() {
    let target = ["collector.snmp.targets.0.address=10.0.0.1", "collector.snmp.targets.0.name=core"];
    let (s, _) = load_with(Table::default(), "", &target).unwrap();
    assert_eq!(s.collector.snmp.targets[0].name.as_deref(), Some("core"));
    let text = |set: &str| load_with(Table::default(), "", &[set]).unwrap_err().to_string();
    assert_eq!(text("server.listn=x"), "--set server.listn: unknown key (nearest: listen)");
    assert_eq!(
        text("export.file.3.path=x"),
        "--set export.file.3.path: \"3\" is not one of the list's 0 items, nor the next one"
    );
    assert_eq!(text("nothing"), "--set: expected KEY=VALUE");
    let (s, _) = load_with(Table::default(), "", &["server.listen=[::1]:9"]).unwrap();
    assert_eq!(s.server.listen.to_string(), "[::1]:9");
    let (s, _) = load_with(Table::default(), "", &["server.listen="]).unwrap();
    assert_eq!(s.server.listen, telegen_config::Listen::Off);
}

#[test]
fn a_missing_file_is_named() {
    let source = source::Source { file: Some("/nonexistent/t.yaml".into()), ..source::Source::default() };
    let error = source.load().unwrap_err().to_string();
    assert_eq!(error, "/nonexistent/t.yaml: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn two_that_want_one_place_are_refused() {
    let text = "receive: { otlp: { grpc: '127.0.0.1:4317', http: '127.0.0.1:4317' } }\n\
                export:\n  otlp:\n    - { name: a/b, endpoint: 'http://h:1', queue: { path: /q } }\n    \
                - { name: a_b, endpoint: 'http://h:2', queue: { path: /q } }\n  \
                file: [ { name: c, path: /f }, { name: d, path: /f } ]\n  \
                kafka: { brokers: ['h:1'], topic: 'a b' }\n";
    let problems = wrong(text);
    for (problem, key) in std::iter::zip(
        &problems,
        ["receive.otlp.http", "export.otlp.1.queue.path", "export.file.1.path", "export.kafka.topic"],
    ) {
        assert!(problem.contains(&format!(" {key}: ")), "{problem}");
    }
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn the_memory_budget_is_summed_and_names_the_keys_that_break_it() {
    for fine in [
        "limits: { memory: 32MiB }\nreceive: { otlp: { grpc: 127.0.0.1:4317 } }\nexport: { otlp: { endpoint: 'http://h:1' } }",
        "export: { otlp: { endpoint: 'http://h:1', queue: { max_size: 128MiB } } }",
        "export: { otlp: { endpoint: 'http://h:1', queue: { path: q, max_size: 100GiB } } }",
    ] {
        assert!(load(fine).is_ok(), "{fine}: {:?}", load(fine).err());
    }
    let found = wrong(
        "limits: { memory: 256MiB }\nview: { memory: 64MiB }\nexport:\n  otlp:\n    - { name: a, endpoint: 'http://h:1', queue: { max_size: 150MiB } }\n    - { name: b, endpoint: 'http://h:2' }\n",
    );
    assert_eq!(
        found,
        [
            "t.yaml:1:19 limits.memory: \"256MiB\": less than its parts, 294MiB: export.otlp.0.queue.max_size 150MiB, view.memory 64MiB, what waits for the page 32MiB, the program itself 24MiB, export.otlp.1.queue 16MiB, twice export.otlp.batch.max_byt..."
        ]
    );
    assert_eq!(wrong("export: { otlp: { endpoint: 'http://h:1', batch: { max_bytes: 200MiB } } }").len(), 1);
    let small = |more: &str| format!("limits: {{ memory: 8MiB }}\n{more}");
    assert!(load(&small("")).is_ok());
    assert_eq!(wrong(&small("receive: { otlp: { grpc: 127.0.0.1:4317 } }")).len(), 1);
}

#[test]
fn rates_and_further_peers_are_checked() {
    let otlp = |more: &str| format!("export: {{ otlp: {{ endpoint: 'http://h:1', {more} }} }}");
    assert!(load(&otlp("rate: 100/s, more_endpoints: ['http://h:2'], spread: balance")).is_ok());
    for (more, problems) in [
        ("rate: 0", 1),
        ("rate: 100", 1),
        ("more_endpoints: ['http://h:1']", 1),
        ("more_endpoints: ['http://h:2', 'http://h:2']", 1),
        ("spread: both", 1),
    ] {
        assert_eq!(wrong(&otlp(more)).len(), problems, "{more}");
    }
    assert_eq!(wrong("receive: { otlp: { grpc: 127.0.0.1:4317, rate: 0 } }").len(), 1);
}
