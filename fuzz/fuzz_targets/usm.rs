//! Messages of version 3 under every protection: opened, or refused, without a panic; a session keeps its wits.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use telegen_model::Secret;
use telegen_snmp::protocol::{Leniency, Oid, Raw, Request, Writer, parse, tag};
use telegen_snmp::session::{Access, Session};
use telegen_snmp::usm::{AuthProtocol, LocalKeys, PrivProtocol, User, open};

static USERS: LazyLock<Vec<(Arc<Access>, LocalKeys)>> = LazyLock::new(|| {
    use AuthProtocol as A;
    use PrivProtocol as P;
    let auth = [A::Md5, A::Sha1, A::Sha224, A::Sha256, A::Sha384, A::Sha512];
    let privacy = [P::Des, P::Aes128, P::Aes192, P::Aes256, P::Aes192c, P::Aes256c];
    auth.into_iter()
        .zip(privacy)
        .filter_map(|(a, p)| {
            let (one, two) = (Secret::new("authentic-1"), Secret::new("private-22"));
            let user = User::new("ops", Some((a, one)), Some((p, two))).ok()?;
            let keys = user.localise(b"\x80\0\0\0\x05engine");
            Some((Arc::new(Access::User { user, context: String::new() }), keys))
        })
        .collect()
});

fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let (access, keys) = &USERS[usize::from(which) % USERS.len()];
    let Access::User { user, .. } = &**access else { return };
    let Ok(raw) = parse(bytes, Leniency::POLLED) else { return };
    let mut scratch = Vec::new();
    if let Raw::V3(m) = &raw
        && let Ok(s) = open(m, bytes, Some((user, keys)), &mut scratch, Leniency::POLLED)
    {
        s.pdu.varbinds.for_each(drop);
    }
    let mut session = Session::new(access.clone(), 1472);
    let Ok(oid) = Oid::from_arcs(&[1, 3, 6, 1, 2, 1, 1, 3, 0]) else { return };
    let mut out = Writer::new();
    let request = Request { kind: tag::GET, id: 7, repetitions: 0, oids: &[&oid] };
    for _ in 0..2 {
        let _ = session.receive((&raw, bytes), 7, &mut Vec::new(), Instant::now());
        let _ = session.encode(&mut out, &request, Instant::now());
    }
});
