//! Every vendor that is promised is known by what its devices say.

use telegen_snmp::profile::Library;
use telegen_snmp::protocol::Oid;
use telegen_snmp::settings::Names;

use super::files;
use super::recorded::{Owned, read};

/// What a device says (sysObjectID, sysDescr) and the vendor that its profile must name.
const DEVICES: [(&str, &str, &str); 50] = [
    ("1.3.6.1.4.1.6983.1", "Check Point", "Check Point"),
    ("1.3.6.1.4.1.15983.1.1.4.2.19", "", "Fortinet"),
    ("1.3.6.1.4.1.388.11.1.2", "RFS4000 Wireless Controller", "Extreme Networks"),
    ("1.3.6.1.4.1.26928.1", "AP130, HiveOS 8.1r2a", "Extreme Networks"),
    ("1.3.6.1.4.1.15497.1.1", "IronPort Model C170, AsyncOS Version: 9.7.1", "Cisco"),
    ("1.3.6.1.4.1.5596.130.6.4.1", "TANDBERG Codec", "Cisco"),
    ("1.3.6.1.4.1.3224.1.51", "SSG5-v92 version 6.3.0r19.0", "Juniper"),
    ("1.3.6.1.4.1.1123.4.400", "NetApp E-Series", "NetApp"),
    ("1.3.6.1.4.1.12925.1", "HP_3PAR 8200", "HPE"),
    ("1.3.6.1.4.1.1139.103.1", "", "Dell"),
    (
        "1.3.6.1.4.1.9.1.1208",
        "Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.0(2a)EX5",
        "Cisco",
    ),
    ("1.3.6.1.4.1.9.1.2862", "Cisco IOS XR Software (ASR9K), Version 7.3.2", "Cisco"),
    ("1.3.6.1.4.1.9.12.3.1.3.1467", "Cisco NX-OS(tm) n9000, Software (n9000-dk9), Version 9.3(8)", "Cisco"),
    ("1.3.6.1.4.1.9.1.1902", "Cisco Adaptive Security Appliance Version 9.8(4)", "Cisco"),
    ("1.3.6.1.4.1.9.1.1069", "Cisco Controller", "Cisco"),
    ("", "Cisco FX-OS", "Cisco"),
    (
        "1.3.6.1.4.1.2636.1.1.1.2.29",
        "Juniper Networks, Inc. mx480 internet router, kernel JUNOS 18.4R1.8",
        "Juniper",
    ),
    (
        "1.3.6.1.4.1.30065.1.3011.7280",
        "Arista Networks EOS version 4.21.5F running on an Arista Networks DCS-7280",
        "Arista",
    ),
    ("1.3.6.1.4.1.11.2.3.7.11.79", "ProCurve J8697A Switch 5406zl, revision K.15.06.0008", "HPE"),
    ("1.3.6.1.4.1.25506.11.1.87", "HP Comware Platform Software, Software Version 5.20.99", "HPE"),
    ("1.3.6.1.4.1.14823.1.1.32", "ArubaOS (MODEL: Aruba7210), Version 6.5.4.9", "HPE Aruba"),
    ("1.3.6.1.4.1.14823.1.2.80", "ArubaOS (MODEL: 325), Version 8.6.0.4 (76110) SSR", "HPE Aruba"),
    ("1.3.6.1.4.1.47196.4.1.1.1.50", "Aruba JL661A FL.10.04.0003", "HPE Aruba"),
    (
        "1.3.6.1.4.1.2011.2.23.339",
        "Huawei Versatile Routing Platform Software VRP (R) software, Version 8.150",
        "Huawei",
    ),
    ("", "Software Version VRP (R) Software, Version 5.170", "Huawei"),
    ("1.3.6.1.4.1.6527.1.3.3", "TiMOS-C-14.0.R4 cpm/hops64 Nokia 7750 SR", "Nokia"),
    ("1.3.6.1.4.1.1916.2.167", "ExtremeXOS (X460-48p) version 15.6.3.1", "Extreme Networks"),
    ("1.3.6.1.4.1.2272.202", "VSP-8404C (8.1.0.0)", "Extreme Networks"),
    (
        "1.3.6.1.4.1.1991.1.3.48.2.1",
        "Brocade Communications Systems, Inc. ICX6610-24, IronWare Version 08.0.10",
        "Brocade",
    ),
    ("1.3.6.1.4.1.1588.2.1.1.1", "Fibre Channel Switch.", "Brocade"),
    ("1.3.6.1.4.1.12356.101.1.5005", "FortiGate", "Fortinet"),
    ("1.3.6.1.4.1.25461.2.3.38", "Palo Alto Networks PA-5200 series firewall", "Palo Alto Networks"),
    ("1.3.6.1.4.1.2620.1.6.123.1.49", "Linux fw 2.6.18-92cpx86_64 #1 SMP", "Check Point"),
    ("1.3.6.1.4.1.8072.3.2.10", "Linux fw 3.10.0-957.21.3cpx86_64 #1 SMP Wed May 26 x86_64", "Check Point"),
    ("1.3.6.1.4.1.3375.2.1.3.4.43", "BIG-IP 4000 : Linux 2.6.32", "F5"),
    ("1.3.6.1.4.1.5951.1", "NetScaler NS12.1: Build 55.24.nc", "Citrix"),
    ("1.3.6.1.4.1.14988.1", "RouterOS CCR1036-8G-2S+", "MikroTik"),
    ("1.3.6.1.4.1.41112.1.5", "EdgeOS v1.10.8.5142440", "Ubiquiti"),
    ("1.3.6.1.4.1.8072.3.2.10", "UAP-AC-Pro-Gen2 4.0.42.10433", "Ubiquiti"),
    ("1.3.6.1.4.1.674.10892.5", "", "Dell"),
    ("1.3.6.1.4.1.6027.1.3.25", "Dell Real Time Operating System Software", "Dell"),
    ("1.3.6.1.4.1.232.9.4.10", "Integrated Lights-Out 4 2.55", "HPE"),
    ("1.3.6.1.4.1.10876.100.1.23", "SSE-G3648B", "Supermicro"),
    ("1.3.6.1.4.1.21317.1.1", "Linux", "Supermicro"),
    ("1.3.6.1.4.1.789.2.5", "NetApp Release 9.7P6", "NetApp"),
    ("1.3.6.1.4.1.24681.2.1", "Linux TS-873U 4.3.6", "QNAP"),
    ("1.3.6.1.4.1.318.1.3.27", "APC Web/SNMP Management Card", "APC"),
    ("1.3.6.1.4.1.534.1", "Eaton 9PX", "Eaton"),
    ("1.3.6.1.4.1.13742.6", "Raritan PX3", "Raritan"),
    (
        "1.3.6.1.4.1.311.1.1.3.1.2",
        "Hardware: Intel64 - Software: Windows Version 6.3 (Build 17763)",
        "Microsoft",
    ),
];

