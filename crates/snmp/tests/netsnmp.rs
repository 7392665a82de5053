//! Debian's agent with users of every kind: our values are net-snmp's, and what is wrong is named.

#![cfg(feature = "engine")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use telegen_model::Secret;
use telegen_snmp::Fault;
use telegen_snmp::client::{Address, Client, Patience};
use telegen_snmp::poll::{Credential, DeviceState, Single, Target};
use telegen_snmp::profile::Library;
use telegen_snmp::session::Access;
use telegen_snmp::settings::Names;
use telegen_snmp::show;
use telegen_snmp::usm::User;

const AUTH: [(&str, &str); 6] = [
    ("MD5", "md5"),
    ("SHA", "sha1"),
    ("SHA-224", "sha224"),
    ("SHA-256", "sha256"),
    ("SHA-384", "sha384"),
    ("SHA-512", "sha512"),
];
const PRIV: [(&str, &str); 6] = [
    ("DES", "des"),
    ("AES", "aes128"),
    ("AES-192", "aes192"),
    ("AES-256", "aes256"),
    ("AES192C", "aes192c"),
    ("AES256C", "aes256c"),
];
/// What stays the same between two walks.
const STABLE: [&str; 3] = ["1.3.6.1.2.1.1.9.1.3", "1.3.6.1.2.1.1.2", "1.3.6.1.6.3.16.1.4"];

