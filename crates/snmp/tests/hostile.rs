//! Bytes that nobody would send in good faith: none may cause a panic.

#![cfg(feature = "engine")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

use proptest::prelude::*;
use telegen_snmp::protocol::{Data, Leniency, Oid, Raw, Request, Writer, parse, scoped, tag};
use telegen_snmp::recording::Recording;
use telegen_snmp::walk::{Walk, WalkBounds};

/// A sound message to break.
fn sound() -> Vec<u8> {
    let mut out = Writer::new();
    let oids: Vec<Oid> =
        ["1.3.6.1.2.1.1.3.0", "1.3.6.1.4.1.2021.16384"].iter().map(|o| o.parse().unwrap()).collect();
    let oids: Vec<&[u8]> = oids.iter().map(|o| &o[..]).collect();
    Request { kind: tag::RESPONSE, id: 7, repetitions: 0, oids: &oids }.write(&mut out);
    out.field(tag::OCTETS, b"public");
    out.signed(tag::INTEGER, 1);
    out.close(tag::SEQUENCE, 0);
    out.written().to_vec()
}

fn look(bytes: &[u8]) {
    let mut walk = Walk::new(
        ["1.3.6.1".parse::<Oid>().unwrap()],
        None,
        WalkBounds { answer: 1472, rows: 10, v1: false },
    );
    let mut oids = Vec::new();
    walk.question(&mut oids);
    for allowed in [Leniency::STRICT, Leniency::POLLED] {
        match parse(bytes, allowed) {
            Ok(Raw::Community(m)) => match m.data {
                Data::Pdu(pdu) => {
                    let _ = pdu.varbinds.count();
                    walk.answer(&pdu, |_, _, _| {});
                }
                Data::TrapV1(trap) => drop(trap.varbinds.count()),
            },
            Ok(Raw::V3(m)) => drop(scoped(m.data, allowed).map(|s| s.pdu.varbinds.count())),
            Err(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        look(&bytes);
        let _ = Recording::parse(&bytes);
    }

    #[test]
    fn a_sound_message_with_a_few_wrong_bytes_causes_none(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sound();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        look(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        look(&bytes);
    }
}
