//! Names and label values.

use std::borrow::Cow;

/// What a metric is, as far as its name depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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

/// The family's name, without the `_total` of a counter's sample, and the unit that it ends with.
pub(crate) fn family(name: &str, unit: &str, kind: Kind) -> (String, String) {
    let mut out = sanitized(name);
    if kind == Kind::Counter
        && let Some(base) = out.strip_suffix("_total").filter(|base| !base.is_empty())
    {
        out.truncate(base.len());
    }
    let word = match unit.split_once('/') {
        _ if unit == "1" && kind == Kind::Gauge => "ratio".to_owned(),
        Some((unit, per)) if !per.is_empty() && !per.starts_with('{') => {
            let per = unit_word(per);
            let words = format!("{}_per_{}", unit_word(unit), per.strip_suffix('s').unwrap_or(&per));
            words.trim_matches('_').to_owned()
        }
        Some((unit, _)) => unit_word(unit).into_owned(),
        None => unit_word(unit).into_owned(),
    };
    if !word.is_empty() && out != word && !out.ends_with(&format!("_{word}")) {
        out.push('_');
        out.push_str(&word);
    }
    (out, word)
}

/// Letters, digits, `_` and `:`; everything else becomes `_`, runs of them one; a digit is not the first.
pub(super) fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 16);
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

/// A label's name: as a metric's, without `:`; one that begins with `_` or a digit gets `key` before it.
pub(super) fn label(name: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let fine = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(plain);
    if fine && !name.contains("__") {
        return Cow::Borrowed(name);
    }
    let out = sanitized(name).replace(':', "_");
    Cow::Owned(if out.starts_with('_') { format!("key{out}") } else { out })
}

/// Escapes a label's value.
pub(super) fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A number as both forms write it: never an integer's look, which OpenMetrics asks of bounds.
pub(crate) fn float(v: f64) -> String {
    match v {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        v if v.is_nan() => "NaN".to_owned(),
        v => format!("{v:?}"),
    }
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
            ("a.total", "", Kind::Counter, "a"),
            ("a.total", "", Kind::Gauge, "a_total"),
            ("a.ratio", "1", Kind::Counter, "a_ratio"),
            ("a.rate", "{request}/s", Kind::Gauge, "a_rate_per_second"),
            ("seconds", "s", Kind::Gauge, "seconds"),
            ("1a..b-c", "", Kind::Gauge, "_1a_b_c"),
        ] {
            assert_eq!(family(name, unit, kind).0, expect, "{name}");
        }
        for (name, expect) in
            [("a.b", "a_b"), ("ok_1", "ok_1"), ("__name__", "key_name_"), ("a__b", "a_b"), ("é", "key_")]
        {
            assert_eq!(label(name), expect);
        }
        let numbers = [0.0, 0.005, 1.0, 1e16, -2.5e-9, f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(float);
        assert_eq!(numbers, ["0.0", "0.005", "1.0", "1e16", "-2.5e-9", "+Inf", "-Inf", "NaN"]);
        assert_eq!(escaped("a\\\"\nb"), "a\\\\\\\"\\nb");
    }
}
