//! Names of segments.

use std::path::Path;

use crate::OpenError;

/// A segment as its file's name tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Written to when the queue was closed, or is now.
    Open { seq: u64 },
    /// Full, with what it holds.
    Sealed(Sealed),
}

/// A sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) seq: u64,
    pub(crate) records: u64,
    pub(crate) items: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
}

impl Sealed {
    pub(crate) fn name(&self) -> String {
        let Sealed { seq, records, items, bytes } = self;
        format!("{seq:016x}-r{records}-i{items}-b{bytes}.seg")
    }
}

pub(crate) fn open_name(seq: u64) -> String {
    format!("{seq:016x}.open")
}

/// Reads a name; `None` for files that are no segments.
pub(crate) fn parse(name: &str) -> Option<Named> {
    if let Some(seq) = name.strip_suffix(".open") {
        return Some(Named::Open { seq: number(seq)? });
    }
    let mut parts = name.strip_suffix(".seg")?.split('-');
    let seq = number(parts.next()?)?;
    let mut count = |prefix: char| parts.next()?.strip_prefix(prefix)?.parse::<u64>().ok();
    let sealed = Sealed { seq, records: count('r')?, items: count('i')?, bytes: count('b')? };
    parts.next().is_none().then_some(Named::Sealed(sealed))
}

fn number(hex: &str) -> Option<u64> {
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok())?
}

/// The segments of a folder, by number.
pub(crate) fn list(folder: &Path) -> Result<Vec<Named>, OpenError> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(OpenError::io(folder))? {
        let entry = entry.map_err(OpenError::io(folder))?;
        out.extend(entry.file_name().to_str().and_then(parse));
    }
    out.sort_by_key(|named| match named {
        Named::Sealed(s) => (s.seq, 0),
        Named::Open { seq } => (*seq, 1),
    });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_what_a_segment_holds() {
        let sealed = Sealed { seq: 0xab, records: 3, items: 99, bytes: 4096 };
        assert_eq!(sealed.name(), "00000000000000ab-r3-i99-b4096.seg");
        assert_eq!(parse(&sealed.name()), Some(Named::Sealed(sealed)));
        assert_eq!(parse(&open_name(5)), Some(Named::Open { seq: 5 }));
        for other in ["lock", "progress", "x.open", "00000000000000ab-r3-i99.seg", "ab-r3-i9-b4.seg"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
