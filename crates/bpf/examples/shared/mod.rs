//! The kernel half alone: every record is thrown away.

use std::cell::RefCell;
use std::rc::Rc;

use telegen_bpf::abi::Verdict;
use telegen_bpf::{Pump, Record, Tap, TapSettings};

/// Loads it and says `attached`. Processes whose executable's path ends with `excluded` are not traced, unless it is empty.
pub(crate) fn watch(excluded: String) -> (Tap, Pump) {
    let tap = Tap::load(TapSettings::default()).unwrap();
    let procs = Rc::new(RefCell::new(tap.procs().unwrap()));
    let pump = tap
        .pump(move |r| {
            if let Record::Exec(e) = r {
                let path = String::from_utf8_lossy(&e.path[..e.path_len as usize]).into_owned();
                if !excluded.is_empty() && path.ends_with(&excluded) {
                    let verdict = Verdict { start: e.start, exec: e.exec, flags: Verdict::EXCLUDED };
                    procs.borrow_mut().decide(e.pid, verdict).unwrap();
                }
            }
        })
        .unwrap();
    println!("attached");
    (tap, pump)
}
