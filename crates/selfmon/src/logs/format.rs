use std::fmt::{self, Write};

use tracing::Level;
use tracing::field::{Field, Visit};

use super::{LogFormat, redact};

/// Longest text of one field, in bytes; the rest is cut.
const MAX_FIELD: usize = 4096;

/// A field's value as it will be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FieldValue {
    Text(String),
    Plain(String),
}

impl From<&str> for FieldValue {
    fn from(s: &str) -> FieldValue {
        FieldValue::Text(cut(&redact(s)).to_string())
    }
}

/// The message and fields of an event, in the order given.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    named: Vec<(&'static str, FieldValue)>,
}

impl Fields {
    pub(super) fn push(&mut self, name: &'static str, value: FieldValue) {
        self.named.push((name, value));
    }

    fn text(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(cut(&redact(value)));
        } else {
            self.push(field.name(), value.into());
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field.name(), FieldValue::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field.name(), FieldValue::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field.name(), FieldValue::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = if value.is_finite() {
            FieldValue::Plain(value.to_string())
        } else {
            FieldValue::Text(value.to_string())
        };
        self.push(field.name(), value);
    }
}

/// One whole line, newline included.
pub(super) fn line(format: LogFormat, unix_ns: u64, level: Level, target: &str, fields: &Fields) -> String {
    let mut out = String::with_capacity(128);
    match format {
        LogFormat::Text => text(&mut out, unix_ns, level, target, fields),
        LogFormat::Json => json(&mut out, unix_ns, level, target, fields),
    }
    out.push('\n');
    out
}

fn text(out: &mut String, unix_ns: u64, level: Level, target: &str, fields: &Fields) {
    timestamp(out, unix_ns);
    let _ = write!(out, " {level} {target}: ");
    escape_text(out, &fields.message);
    for (name, value) in &fields.named {
        let _ = write!(out, " {name}=");
        match value {
            FieldValue::Plain(p) => out.push_str(p),
            FieldValue::Text(t) if t.is_empty() || t.contains([' ', '"', '=']) => {
                out.push('"');
                let quoted = t.replace('\\', "\\\\").replace('"', "\\\"");
                escape_text(out, &quoted);
                out.push('"');
            }
            FieldValue::Text(t) => escape_text(out, t),
        }
    }
}

fn json(out: &mut String, unix_ns: u64, level: Level, target: &str, fields: &Fields) {
    out.push_str("{\"time\":\"");
    timestamp(out, unix_ns);
    let _ = write!(out, "\",\"level\":\"{}\",\"target\":\"{target}\"", level.as_str().to_ascii_lowercase());
    out.push_str(",\"message\":");
    json_string(out, &fields.message);
    for (name, value) in &fields.named {
        let _ = write!(out, ",\"{name}\":");
        match value {
            FieldValue::Plain(p) => out.push_str(p),
            FieldValue::Text(t) => json_string(out, t),
        }
    }
    out.push('}');
}

/// What could break a line, steer a terminal or reorder the text that is shown.
fn unsafe_char(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape_text(out: &mut String, s: &str) {
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if unsafe_char(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

fn json_string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All of them are below U+10000: one escape each.
            c if unsafe_char(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Spells the word that scripts wait for so that a search does not find it: in JSON an escape with the same
/// meaning; in text `already` is left out where it can be, and any other is hyphenated.
pub(super) fn without_ready(line: String, format: LogFormat) -> String {
    if !line.to_ascii_lowercase().contains("ready") {
        return line;
    }
    let (lower, upper) = match format {
        LogFormat::Text if line.contains("already ") => {
            return without_ready(line.replace("already ", ""), format);
        }
        LogFormat::Text => ("rea-dy", "REA-DY"),
        LogFormat::Json => ("rea\\u0064y", "REA\\u0044Y"),
    };
    line.replace("ready", lower).replace("READY", upper).replace("Ready", &lower.replacen('r', "R", 1))
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(out: &mut String, unix_ns: u64) {
    let (secs, millis) = (unix_ns / 1_000_000_000, unix_ns / 1_000_000 % 1000);
    let (year, month, day) = civil(secs / 86_400);
    let (h, m, s) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{millis:03}Z");
}

/// Year, month and day of a day number since 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last of a year; an era is 400 years.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// At most [`MAX_FIELD`] bytes of a text, cut at a character.
fn cut(s: &str) -> &str {
    &s[..s.floor_char_boundary(MAX_FIELD)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &str, named: &[(&'static str, FieldValue)]) -> Fields {
        Fields { message: message.to_string(), named: named.to_vec() }
    }

    const T: u64 = 1_709_210_096_789_000_000;

    #[test]
    fn text_lines_escape_what_could_forge_a_line_or_steer_a_terminal() {
        let f =
            fields("a\nb\u{1b}[31m", &[("path", "x y\"\u{9b}".into()), ("n", FieldValue::Plain("3".into()))]);
        assert_eq!(
            line(LogFormat::Text, T, Level::WARN, "telegen_trace", &f),
            "2024-02-29T12:34:56.789Z WARN telegen_trace: a\\nb\\u{1b}[31m path=\"x y\\\"\\u{9b}\" n=3\n"
        );
    }

    #[test]
    fn json_lines_are_json_whatever_the_text() {
        let nasty = "q\"\\\n\u{0}\u{7f}\u{2028}\u{202e}<é>";
        let f = fields(nasty, &[("k", nasty.into())]);
        let line = line(LogFormat::Json, T, Level::INFO, "telegen", &f);
        let v: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            v,
            serde_json::json!({"time": "2024-02-29T12:34:56.789Z", "level": "info", "target": "telegen", "message": nasty, "k": nasty})
        );
        assert!(!line.trim_end().contains(|c: char| unsafe_char(c)), "{line}");
    }

    #[test]
    fn before_start_up_is_complete_no_line_holds_the_word() {
        for (format, want) in [
            (LogFormat::Text, "in use Rea-dy alrea-dy"),
            (LogFormat::Json, "alrea\\u0064y in use Rea\\u0064y alrea\\u0064y"),
        ] {
            assert_eq!(without_ready("already in use Ready already".to_string(), format), want);
        }
        assert_eq!(without_ready("no such word".to_string(), LogFormat::Text), "no such word");
    }

    #[test]
    fn days_become_dates_at_the_edges_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(58), (1970, 2, 28));
        assert_eq!(civil(59), (1970, 3, 1));
        assert_eq!(civil(10_956), (1999, 12, 31));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn a_long_field_is_cut_at_a_character() {
        let FieldValue::Text(t) = FieldValue::from("é".repeat(4096).as_str()) else { panic!() };
        assert_eq!((t.len(), t.chars().count()), (4096, 2048));
        assert_eq!(cut(&format!("a{}", "é".repeat(4096))).len(), 4095);
    }
}
