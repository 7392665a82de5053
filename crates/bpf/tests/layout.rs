//! The Rust mirror of the kernel half's types is theirs: size and place of every field, as the compiled objects say.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ffi::OsStr;

use libbpf_rs::HasSize;
use libbpf_rs::btf::{Btf, types};
use telegen_bpf::abi;

const COMMON: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/common.bpf.o"));

/// Size of a type and (name, offset) of its fields; unnamed unions are taken by their first field.
fn of_kernel(btf: &Btf<'_>, name: &str) -> (usize, BTreeMap<String, usize>) {
    let t: types::Struct<'_> = btf.type_by_name(name).unwrap_or_else(|| panic!("no {name}"));
    let fields = t
        .iter()
        .map(|m| {
            let at = match m.attr {
                types::MemberAttr::Normal { offset } => offset as usize,
                types::MemberAttr::BitField { offset, .. } => panic!("{name}: bit field at {offset}"),
            };
            (m.name.and_then(OsStr::to_str).unwrap_or("tail").to_owned(), at / 8)
        })
        .collect();
    (t.size(), fields)
}

macro_rules! same {
    ($btf:expr, $theirs:literal, $ours:ty { $($field:ident $(= $name:literal)?),* $(,)? }) => {{
        let (size, fields) = of_kernel(&$btf, $theirs);
        assert_eq!(size_of::<$ours>(), size, "size of {}", $theirs);
        let mut ours = BTreeMap::new();
        $(
            let name = [$($name,)? stringify!($field)][0];
            ours.insert(name.to_owned(), std::mem::offset_of!($ours, $field));
        )*
        assert_eq!(ours, fields, "fields of {}", $theirs);
    }};
}

#[test]
fn records_and_tables_lie_as_the_kernel_half_lays_them() {
    let common = Btf::from_raw("common", COMMON).unwrap().unwrap();
    same!(common, "record_conn", abi::ConnRecord {
        kind = "type", family, role, protocol, transport, preexisting, path_len, cookie, peer_cookie, ts, start, tgid, netns,
        lport, rport, record, laddr, raddr, path, lost,
    });
    same!(common, "record_data", abi::DataRecord {
        kind = "type", dir, flags, record, cookie, ts, pos, seq, len, cap, lost, tgid, tid, token, caller, other_pos, other_ts,
        tail, body,
    });
    same!(common, "record_exchange", abi::ExchangeRecord {
        kind = "type", pad, flags, record, cookie, ts, start, pos, seq, len, told, lost, tgid, tid, token, other_pos, other_ts,
        answer_pos, answer_len, answer_tid, status, head, since, body,
    });
    same!(common, "record_end", abi::EndRecord {
        kind = "type", what, flags, pad, error, cookie, ts, rx_pos, tx_pos, rx_ts, tx_ts, record, lost,
    });
    same!(common, "record_sample", abi::SampleRecord {
        kind = "type", dir, protocol, pad, cap, cookie, ts, tgid, record, lost, pad2,
    });
    same!(common, "record_traffic", abi::TrafficRecord {
        kind = "type", protocol, last = "final", pad, tgid, cookie, ts, rx, tx,
    });
    same!(common, "record_listen", abi::ListenRecord { kind = "type", family, port, tgid, start, ts });
    same!(common, "found_socket", abi::FoundSocket { cookie, start, tgid, fd, port, family, state, pad });
    same!(common, "proc_state", abi::ProcState { refilled, credit, brief, lost, unread, udp_rx, udp_tx });
    same!(common, "verdict", abi::Verdict { start, exec, flags });
    same!(common, "record_exec", abi::ExecRecord {
        kind = "type", pad, pid, ppid, uid, start, ts, cgroup, pid_ns, mnt_ns, net_ns, exec, path_len, argv_len,
        interp_len, pad2, path, interp, argv,
    });
    same!(common, "record_fork", abi::ForkRecord { kind = "type", pad, pid, ppid, exec, start, parent_start, ts });
    same!(common, "record_exit", abi::ExitRecord { kind = "type", pad, pid, start, ts });
}
