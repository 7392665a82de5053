//! The disk queue against files that are cut, flipped, foreign, or out of space.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use telegen_buffer::{AppendError, OpenError, Options, Queue, Read, Record, inspect};

const SMALL: Options = Options { segment_bytes: 400 };

fn open(dir: &Path) -> Queue {
    Queue::open(dir, SMALL).unwrap().0
}

fn payload(n: u32) -> Vec<u8> {
    (0..20 + n % 30).map(|i| (n * 7 + i) as u8).collect()
}

fn append(queue: &Queue, n: u32) -> Record {
    let payload = payload(n);
    let (head, body) = payload.split_at(3);
    queue.append(head, body, n % 5 + 1).unwrap()
}

fn next(queue: &Queue) -> Option<Record> {
    match queue.read() {
        Read::Record(record) => Some(record),
        Read::Empty => None,
        Read::Damaged(damage) => panic!("{damage:?}"),
    }
}

/// Everything that can be read, and what was told as lost on the way.
fn rest(queue: &Queue) -> (Vec<Record>, u64) {
    let (mut out, mut lost) = (Vec::new(), 0);
    loop {
        match queue.read() {
            Read::Record(record) => out.push(record),
            Read::Damaged(damage) => lost += damage.items,
            Read::Empty => return (out, lost),
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    out.retain(|p| p.is_file());
    out.sort();
    out
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[test]
fn what_goes_in_comes_out_in_order_over_many_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    for n in 0..50 {
        append(&queue, n);
    }
    let first: Vec<Record> = (0..20).map(|_| next(&queue).unwrap()).collect();
    for (n, record) in first.iter().enumerate() {
        assert_eq!(record.payload, payload(n as u32));
        assert_eq!(record.items, n as u64 % 5 + 1);
    }
    queue.acknowledge(first[9].end);
    queue.maintain().unwrap();
    drop(queue);

    let (queue, recovered) = Queue::open(dir.path(), SMALL).unwrap();
    let items: u64 = (10..50).map(|n| n % 5 + 1).sum();
    assert_eq!((recovered.records, recovered.items, recovered.damage.len()), (40, items, 0));
    assert_eq!(queue.waiting(), (40, items));
    append(&queue, 50);
    for n in 10..51 {
        assert_eq!(next(&queue).unwrap().payload, payload(n), "{n}");
    }
    assert_eq!(next(&queue), None);
    append(&queue, 51);
    let last = next(&queue).unwrap();
    queue.acknowledge(last.end);
    queue.close().unwrap();
    assert_eq!(queue.waiting(), (0, 0));
    drop(queue);
    let (queue, recovered) = Queue::open(dir.path(), SMALL).unwrap();
    assert_eq!((recovered.records, queue.bytes()), (0, 0));
    let left: Vec<_> = files(dir.path()).iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert_eq!(left, ["lock", "progress", "tail"]);
}

#[test]
fn bytes_are_those_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    for n in 0..40 {
        append(&queue, n);
    }
    let on_disk = |dir: &Path| -> u64 {
        let segments = files(dir).into_iter().filter(|p| p.extension().is_some());
        segments.map(|p| p.metadata().unwrap().len()).sum()
    };
    assert_eq!(queue.bytes(), on_disk(dir.path()));
    for _ in 0..30 {
        queue.acknowledge(next(&queue).unwrap().end);
    }
    queue.maintain().unwrap();
    fs::remove_file(dir.path().join("progress")).unwrap();
    assert_eq!(queue.bytes(), on_disk(dir.path()));
    assert!(queue.bytes() < 1200, "{}", queue.bytes());
}

#[test]
fn a_second_opener_is_told_that_the_folder_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let error = Queue::open(dir.path(), SMALL).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    let said = error.to_string();
    assert!(
        said.contains(dir.path().to_str().unwrap()) && said.contains("held by another process"),
        "{said}"
    );
    drop(queue);
    Queue::open(dir.path(), SMALL).unwrap();
}