struct Agent {
    child: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Agent {
    /// With a user for every pair; nothing where there is no agent to run.
    fn start() -> Option<Agent> {
        let dir = tempfile::tempdir().unwrap();
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut config = format!("agentaddress udp:{address}\nrocommunity public\nsysLocation here\n");
        for (auth, ours) in AUTH {
            writeln!(config, "createUser {ours} {auth} \"authentic-1\"\nrouser {ours} auth").unwrap();
            for (privacy, name) in PRIV {
                writeln!(
                    config,
                    "createUser {ours}-{name} {auth} \"authentic-1\" {privacy} \"private-22\"\nrouser {ours}-{name} priv"
                )
                .unwrap();
            }
        }
        config += "createUser nobody\nrouser nobody noauth\n";
        let path = dir.path().join("snmpd.conf");
        std::fs::write(&path, config).unwrap();
        let child = Command::new("snmpd")
            .args(["-f", "-C", "-Lf"])
            .arg(dir.path().join("log"))
            .arg("-c")
            .arg(&path)
            .env("SNMP_PERSISTENT_DIR", dir.path())
            .env("MIBS", "")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let agent = Agent { child, address, _dir: dir };
        let end = Instant::now() + Duration::from_secs(30);
        while agent.bulkwalk(&["-v2c", "-c", "public", "-t", "1", "-r", "0"], "1.3.6.1.2.1.1.2").is_none() {
            assert!(Instant::now() < end, "snmpd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(agent)
    }

    /// What net-snmp reads, or nothing when it is refused.
    fn bulkwalk(&self, who: &[&str], oid: &str) -> Option<String> {
        let out = Command::new("snmpbulkwalk")
            .args(who)
            .args(["-m", "", "-On", &self.address, &format!(".{oid}")])
            .env("LC_ALL", "C")
            .env("SNMP_PERSISTENT_DIR", self._dir.path().join("client"))
            .output()
            .ok()?;
        out.status.success().then(|| String::from_utf8(out.stdout).unwrap())
    }

    fn client(&self, access: Access) -> Client {
        let patience = Patience { timeout: Duration::from_secs(2), retries: 1 };
        Client::connect(&Address::parse(&self.address, 161).unwrap(), Arc::new(access), patience, 1472)
            .unwrap()
    }
}

fn walk(client: &mut Client, oid: &str) -> Result<String, Fault> {
    let mut text = String::new();
    client.walk(&oid.parse().unwrap(), |oid, value| {
        show::net_snmp(&mut text, oid, value);
        text.push('\n');
    })?;
    Ok(text)
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn access(name: &str, auth: Option<(&str, &str)>, privacy: Option<(&str, &str)>) -> Access {
    let auth = auth.map(|(p, w)| (p.parse().unwrap(), Secret::new(w)));
    let privacy = privacy.map(|(p, w)| (p.parse().unwrap(), Secret::new(w)));
    Access::User { user: User::new(name, auth, privacy).unwrap(), context: String::new() }
}

#[test]
fn users_of_every_kind_read_what_net_snmp_reads() {
    let Some(agent) = Agent::start() else {
        eprintln!("SKIPPED users of every kind: snmpd is missing");
        return;
    };
    let mut compared = 0;
    let mut same = |name: &str, who: &[&str], make: &dyn Fn() -> Access| {
        let first = [who, &["-t", "2", "-r", "1"]].concat();
        if agent.bulkwalk(&first, STABLE[1]).is_none() {
            eprintln!("SKIPPED {name}: this net-snmp cannot");
            return;
        }
        let mut client = agent.client(make());
        for oid in STABLE {
            let theirs = agent.bulkwalk(&first, oid).unwrap();
            assert!(theirs.lines().count() >= 1);
            assert_eq!(walk(&mut client, oid).unwrap(), theirs, "{name} {oid}");
        }
        compared += 1;
    };
    same("1", &["-v2c", "-c", "public"], &|| Access::Community {
        version: 0,
        community: Secret::new("public"),
    });
    same("2c", &["-v2c", "-c", "public"], &|| Access::Community {
        version: 1,
        community: Secret::new("public"),
    });
    same("nobody", &["-v3", "-u", "nobody", "-l", "noAuthNoPriv"], &|| access("nobody", None, None));
    for (theirs, auth) in AUTH {
        let who = ["-v3", "-u", auth, "-l", "authNoPriv", "-a", theirs, "-A", "authentic-1"];
        same(auth, &who, &|| access(auth, Some((auth, "authentic-1")), None));
        for (cipher, privacy) in PRIV {
            let name = format!("{auth}-{privacy}");
            let who = [
                "-v3",
                "-u",
                &name,
                "-l",
                "authPriv",
                "-a",
                theirs,
                "-A",
                "authentic-1",
                "-x",
                cipher,
                "-X",
                "private-22",
            ];
            same(&name, &who, &|| access(&name, Some((auth, "authentic-1")), Some((privacy, "private-22"))));
        }
    }
    eprintln!("{compared} kinds of users");
    assert!(compared >= 3 + 6 + 24, "{compared}");
}

#[test]
fn what_is_wrong_with_a_user_is_named() {
    let Some(agent) = Agent::start() else {
        eprintln!("SKIPPED wrong users: snmpd is missing");
        return;
    };
    let good = ("sha256", "authentic-1");
    let cases: [(&str, Access, &str); 6] = [
        ("user", access("someone", Some(good), None), "unknown user"),
        ("password", access("sha256", Some(("sha256", "authentic-2")), None), "wrong digest (password)"),
        ("level", access("sha256", Some(good), Some(("aes128", "private-22"))), "unsupported security level"),
        (
            "privacy password",
            access("sha256-aes128", Some(good), Some(("aes128", "private-23"))),
            "decryption error (privacy password)",
        ),
        (
            "privacy password, DES",
            access("sha256-des", Some(good), Some(("des", "private-23"))),
            "decryption error (privacy password)",
        ),
        (
            "privacy protocol",
            access("sha256-aes128", Some(good), Some(("aes256", "private-22"))),
            "decryption error (privacy password)",
        ),
    ];
    let library = Arc::new(Library::load(&[], Names::Otel).unwrap());
    for (what, access, expected) in cases {
        let access = Arc::new(access);
        let target = Target {
            name: what.into(),
            address: agent.address.clone(),
            credentials: vec![Credential { name: "c".into(), access: access.clone() }],
            interval: Duration::from_secs(60),
            profile: "auto".into(),
            labels: BTreeMap::new(),
            tries_a_minute: 10,
        };
        let (status, _) = Single::new(Arc::new(target), library.clone()).unwrap().poll(1).unwrap();
        assert_eq!(
            (status.state, status.last_error.as_deref()),
            (DeviceState::Down, Some(expected)),
            "{what}"
        );
        let patience = Patience { timeout: Duration::from_millis(500), retries: 1 };
        let mut client =
            Client::connect(&Address::parse(&agent.address, 161).unwrap(), access, patience, 1472).unwrap();
        let fault = client.get(&["1.3.6.1.2.1.1.3.0".parse().unwrap()], |_, _| {}).unwrap_err();
        assert_eq!(fault.to_string(), expected, "{what}, on the command line");
    }
}
