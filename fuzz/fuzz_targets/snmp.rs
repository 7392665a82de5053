//! Messages of devices: read to the last value with every leniency, without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telegen_snmp::protocol::{Data, Leniency, Raw, parse, scoped};
use telegen_snmp::recording::Recording;

fuzz_target!(|input: (u8, &[u8])| {
    let (allowed, bytes) = input;
    let allowed = Leniency(allowed);
    if let Ok(Raw::Community(c)) = parse(bytes, allowed)
        && let Data::Pdu(pdu) = c.data
    {
        pdu.varbinds.for_each(drop);
    }
    if let Ok(s) = scoped(bytes, allowed) {
        s.pdu.varbinds.for_each(drop);
    }
    let recording = Recording::parse(bytes);
    assert_eq!(recording.iter().count(), recording.len());
});