#[test]
fn files_are_the_owners_alone_and_links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let queue = open(&folder);
    append(&queue, 1);
    queue.sync().unwrap();
    assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
    for file in files(&folder) {
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{file:?}");
    }
    drop(queue);
    std::os::unix::fs::symlink(&folder, dir.path().join("link")).unwrap();
    assert!(matches!(Queue::open(&dir.path().join("link"), SMALL), Err(OpenError::Folder { .. })));
    fs::remove_file(folder.join("lock")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.join("lock")).unwrap();
    assert!(Queue::open(&folder, SMALL).is_err());
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(Queue::open(&dir.path().join("file"), SMALL).is_err());
}

/// A folder as a killed process leaves it: sealed segments, one that is written to, and progress.
fn sample() -> (tempfile::TempDir, Vec<Vec<u8>>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    for n in 0..24 {
        append(&queue, n);
    }
    for _ in 0..2 {
        queue.acknowledge(next(&queue).unwrap().end);
    }
    queue.sync().unwrap();
    queue.maintain().unwrap();
    (dir, (2..24).map(payload).collect(), (2..24).map(|n| n % 5 + 1).sum())
}

/// Opens a damaged copy and checks what must always hold; gives the number of items that came out.
fn survives(dir: &Path, whole: &[Vec<u8>], items: u64, what: &str) -> u64 {
    let (queue, recovered) = Queue::open(dir, SMALL).unwrap_or_else(|e| panic!("{what}: {e}"));
    let at_start: u64 = recovered.damage.iter().map(|d| d.items).sum();
    let (records, lost) = rest(&queue);
    let out: u64 = records.iter().map(|r| r.items).sum();
    assert_eq!(recovered.items, out + lost, "{what}: what waits is read or counted");
    let taken_twice: u64 =
        records.iter().filter(|r| !whole.contains(&r.payload.to_vec())).map(|r| r.items).sum();
    assert_eq!(out - taken_twice + lost + at_start, items, "{what}: every item is read or counted");
    for record in &records {
        let known = (0..24).any(|n| payload(n) == record.payload);
        assert!(known, "{what}: a record that nobody wrote");
    }
    // It goes on.
    append(&queue, 99);
    assert_eq!(next(&queue).unwrap().payload, payload(99), "{what}");
    out - taken_twice
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_the_rest_of_its_segment_and_every_loss_is_counted() {
    let (dir, whole, items) = sample();
    let mut harmed = 0;
    for file in files(dir.path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let good = fs::read(&file).unwrap();
        for byte in 0..good.len() {
            let to = tempfile::tempdir().unwrap();
            copy(dir.path(), to.path());
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            fs::write(to.path().join(&name), bad).unwrap();
            let out = survives(to.path(), &whole, items, &format!("{name} byte {byte}"));
            harmed += u64::from(out < items);
        }
    }
    assert!(harmed > 1000, "flips do damage: {harmed}");
}

#[test]
fn a_file_cut_anywhere_is_read_up_to_there() {
    let (dir, whole, items) = sample();
    for file in files(dir.path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let good = fs::read(&file).unwrap();
        for length in 0..good.len() {
            let to = tempfile::tempdir().unwrap();
            copy(dir.path(), to.path());
            fs::write(to.path().join(&name), &good[..length]).unwrap();
            survives(to.path(), &whole, items, &format!("{name} cut to {length}"));
        }
    }
}

#[test]
fn segments_of_another_version_are_set_aside_and_counted_by_their_names() {
    let (dir, _, items) = sample();
    let segments: Vec<PathBuf> = files(dir.path()).into_iter().filter(|p| p.extension().is_some()).collect();
    for file in &segments {
        let mut bytes = fs::read(file).unwrap();
        bytes[8] = 2;
        fs::write(file, bytes).unwrap();
    }
    let found = inspect(dir.path()).unwrap();
    assert!(found.segments.iter().all(|s| s.damage.as_ref().unwrap().0 == "of another version"), "{found:?}");
    let out = survives(dir.path(), &[], items, "version");
    assert_eq!(out, 0);
    // What is kept of them stays within the size of one segment.
    let kept: u64 = inspect(dir.path()).unwrap().set_aside.iter().map(|(_, bytes)| bytes).sum();
    assert!(kept <= SMALL.segment_bytes, "{kept}");
}

#[test]
fn foreign_files_and_folders_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    append(&queue, 3);
    drop(queue);
    fs::write(dir.path().join("README"), "mine").unwrap();
    fs::create_dir(dir.path().join("0000000000000009-r1-i1-b100.seg")).unwrap();
    let queue = open(dir.path());
    let (records, lost) = rest(&queue);
    assert_eq!((records.len(), lost), (1, 1));
    assert_eq!(fs::read(dir.path().join("README")).unwrap(), b"mine");
}

