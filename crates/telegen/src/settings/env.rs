//! The environment variables of OpenTelemetry as a layer below the file.
//!
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> and
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>. Values that cannot be understood
//! are ignored and told, as the specification asks for.

use telegen_config::{Entry, Kind, Layers, Lookup, Node, Place, Scalar};

const SIGNALS: [&str; 3] = ["traces", "metrics", "logs"];

/// The layer, and what was ignored. `written` is what the file and the command line say.
pub(super) fn layer(lookup: &dyn Lookup, written: &Layers) -> (Node, Vec<String>) {
    let mut env = Env { lookup, tree: Node::map(Place::whole("environment")), ignored: Vec::new() };
    env.resource();
    env.metrics();
    env.otlp(written);
    (env.tree, env.ignored)
}

struct Env<'a> {
    lookup: &'a dyn Lookup,
    tree: Node,
    ignored: Vec<String>,
}

fn text(name: &str, value: impl Into<String>) -> Node {
    let scalar = Scalar { text: value.into(), plain: false, shown: None, hidden: Vec::new() };
    Node { place: Place::whole(format!("environment {name}")), kind: Kind::Scalar(scalar) }
}

fn word(name: &str, value: impl Into<String>) -> Node {
    Node::scalar(Place::whole(format!("environment {name}")), value)
}

fn list(name: &str, items: Vec<Node>) -> Node {
    Node { place: Place::whole(format!("environment {name}")), kind: Kind::List(items) }
}

