//! Files that settings name.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens a file. A FIFO would wait for a writer, and a device may never end.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    File::open(path)
}

/// Reads a regular file whole. Errors are the system's, or say that it is no regular file or larger than `max` bytes.
pub fn read_file(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max} bytes")));
    }
    Ok(bytes)
}

/// As [`read_file`], of a text in UTF-8.
pub fn read_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read_file(path, max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_only_if_it_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"a\xffc").unwrap();
        assert_eq!(read_file(&path, 3).unwrap(), b"a\xffc");
        let said = |e: io::Error| e.to_string();
        assert_eq!(read_file(&path, 2).map_err(said).unwrap_err(), "larger than 2 bytes");
        assert_eq!(read_text(&path, 3).map_err(said).unwrap_err(), "it is not UTF-8");
        for other in [Path::new("/dev/zero"), dir.path()] {
            assert_eq!(read_text(other, 3).map_err(said).unwrap_err(), "it is no regular file");
        }
        assert_eq!(read_file(&dir.path().join("none"), 3).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
