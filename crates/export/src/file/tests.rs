use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::Compression;

fn output(path: &Path, max_size: u64, keep: u32) -> Output {
    packing(path, (max_size, keep), Compression::None)
}

fn packing(path: &Path, (max_size, keep): (u64, u32), compression: Compression) -> Output {
    let path = path.to_path_buf();
    Output { path: path.clone(), max_size, old: Old { path, keep, compression }, open: None }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|_| "none".to_string())
}

#[test]
fn a_new_file_is_private_and_an_old_one_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.jsonl");
    output(&path, 1000, 1).write(b"{1}").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    output(&path, 1000, 1).write(b"{2}").unwrap();
    assert_eq!(read(&path), "{1}\n{2}\n");
}

#[test]
fn a_line_that_a_crash_left_unfinished_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.jsonl");
    fs::write(&path, "{1}\n{\"cut").unwrap();
    output(&path, 1000, 1).write(b"{2}").unwrap();
    assert_eq!(read(&path), "{1}\n{\"cut\n{2}\n");
}

#[test]
fn a_file_is_rotated_before_it_exceeds_its_size_and_only_so_many_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.jsonl");
    let mut out = output(&path, 10, 2);
    for n in 1..=7 {
        out.write(format!("{{{n}}}").as_bytes()).unwrap();
    }
    // 4 bytes a line: two fit into 10.
    assert_eq!(read(&path), "{7}\n");
    assert_eq!(read(&out.old.numbered(1, "")), "{5}\n{6}\n");
    assert_eq!(read(&out.old.numbered(2, "")), "{3}\n{4}\n");
    assert_eq!(read(&out.old.numbered(3, "")), "none");
    out.write(b"{longer than a file may be}").unwrap();
    assert_eq!(read(&path), "{longer than a file may be}\n");
}

#[test]
fn with_nothing_kept_the_file_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.jsonl");
    let mut out = output(&path, 5, 0);
    out.write(b"{1}").unwrap();
    out.write(b"{2}").unwrap();
    assert_eq!(read(&path), "{2}\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_another_program_moved_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.jsonl");
    let mut out = output(&path, 1000, 2);
    out.write(b"{1}").unwrap();
    fs::rename(&path, dir.path().join("moved")).unwrap();
    out.write(b"{2}").unwrap();
    assert_eq!((read(&path), read(&dir.path().join("moved"))), ("{2}\n".to_string(), "{1}\n".to_string()));
}

#[test]
fn a_full_disk_is_told_as_what_it_is() {
    let mut out = output(Path::new("/dev/full"), 1000, 1);
    let error = out.write(b"{1}").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn old_files_are_compressed_and_numbered_with_those_that_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.jsonl");
    let write = |compression, from| {
        let mut out = packing(&path, (10, 3), compression);
        for n in from..from + 2 {
            out.write(format!("{{\"n\":{n}}}").as_bytes()).unwrap();
        }
    };
    let names = || {
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    write(Compression::None, 1);
    write(Compression::Gzip, 3);
    write(Compression::Zstd, 5);
    assert_eq!(names(), ["t.jsonl", "t.jsonl.1.zst", "t.jsonl.2.gz", "t.jsonl.3"]);
    write(Compression::None, 7);
    assert_eq!(names(), ["t.jsonl", "t.jsonl.1", "t.jsonl.2.zst", "t.jsonl.3.gz"]);
    assert_eq!(read(&path), "{\"n\":8}\n");
    assert_eq!(read(&dir.path().join("t.jsonl.1")), "{\"n\":6}\n{\"n\":7}\n");
    let packed = fs::read(dir.path().join("t.jsonl.2.zst")).unwrap();
    assert_eq!(zstd::decode_all(&packed[..]).unwrap(), b"{\"n\":4}\n{\"n\":5}\n");
    let mut plain = String::new();
    let packed = File::open(dir.path().join("t.jsonl.3.gz")).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "{\"n\":2}\n{\"n\":3}\n");
    assert_eq!(fs::metadata(dir.path().join("t.jsonl.3.gz")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_link_in_the_place_of_the_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("t.jsonl"), dir.path().join("other"));
    fs::write(&other, "keep").unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    assert!(output(&path, 1000, 1).write(b"{1}").is_err());
    assert_eq!(read(&other), "keep");
}