impl Env<'_> {
    /// A variable; an empty one counts as not set.
    fn get(&self, name: &str) -> Option<String> {
        self.lookup.env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    }

    fn ignore(&mut self, name: &str, why: &str) {
        self.ignored.push(format!("environment variable {name} is ignored: {why}"));
    }

    fn resource(&mut self) {
        const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
        if let Some(pairs) = self.get(ATTRIBUTES) {
            match key_values(&pairs) {
                Some(pairs) => {
                    for (key, value) in pairs {
                        match key.as_str() {
                            "service.name" => {
                                self.tree.put(&["resource", "service_name"], text(ATTRIBUTES, value));
                            }
                            // These tell one service from another: they cannot be the same for all of them.
                            "service.instance.id" | "service.namespace" | "service.version" => {}
                            _ => self.tree.put(&["resource", "attributes", &key], text(ATTRIBUTES, value)),
                        }
                    }
                }
                None => self.ignore(ATTRIBUTES, "expected key=value,key=value"),
            }
        }
        const NAME: &str = "OTEL_SERVICE_NAME";
        if let Some(name) = self.get(NAME) {
            self.tree.put(&["resource", "service_name"], text(NAME, name));
        }
    }

    fn metrics(&mut self) {
        const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        if let Some(value) = self.get(TEMPORALITY) {
            match value.to_ascii_lowercase().as_str() {
                known @ ("cumulative" | "delta" | "lowmemory") => {
                    self.tree.put(&["agent", "metrics", "temporality"], word(TEMPORALITY, known));
                }
                _ => self.ignore(TEMPORALITY, "expected cumulative, delta or lowmemory"),
            }
        }
        const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        if let Some(value) = self.get(AGGREGATION) {
            let key = ["agent", "metrics", "exponential_histograms"];
            match value.to_ascii_lowercase().as_str() {
                "explicit_bucket_histogram" => self.tree.put(&key, word(AGGREGATION, "false")),
                "base2_exponential_bucket_histogram" => self.tree.put(&key, word(AGGREGATION, "true")),
                _ => {
                    let why = "expected explicit_bucket_histogram or base2_exponential_bucket_histogram";
                    self.ignore(AGGREGATION, why);
                }
            }
        }
    }

    /// One exporter for all signals, or one for each signal that has variables of its own. What the file says about
    /// `export.otlp` stands; variables fill in what a single object there leaves open.
    fn otlp(&mut self, written: &Layers) {
        let mut general = self.target("");
        let has_endpoint = general.child("endpoint").is_some();
        if written.mentions("export.otlp") {
            let is_map = written.written("export.otlp").is_none_or(|n| matches!(n.kind, Kind::Map(_)));
            if is_map {
                if written.mentions("export.otlp.endpoint") {
                    // The guess about the protocol was made from another address.
                    remove(&mut general, "endpoint");
                    if self.get("OTEL_EXPORTER_OTLP_PROTOCOL").is_none() {
                        remove(&mut general, "protocol");
                    }
                }
                self.tree.put(&["export", "otlp"], general);
            }
            return;
        }
        let mut own = Vec::new();
        let mut shared: Vec<&str> = SIGNALS.to_vec();
        for signal in SIGNALS {
            let part = self.target(&format!("{}_", signal.to_ascii_uppercase()));
            let Kind::Map(entries) = &part.kind else { continue };
            if entries.is_empty() || (!has_endpoint && part.child("endpoint").is_none()) {
                continue;
            }
            let place = part.place.clone();
            let mut exporter = general.clone();
            if part.child("endpoint").is_some() {
                remove(&mut exporter, "protocol");
                if let Some(protocol) = self.get("OTEL_EXPORTER_OTLP_PROTOCOL") {
                    exporter.put(&["protocol"], word("OTEL_EXPORTER_OTLP_PROTOCOL", protocol));
                }
                // An endpoint of one signal is used as it is.
                exporter.put(&["append_path"], Node::scalar(place.clone(), "false"));
            }
            exporter.overlay(part);
            exporter.put(&["name"], Node::scalar(place.clone(), format!("otlp-{signal}")));
            exporter.put(&["signals"], list("OTEL_EXPORTER_OTLP", vec![Node::scalar(place, signal)]));
            shared.retain(|s| *s != signal);
            own.push(exporter);
        }
        match (own.is_empty(), has_endpoint) {
            (true, false) => {}
            (true, true) => self.tree.put(&["export", "otlp"], general),
            (false, _) => {
                if has_endpoint {
                    let place = general.place.clone();
                    let rest = shared.into_iter().chain(["profiles"]);
                    let names = rest.map(|s| Node::scalar(place.clone(), s)).collect();
                    general.put(&["signals"], list("OTEL_EXPORTER_OTLP_ENDPOINT", names));
                    own.insert(0, general);
                }
                self.tree.put(&["export", "otlp"], list("OTEL_EXPORTER_OTLP", own));
            }
        }
    }

    /// The variables `OTEL_EXPORTER_OTLP_<part>...` as an exporter's settings.
    fn target(&mut self, part: &str) -> Node {
        let full = |name: &str| format!("OTEL_EXPORTER_OTLP_{part}{name}");
        let mut node = Node::map(Place::whole(format!("environment {}", full("*").trim_end_matches('*'))));
        let name = full("PROTOCOL");
        match self.get(&name).as_deref() {
            Some(known @ ("grpc" | "http/protobuf" | "http/json")) => {
                node.put(&["protocol"], word(&name, known))
            }
            Some(_) => self.ignore(&name, "expected grpc, http/protobuf or http/json"),
            None => {}
        }
        let name = full("ENDPOINT");
        if let Some(endpoint) = self.get(&name) {
            let insecure = self.get(&full("INSECURE")).is_some_and(|v| v.eq_ignore_ascii_case("true"));
            let scheme = if insecure { "http" } else { "https" };
            let url = if endpoint.contains("://") { endpoint } else { format!("{scheme}://{endpoint}") };
            match url.parse::<telegen_config::Url>() {
                Ok(parsed) => {
                    // 4318 is the port that OTLP over HTTP is registered with.
                    if parsed.host.port == 4318 && node.child("protocol").is_none() {
                        node.put(&["protocol"], word(&name, "http/protobuf"));
                    }
                    node.put(&["endpoint"], text(&name, url));
                }
                Err(why) => self.ignore(&name, &why),
            }
        }
        let name = full("COMPRESSION");
        match self.get(&name).as_deref() {
            Some(known @ ("gzip" | "zstd" | "none")) => node.put(&["compression"], word(&name, known)),
            Some(_) => self.ignore(&name, "expected gzip, zstd or none"),
            None => {}
        }
        let name = full("TIMEOUT");
        if let Some(value) = self.get(&name) {
            match value.parse::<u32>() {
                Ok(ms) if ms > 0 => node.put(&["timeout"], word(&name, format!("{ms}ms"))),
                _ => self.ignore(&name, "expected a number of milliseconds above 0"),
            }
        }
        for (variable, key) in [("CERTIFICATE", "ca"), ("CLIENT_CERTIFICATE", "cert"), ("CLIENT_KEY", "key")]
        {
            let name = full(variable);
            if let Some(path) = self.get(&name) {
                node.put(&["tls", key], text(&name, path));
            }
        }
        let name = full("HEADERS");
        if let Some(value) = self.get(&name) {
            match key_values(&value) {
                Some(pairs) => {
                    for (key, value) in pairs {
                        node.put(&["headers", &key], text(&name, value));
                    }
                }
                None => self.ignore(&name, "expected key=value,key=value"),
            }
        }
        node
    }
}

fn remove(node: &mut Node, key: &str) {
    if let Kind::Map(entries) = &mut node.kind {
        entries.retain(|e: &Entry| e.key != key);
    }
}

/// `key=value,key=value` with percent-encoded values (W3C Baggage, without its properties).
fn key_values(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let (key, value) = (key.trim(), value.trim());
            (!key.is_empty()).then_some(())?;
            Some((key.to_owned(), decoded(value)?))
        })
        .collect()
}

/// The text with `%XX` decoded; `None` when the result is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok()
}