#[test]
fn the_oldest_segment_makes_room_and_its_untaken_items_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let all: Vec<u32> = (0..40).collect();
    all.iter().for_each(|n| drop(append(&queue, *n)));
    let first = next(&queue).unwrap();
    let second = next(&queue).unwrap();
    queue.acknowledge(first.end);
    let whole = queue.bytes();
    // The second record is being sent: its segment stays, the next one goes.
    let gone = queue.evict(true).unwrap();
    assert_eq!(gone.seq, second.start.seq + 1);
    assert_eq!(queue.bytes(), whole - gone.bytes);
    queue.acknowledge(second.end);
    let own = queue.evict(false).unwrap();
    assert_eq!(own.seq, second.start.seq);
    let (left, lost) = rest(&queue);
    let items = |it: &[u32]| -> u64 { it.iter().map(|n| u64::from(n % 5 + 1)).sum() };
    let out: u64 = left.iter().map(|r| r.items).sum();
    assert_eq!((lost, out + gone.items + own.items), (0, items(&all[2..])));
    assert_eq!(left.last().unwrap().payload, payload(39));
    while queue.evict(false).is_some() {}
    queue.rotate().unwrap();
    assert_eq!(queue.evict(false).unwrap().items, 0, "what was read is no loss");
}

#[test]
fn a_record_longer_than_a_segment_has_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    append(&queue, 1);
    queue.append(&[], &[7; 5000], 2).unwrap();
    append(&queue, 2);
    assert_eq!(files(dir.path()).iter().filter(|p| p.extension().is_some()).count(), 3);
    assert_eq!(rest(&queue).0.iter().map(|r| r.payload.len()).collect::<Vec<_>>(), [21, 5000, 22]);
}

#[test]
fn with_no_space_left_a_queue_is_full_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"])
        .arg(dir.path())
        .status()
        .is_ok_and(|s| s.success());
    if !mounted {
        eprintln!("SKIPPED a file system without space: mounting one needs root");
        return;
    }
    let folder = dir.path().join("q");
    let outcome = std::panic::catch_unwind(|| full(&folder));
    let unmounted = Command::new("umount").arg("-l").arg(dir.path()).status().unwrap();
    assert!(unmounted.success());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn full(folder: &Path) {
    let options = Options { segment_bytes: 64 << 10 };
    let (queue, _) = Queue::open(folder, options).unwrap();
    let body = [9; 3000];
    let mut taken = 0u64;
    let error = loop {
        match queue.append(b"x", &body, 1) {
            Ok(_) => taken += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, AppendError::Full(_)), "{error}");
    assert!(taken > 40, "{taken}");
    let gone = queue.evict(false).unwrap();
    let more = (0..u64::MAX).take_while(|_| queue.append(b"x", &body, 1).is_ok()).count() as u64;
    assert!(more >= gone.records - 2, "{more}");
    queue.sync().unwrap();
    drop(queue);
    let (queue, recovered) = Queue::open(folder, options).unwrap();
    assert_eq!((recovered.items, recovered.damage), (taken + more - gone.items, Vec::new()));
    let (records, lost) = rest(&queue);
    assert_eq!((records.len() as u64, lost), (recovered.items, 0));
    queue.acknowledge(records.last().unwrap().end);
    // The progress may find no room: removing what was taken makes some.
    let _first = queue.maintain();
    queue.maintain().unwrap();
    assert_eq!(queue.bytes(), 0);
    queue.append(b"x", &body, 1).unwrap();
}

