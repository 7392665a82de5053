//! Names and label values.

use std::borrow::Cow;

/// What a metric is, as far as its name depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Units with a word of their own; what is in braces is an annotation and not part of a name.
fn unit_word(unit: &str) -> Cow<'static, str> {
    let word = match unit {
        "" | "1" => "",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "min" => "minutes",
        "h" => "hours",
        "d" => "days",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "kBy" => "kilobytes",
        "MBy" => "megabytes",
        "bit" => "bits",
        "%" => "percent",
        "Hz" => "hertz",
        "Cel" => "celsius",
        "V" => "volts",
        "A" => "amperes",
        "W" => "watts",
        "J" => "joules",
        "m" => "meters",
        "g" => "grams",
        _ if unit.starts_with('{') => "",
        _ => return Cow::Owned(sanitized(unit).trim_matches('_').to_owned()),
    };
    Cow::Borrowed(word)
}

/// The family's name, without the `_total` of a counter's sample.
pub(super) fn family(name: &str, unit: &str, kind: Kind) -> String {
    let mut out = sanitized(name);
    out = out.strip_suffix("_total").map(str::to_owned).unwrap_or(out);
    let (unit, per) = unit.split_once('/').unwrap_or((unit, ""));
    let mut word = unit_word(unit).into_owned();
    if !per.is_empty() && !per.starts_with('{') {
        let singular = unit_word(per);
        word = format!("{word}_per_{}", singular.strip_suffix('s').unwrap_or(&singular))
            .trim_matches('_')
            .to_owned();
    }
    if unit == "1" && kind == Kind::Gauge {
        "ratio".clone_into(&mut word);
    }
    if !word.is_empty() && !out.ends_with(&format!("_{word}")) && out != word {
        out.push('_');
        out.push_str(&word);
    }
    out
}

/// Letters, digits, `_` and `:`; everything else becomes `_`, runs of them one; a digit is not the first.
pub(super) fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 1);
    for c in name.chars() {
        let c = if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) || out.is_empty() {
        out.insert(0, '_');
    }
    out
}

/// A label's name: as a metric's, without `:`; names that begin with two underscores are Prometheus's own.
pub(super) fn label(name: &str) -> String {
    let out = sanitized(name).replace(':', "_");
    if out.starts_with('_') { format!("key{out}") } else { out }
}

/// Escapes a label's value.
pub(super) fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for (name, unit, kind, expect) in [
            ("http.server.request.duration", "s", Kind::Histogram, "http_server_request_duration_seconds"),
            ("http.server.request.body.size", "By", Kind::Histogram, "http_server_request_body_size_bytes"),
            ("telegen.produced", "{item}", Kind::Counter, "telegen_produced"),
            ("process.cpu", "s", Kind::Counter, "process_cpu_seconds"),
            ("process.resident_memory", "By", Kind::Gauge, "process_resident_memory_bytes"),
            ("a.rate", "By/s", Kind::Gauge, "a_rate_bytes_per_second"),
            ("a.utilization", "1", Kind::Gauge, "a_utilization_ratio"),
            ("already.seconds", "s", Kind::Counter, "already_seconds"),
            ("1a..b-c", "", Kind::Gauge, "_1a_b_c"),
        ] {
            assert_eq!(family(name, unit, kind), expect, "{name}");
        }
        assert_eq!(label("__name__"), "key_name_");
        assert_eq!(escaped("a\\\"\nb"), "a\\\\\\\"\\nb");
    }
}
