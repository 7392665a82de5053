//! Renders metrics in the two text forms.

use std::fmt::Write;

use telegen_model::{Exemplar, ResourceGroup};

use super::families::{Families, Family, number};
use super::names::{Kind, escaped};

/// Which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Plain,
    /// `application/openmetrics-text; version=1.0.0`: with units and exemplars, ends with `# EOF`.
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

/// Renders groups; the result is a valid exposition whatever they hold.
///
/// Of two metrics that come to one name with different types, and of two series that come to one name and
/// labels, the first stands. Delta sums and histograms have no place in an exposition. What is left out is
/// counted in `telegen_prometheus_left_out`.
pub fn render(groups: &[ResourceGroup], format: Format) -> String {
    let mut families = Families::new(format);
    groups.iter().for_each(|g| families.add_group(g));
    let mut out = String::new();
    if !families.targets.is_empty() {
        let (name, kind) = match format {
            Format::Plain => ("target_info", "gauge"),
            Format::OpenMetrics => ("target", "info"),
        };
        head(&mut out, format, name, kind, "Attributes of the resource.");
        for labels in families.targets.values() {
            let _ = writeln!(out, "target_info{{{labels}}} 1");
        }
    }
    families.by_name.iter().for_each(|(name, f)| family(&mut out, name, f, format));
    let name = "telegen_prometheus_left_out";
    head(
        &mut out,
        format,
        name,
        "gauge",
        "Series of this scrape whose name or labels were taken, or that count deltas.",
    );
    let _ = writeln!(out, "{name} {}", families.left_out);
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn family(out: &mut String, name: &str, f: &Family, format: Format) {
    if f.samples.text.is_empty() {
        return;
    }
    let kind = match f.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    match (f.kind, format) {
        // The plain form names a counter as its sample is called.
        (Kind::Counter, Format::Plain) => head(out, format, &format!("{name}_total"), kind, &f.help),
        _ => head(out, format, name, kind, &f.help),
    }
    if format == Format::OpenMetrics && !f.unit.is_empty() && name.ends_with(&format!("_{}", f.unit)) {
        let _ = writeln!(out, "# UNIT {name} {}", f.unit);
    }
    out.push_str(&f.samples.text);
}

fn head(out: &mut String, format: Format, name: &str, kind: &str, help: &str) {
    let help = match format {
        Format::Plain => help.replace('\\', "\\\\").replace('\n', "\\n"),
        // Here quotes are escaped too.
        Format::OpenMetrics => escaped(help).into_owned(),
    };
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Lines of a family.
pub(super) struct Samples {
    text: String,
    format: Format,
}

impl Samples {
    pub(super) fn new(format: Format) -> Samples {
        Samples { text: String::new(), format }
    }

    pub(super) fn line(
        &mut self,
        name: &str,
        labels: &str,
        le: Option<&str>,
        value: &str,
        exemplar: Option<&Exemplar>,
    ) {
        let out = &mut self.text;
        out.push_str(name);
        let _ = match le {
            Some(le) => {
                let comma = if labels.is_empty() { "" } else { "," };
                write!(out, "{{{labels}{comma}le=\"{le}\"}} {value}")
            }
            None if labels.is_empty() => write!(out, " {value}"),
            None => write!(out, "{{{labels}}} {value}"),
        };
        if let Some(e) = exemplar
            && self.format == Format::OpenMetrics
            && e.trace_id.is_valid()
        {
            let (seconds, millis) = (e.time / 1_000_000_000, e.time / 1_000_000 % 1000);
            let (trace, span, value) = (e.trace_id, e.span_id, number(e.value));
            let _ =
                write!(out, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} {seconds}.{millis:03}");
        }
        out.push('\n');
    }
}