#[test]
fn a_look_from_outside_tells_segments_ages_counts_and_damage() {
    let (dir, _, items) = sample();
    let found = inspect(dir.path()).unwrap();
    assert_eq!((found.waiting_records, found.waiting_items), (22, items));
    assert!(found.segments.len() > 2 && found.segments.iter().all(|s| s.created_unix_ns > 1 << 60));
    assert_eq!(found.segments.iter().filter(|s| !s.sealed).count(), 1);
    assert_eq!(found.segments[0].taken, 2);
    let file = dir.path().join(&found.segments[1].name);
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let found = inspect(dir.path()).unwrap();
    let (what, behind) = found.segments[1].damage.clone().unwrap();
    assert!(what.contains("cut or damaged") && behind > 0, "{what} {behind}");
    fs::set_permissions(dir.path().join("progress"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Append(u32),
    Read,
    Acknowledge,
    Sync,
    Maintain,
    Restart,
    Evict,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..1000u32).prop_map(Step::Append),
        6 => Just(Step::Read),
        3 => Just(Step::Acknowledge),
        1 => Just(Step::Sync),
        2 => Just(Step::Maintain),
        1 => Just(Step::Restart),
        1 => Just(Step::Evict),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Against the simplest queue there is: a list. After a restart only what was recorded as taken is gone.
    #[test]
    fn a_queue_does_what_a_list_does(steps in proptest::collection::vec(step(), 1..120)) {
        let dir = tempfile::tempdir().unwrap();
        let mut queue = open(dir.path());
        let mut unread: VecDeque<u32> = VecDeque::new();
        let mut reading: Vec<(Record, u32)> = Vec::new();
        let mut unsaved: Vec<u32> = Vec::new();
        for step in steps {
            match step {
                Step::Append(n) => {
                    append(&queue, n);
                    unread.push_back(n);
                }
                Step::Read => match (next(&queue), unread.pop_front()) {
                    (Some(record), Some(n)) => {
                        prop_assert_eq!(&record.payload[..], &payload(n)[..]);
                        reading.push((record, n));
                    }
                    (None, None) => {}
                    other => prop_assert!(false, "{other:?}"),
                },
                Step::Acknowledge => {
                    if let Some((last, _)) = reading.last() {
                        queue.acknowledge(last.end);
                        unsaved.extend(reading.drain(..).map(|(_, n)| n));
                    }
                }
                Step::Sync => drop(queue.sync().unwrap()),
                Step::Maintain => {
                    queue.maintain().unwrap();
                    unsaved.clear();
                }
                Step::Restart => {
                    drop(queue);
                    let (again, recovered) = Queue::open(dir.path(), SMALL).unwrap();
                    queue = again;
                    let back: Vec<u32> = unsaved.drain(..).chain(reading.drain(..).map(|(_, n)| n)).collect();
                    back.into_iter().rev().for_each(|n| unread.push_front(n));
                    prop_assert_eq!(recovered.records, unread.len() as u64);
                    prop_assert!(recovered.damage.is_empty());
                }
                Step::Evict => {
                    // Only when nothing is between reading and recording: then the list knows what goes.
                    if reading.is_empty() && let Some(gone) = queue.evict(false) {
                        let items: u64 = unread.drain(..gone.records as usize).map(|n| u64::from(n % 5 + 1)).sum();
                        prop_assert_eq!(gone.items, items);
                        queue.maintain().unwrap();
                        unsaved.clear();
                    }
                }
            }
        }
        let all: Vec<u32> = unread.into_iter().collect();
        let out: Vec<Vec<u8>> = rest(&queue).0.iter().map(|r| r.payload.to_vec()).collect();
        prop_assert_eq!(out, all.into_iter().map(payload).collect::<Vec<_>>());
    }
}
