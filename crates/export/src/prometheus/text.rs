//! Renders metrics in the two text forms.

use std::collections::BTreeMap;
use std::fmt::Write;

use telegen_model::{
    Attrs, Exemplar, ExponentialHistogramPoint, HistogramPoint, KeyValue, Metric, MetricData, NumberValue,
    Records, Resource, ResourceGroup, Temporality, Value, semconv as s,
};
use telegen_selfmon::SELF_SCOPE;

use super::names::{Kind, escaped, family, label};

/// Which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Plain,
    /// `application/openmetrics-text; version=1.0.0`: with exemplars, ends with `# EOF`.
    OpenMetrics,
}

impl Format {
    /// The `Content-Type` of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A family: all samples of one name stand together, under one type and help.
struct Family {
    kind: Kind,
    help: String,
    samples: String,
}

/// Renders groups. Two metrics that come to one name with different types: the first stands, the other is left out.
/// Delta sums and histograms are left out too: an exposition is cumulative.
pub fn render(groups: &[ResourceGroup], format: Format) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut targets: BTreeMap<String, String> = BTreeMap::new();
    for group in groups {
        let Records::Metrics(metrics) = &group.records else { continue };
        let own = group.scope.name == SELF_SCOPE;
        let identity = if own { String::new() } else { identity(&group.resource) };
        if !own {
            targets.entry(identity.clone()).or_insert_with(|| target(&group.resource));
        }
        for metric in metrics {
            add(&mut families, metric, &identity, format);
        }
    }
    let mut out = String::new();
    if !targets.is_empty() {
        let (name, kind) = match format {
            Format::Plain => ("target_info", "gauge"),
            Format::OpenMetrics => ("target", "info"),
        };
        let _ok = writeln!(out, "# HELP {name} Attributes of the resource.\n# TYPE {name} {kind}");
        for (identity, more) in &targets {
            let comma = if identity.is_empty() || more.is_empty() { "" } else { "," };
            let _ok = writeln!(out, "target_info{{{identity}{comma}{more}}} 1");
        }
    }
    for (name, f) in &families {
        let kind = match f.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // The plain form names a counter as its sample is called.
        let shown = if f.kind == Kind::Counter && format == Format::Plain {
            format!("{name}_total")
        } else {
            name.clone()
        };
        let help = f.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ok = writeln!(out, "# HELP {shown} {help}\n# TYPE {shown} {kind}");
        out.push_str(&f.samples);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn add(families: &mut BTreeMap<String, Family>, metric: &Metric, identity: &str, format: Format) {
    let kind = match &metric.data {
        MetricData::Gauge(_) | MetricData::Sum { monotonic: false, .. } => Kind::Gauge,
        MetricData::Sum { temporality: Temporality::Cumulative, .. } => Kind::Counter,
        MetricData::Histogram { temporality: Temporality::Cumulative, .. }
        | MetricData::ExponentialHistogram { temporality: Temporality::Cumulative, .. } => Kind::Histogram,
        _ => return,
    };
    let name = family(&metric.name, &metric.unit, kind);
    let f = families.entry(name.clone()).or_insert_with(|| Family {
        kind,
        help: metric.description.to_string(),
        samples: String::new(),
    });
    if f.kind != kind {
        return;
    }
    let out = &mut f.samples;
    match &metric.data {
        MetricData::Gauge(points) | MetricData::Sum { points, .. } => {
            let suffix = if kind == Kind::Counter { "_total" } else { "" };
            for p in points {
                let labels = labels(identity, &p.attrs, None);
                let exemplar = if kind == Kind::Counter { p.exemplars.last() } else { None };
                line(out, &format!("{name}{suffix}"), &labels, &number(p.value), exemplar, format);
            }
        }
        MetricData::Histogram { points, .. } => {
            points.iter().for_each(|p| histogram(out, &name, identity, p, format))
        }
        MetricData::ExponentialHistogram { points, .. } => {
            points.iter().for_each(|p| histogram(out, &name, identity, &explicit(p), format));
        }
    }
}

fn histogram(out: &mut String, name: &str, identity: &str, p: &HistogramPoint, format: Format) {
    let mut count = 0;
    let bounds = p.bounds.iter().copied().chain([f64::INFINITY]);
    let mut low = f64::NEG_INFINITY;
    for (bound, n) in bounds.zip(&p.counts) {
        count += n;
        let within = |e: &&Exemplar| {
            let v = value(e.value);
            v > low && v <= bound
        };
        let le = float(bound);
        let labels = labels(identity, &p.attrs, Some(&le));
        line(
            out,
            &format!("{name}_bucket"),
            &labels,
            &count.to_string(),
            p.exemplars.iter().find(within),
            format,
        );
        low = bound;
    }
    let labels = labels(identity, &p.attrs, None);
    line(out, &format!("{name}_sum"), &labels, &float(p.sum), None, format);
    line(out, &format!("{name}_count"), &labels, &p.count.to_string(), None, format);
}

/// An exponential histogram as a classic one: its bucket bounds merged to at most sixteen.
fn explicit(p: &ExponentialHistogramPoint) -> HistogramPoint {
    let base = f64::from(-p.scale).exp2().exp2();
    let step = p.positive.len().div_ceil(16).max(1);
    let (mut bounds, mut counts) = (vec![0.0], vec![p.zero_count]);
    for (i, chunk) in p.positive.chunks(step).enumerate() {
        let index = p.positive_offset + i32::try_from(i * step + chunk.len()).unwrap_or(i32::MAX);
        bounds.push(base.powi(index));
        counts.push(chunk.iter().sum());
    }
    counts.push(0);
    HistogramPoint {
        attrs: p.attrs.clone(),
        start: p.start,
        time: p.time,
        count: p.count,
        sum: p.sum,
        min: p.min,
        max: p.max,
        bounds: bounds.into(),
        counts,
        exemplars: p.exemplars.clone(),
    }
}

fn line(
    out: &mut String,
    name: &str,
    labels: &str,
    value: &str,
    exemplar: Option<&Exemplar>,
    format: Format,
) {
    out.push_str(name);
    if !labels.is_empty() {
        let _ok = write!(out, "{{{labels}}}");
    }
    let _ok = write!(out, " {value}");
    if let (Format::OpenMetrics, Some(e)) = (format, exemplar) {
        let (seconds, millis) = (e.time / 1_000_000_000, e.time / 1_000_000 % 1000);
        let _ok = write!(
            out,
            " # {{trace_id=\"{}\",span_id=\"{}\"}} {} {seconds}.{millis:03}",
            e.trace_id,
            e.span_id,
            number(e.value)
        );
    }
    out.push('\n');
}

/// `job` and `instance`.
fn identity(resource: &Resource) -> String {
    let name = resource.text(s::SERVICE_NAME).unwrap_or("unknown_service");
    let job = match resource.text(s::SERVICE_NAMESPACE) {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let instance = resource.text(s::SERVICE_INSTANCE_ID).unwrap_or_default();
    format!("job=\"{}\",instance=\"{}\"", escaped(&job), escaped(instance))
}

/// The other attributes of a resource as labels.
fn target(resource: &Resource) -> String {
    let identifying = [s::SERVICE_NAME, s::SERVICE_NAMESPACE, s::SERVICE_INSTANCE_ID];
    let rest: Vec<KeyValue> =
        resource.attrs().iter().filter(|kv| !identifying.contains(&kv.key.as_str())).cloned().collect();
    join(&rest)
}

/// Identity first, then attributes; attributes whose names fall together are joined by `;` as the rule says.
fn labels(identity: &str, attrs: &Attrs, le: Option<&str>) -> String {
    let mut out = identity.to_owned();
    let own = join(attrs);
    if !own.is_empty() {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&own);
    }
    if let Some(le) = le {
        let _ok = write!(out, "{}le=\"{le}\"", if out.is_empty() { "" } else { "," });
    }
    out
}

fn join(attrs: &[KeyValue]) -> String {
    let mut merged: BTreeMap<String, String> = BTreeMap::new();
    for kv in attrs {
        let text = match &kv.value {
            Value::Str(v) => v.to_string(),
            Value::Int(v) => v.to_string(),
            Value::Double(v) => float(*v),
            Value::Bool(v) => v.to_string(),
            Value::Bytes(_) | Value::Array(_) | Value::Map(_) => continue,
        };
        merged
            .entry(label(&kv.key))
            .and_modify(|v| {
                v.push(';');
                v.push_str(&text);
            })
            .or_insert(text);
    }
    let pairs: Vec<String> = merged.iter().map(|(k, v)| format!("{k}=\"{}\"", escaped(v))).collect();
    pairs.join(",")
}

fn value(v: NumberValue) -> f64 {
    match v {
        NumberValue::Int(i) => i as f64,
        NumberValue::Double(d) => d,
    }
}

fn number(v: NumberValue) -> String {
    match v {
        NumberValue::Int(i) => i.to_string(),
        NumberValue::Double(d) => float(d),
    }
}

fn float(v: f64) -> String {
    if v == f64::INFINITY {
        "+Inf".to_owned()
    } else if v == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else if v.is_nan() {
        "NaN".to_owned()
    } else if v == v.trunc() && v.abs() < 1e15 {
        format!("{v:.1}")
    } else {
        v.to_string()
    }
}
