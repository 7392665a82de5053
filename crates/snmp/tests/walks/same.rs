//! The simulated device is the recording, and our walk is net-snmp's.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use telegen_model::Secret;
use telegen_snmp::client::{Address, Client, Patience};
use telegen_snmp::protocol::Oid;
use telegen_snmp::session::Access;
use telegen_snmp::show;

use super::recorded::{Owned, Recorded, read};
use super::{Simulated, files, walks};

/// net-snmp's last line when a walk came to the end of everything.
const END: &str = "No more variables left in this MIB View (It is past the end of the MIB tree)";
/// How many walks are looked at here; all with `TELEGEN_LONG`.
const SAMPLE: usize = 160;

/// What is expected of a walk below two arcs, as net-snmp prints it.
fn expected(recorded: &Recorded, root: [u32; 2]) -> String {
    let mut out = String::new();
    for (arcs, value) in recorded.objects.iter().filter(|o| o.0[..2] == root) {
        // Agents have 32 bits for these: a recorder wrote what it had read as an unsigned number.
        let value = match value {
            Owned::Int(i) => &Owned::Int(i64::from(*i as i32)),
            other => other,
        };
        show::net_snmp(&mut out, &Oid::from_arcs(arcs).unwrap(), value.value());
        out.push('\n');
    }
    out
}

fn first_difference(a: &str, b: &str) -> String {
    let at = a.lines().zip(b.lines()).position(|(x, y)| x != y);
    match at {
        Some(n) => format!("line {n}: {:?} and {:?}", a.lines().nth(n).unwrap(), b.lines().nth(n).unwrap()),
        None => format!("{} and {} lines", a.lines().count(), b.lines().count()),
    }
}

#[test]
fn net_snmp_and_our_walk_read_of_the_simulated_device_what_was_recorded() {
    let mut all = files("walks against net-snmp");
    if all.is_empty() {
        return;
    }
    if Command::new("snmpbulkwalk").arg("-V").output().is_err() {
        eprintln!("SKIPPED walks against net-snmp: snmpbulkwalk is missing");
        return;
    }
    let simulated = Simulated::new(walks().unwrap(), [127, 88, 0, 1]);
    if std::env::var_os("TELEGEN_LONG").is_none() && all.len() > SAMPLE {
        fastrand::seed(488);
        fastrand::shuffle(&mut all);
        all.truncate(SAMPLE);
    }
    let (mut wrong, mut objects, mut refused) = (Vec::new(), 0, 0);
    for (name, path) in &all {
        let recorded = read(path);
        objects += recorded.objects.len();
        refused += recorded.refused;
        let address = simulated.address(name).to_string();
        let roots: BTreeSet<[u32; 2]> = recorded.objects.keys().map(|a| [a[0], a[1]]).collect();
        for root in roots {
            let dotted = format!("{}.{}", root[0], root[1]);
            let expected = expected(&recorded, root);
            let out = Command::new("snmpbulkwalk")
                .args(["-v2c", "-c", "public", "-m", "", "-On", "-Cr40", "-t", "10", "-r", "3"])
                .args([&address, &format!(".{dotted}")])
                .env("LC_ALL", "C")
                .output()
                .unwrap();
            let mut theirs = String::from_utf8_lossy(&out.stdout).into_owned();
            if let Some(last) = theirs.lines().last().filter(|l| l.ends_with(END)) {
                theirs.truncate(theirs.len() - last.len() - 1);
            }
            if theirs != expected {
                wrong.push(format!(
                    "{name} {dotted}: net-snmp, recording: {} {}",
                    first_difference(&theirs, &expected),
                    String::from_utf8_lossy(&out.stderr)
                ));
                continue;
            }
            let access = Arc::new(Access::Community { version: 1, community: Secret::new("public") });
            let patience = Patience { timeout: Duration::from_secs(10), retries: 3 };
            let mut client =
                Client::connect(&Address::parse(&address, 161).unwrap(), access, patience, 1472).unwrap();
            let mut ours = String::with_capacity(expected.len());
            let walked = client.walk(&dotted.parse().unwrap(), |oid, value| {
                show::net_snmp(&mut ours, oid, value);
                ours.push('\n');
            });
            if walked.is_err() || ours != theirs {
                wrong.push(format!(
                    "{name} {dotted}: our walk, net-snmp: {walked:?} {}",
                    first_difference(&ours, &theirs)
                ));
            }
        }
    }
    eprintln!("{} walks, {objects} objects, {refused} lines left out", all.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
