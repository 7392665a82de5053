//! Profiles of others: read and planned, or refused with a reason, without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use telegen_snmp::profile::{Plan, import, read, telegraf};
use telegen_snmp::settings::Names;

fuzz_target!(|text: &str| {
    for profile in read(text).unwrap_or_default() {
        for names in [Names::Otel, Names::Mib] {
            let _ = Plan::new(&profile, &[&profile], names);
        }
        let _ = import::to_yaml(&profile);
    }
    let imported = import::snmp_exporter(text, None).or_else(|_| telegraf::telegraf(text, None));
    if let Ok(of) = imported {
        let yaml = import::to_yaml(&of.profile);
        assert!(yaml.is_ok());
        let _ = Plan::new(&of.profile, &[&of.profile], Names::Otel);
    }
});
