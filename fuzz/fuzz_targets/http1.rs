//! A connection in pieces that may be cut, lost or told twice: no panic, every request ends once, times in order.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use telegen_wire::http1::{Connection, Dir, End, KnownHead, Limits, Outcome, Segment};

#[derive(Arbitrary, Debug)]
struct Piece<'a> {
    response: bool,
    data: &'a [u8],
    /// Bytes moved beyond those that were captured, and bytes that went by unseen before.
    more: u16,
    gap: u8,
    flags: u8,
    chunks: Option<(u64, bool)>,
    known: Option<(u16, u16, u32)>,
    other: Option<(u16, u16)>,
}

fuzz_target!(|input: (bool, Vec<Piece<'_>>, u8)| {
    let (server, pieces, how) = input;
    let mut c = Connection::new(Limits::default(), server, ["x-id".to_owned()].into());
    let (mut pos, mut ts, mut out) = ([0u64; 2], 1u64, Vec::new());
    for p in &pieces {
        let at = usize::from(p.response);
        ts += 1000;
        let len = p.data.len() as u64 + u64::from(p.more);
        let begin = pos[at] + u64::from(p.gap);
        c.segment(
            Segment {
                dir: if p.response { Dir::Response } else { Dir::Request },
                pos: begin,
                len,
                data: p.data,
                tail: (p.flags & 1 != 0).then(|| {
                    let mut tail = [0; 8];
                    let n = p.data.len().min(8);
                    tail[8 - n..].copy_from_slice(&p.data[p.data.len() - n..]);
                    tail
                }),
                ts,
                exec: u64::from(p.flags >> 6),
                token: 1,
                record: 0,
                same: (p.flags & 16 != 0).then_some(0),
                caller: 0,
                blocking: p.flags & 32 != 0,
                head_start: p.flags & 2 != 0,
                head_cut: p.flags & 4 != 0,
                brief: p.flags & 8 != 0,
                chunks: p.chunks,
                known: p.known.map(|(status, head, length)| KnownHead {
                    status: 200 + status % 400,
                    head: u64::from(head),
                    length: u64::from(length),
                    start: ts - 1,
                }),
                other: p.other.map(|(a, b)| (u64::from(a), u64::from(b))),
            },
            &mut out,
        );
        pos[at] = begin + len;
        if p.flags & 16 != 0 {
            c.expire(ts + 2_000_000_000, &mut out);
        }
    }
    let how = [End::Fin, End::Reset, End::Timeout, End::OwnClose][usize::from(how % 4)];
    c.close(how, ts + 1, &mut out);
    assert_eq!(if c.is_tunnel() || c.garbage().is_some() { 0 } else { c.open_requests() }, 0);
    for x in &out {
        assert!(x.head.method.len() <= 64 && x.head.target.len() <= Limits::default().text + 3 * 4);
        assert!(x.outcome == Outcome::Lost || x.response_end >= x.request_start);
    }
});