fn vendor(library: &Library, object_id: &str, descr: &str) -> String {
    let oid = object_id.parse::<Oid>().map(|o| o.to_vec()).unwrap_or_default();
    library.plan(library.choose(&oid, descr)).unwrap().vendor.clone()
}

#[test]
fn devices_of_every_vendor_get_its_profile() {
    let library = Library::load(&[], Names::Otel).unwrap();
    for (object_id, descr, expected) in DEVICES {
        assert_eq!(vendor(&library, object_id, descr), expected, "{object_id} {descr}");
    }
}

/// Begins of names of walks, with the vendor that each of them must be known as.
const WALKS: [(&str, &str); 31] = [
    ("aos", "Alcatel-Lucent Enterprise"),
    ("ios", "Cisco"),
    ("nxos", "Cisco"),
    ("ftd", "Cisco"),
    ("fxos", "Cisco"),
    ("ciscosb", "Cisco"),
    ("ciscowlc", "Cisco"),
    ("junos", "Juniper"),
    ("arista", "Arista"),
    ("procurve", "HPE"),
    ("arubaos-cx", "HPE Aruba"),
    ("arubaos_", "HPE Aruba"),
    ("vrp", "Huawei"),
    ("timos", "Nokia"),
    ("voss", "Extreme Networks"),
    ("boss", "Extreme Networks"),
    ("forti", "Fortinet"),
    ("gaia_5900", "Check Point"),
    ("f5", "F5"),
    ("edgeswitch_us", "Ubiquiti"),
    ("edgeos.", "Ubiquiti"),
    ("drac", "Dell"),
    ("powerconnect", "Dell"),
    ("dnos", "Dell"),
    ("dell", "Dell"),
    ("hpe-ilo", "HPE"),
    ("apc", "APC"),
    ("eaton", "Eaton"),
    ("raritan", "Raritan"),
    ("linux", "net-snmp"),
    ("windows", "Microsoft"),
];

#[test]
fn walks_of_every_vendor_get_its_profile() {
    let library = Library::load(&[], Names::Otel).unwrap();
    let mut wrong = Vec::new();
    for (name, path) in files("profiles of recorded devices") {
        let expected = WALKS.iter().find(|w| format!("{name}.").starts_with(w.0)).map(|w| w.1);
        let Some(expected) = expected else { continue };
        let recorded = read(&path);
        let text = |arc| match recorded.objects.get(&[1, 3, 6, 1, 2, 1, 1, arc, 0][..]) {
            Some(Owned::Octets(b)) => String::from_utf8_lossy(b).into_owned(),
            Some(Owned::Oid(o)) => o.to_string(),
            _ => String::new(),
        };
        let (object_id, descr) = (text(2), text(1));
        if object_id.is_empty() && descr.is_empty() {
            // The same device in the context of one of its VLANs: it says nothing of itself there.
            continue;
        }
        let found = vendor(&library, &object_id, &descr);
        if found != expected {
            wrong.push(format!("{name}: {found}, expected {expected} ({object_id}, {descr})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
