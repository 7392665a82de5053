//! How many processes share the devices, as the StatefulSet says that this one runs in.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize;

/// What Kubernetes gives a pod to talk to its API with.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The API is asked so often.
const EVERY: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 2000 });
/// For each step of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer.
const LARGEST: u64 = 4 << 20;

/// Where the API is, and who this process is there.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    host: String,
    port: u16,
    /// Folder with `token`, `ca.crt` and `namespace`.
    account: PathBuf,
    /// Name of the StatefulSet.
    set: String,
    /// This pod's number in it.
    ordinal: u32,
}

impl Cluster {
    /// Of a process that runs in a pod whose name is that of a StatefulSet's: with a number behind the last hyphen.
    pub(crate) fn of_environment() -> Option<Cluster> {
        let host = std::env::var("KUBERNETES_SERVICE_HOST").ok().filter(|h| !h.is_empty())?;
        let port = std::env::var("KUBERNETES_SERVICE_PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(443);
        let name = telegen_sys::Host::read().name;
        let (set, ordinal) = name.split('.').next()?.rsplit_once('-')?;
        let ordinal = ordinal.parse().ok()?;
        let account = PathBuf::from(ACCOUNT);
        account.is_dir().then(|| Cluster { host, port, account, set: set.to_owned(), ordinal })
    }

    /// Asks once.
    fn ask(&self) -> anyhow::Result<Option<StatefulSet>> {
        let read = |name: &str| {
            let path = self.account.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let (token, namespace) = (read("token")?, read("namespace")?);
        let path = format!("/apis/apps/v1/namespaces/{}/statefulsets/{}", namespace.trim(), self.set);
        let (status, body) =
            self.get(&path, token.trim()).with_context(|| format!("{}:{}", self.host, self.port))?;
        match status {
            200 => Ok(Some(serde_json::from_slice(&body).context("the answer for the StatefulSet")?)),
            // A pod that only looks like one of a set.
            404 => Ok(None),
            401 | 403 => Err(Forbidden(status).into()),
            other => bail!("{path}: HTTP status {other}"),
        }
    }

    /// One request on a connection of its own.
    fn get(&self, path: &str, token: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut roots = rustls::RootCertStore::empty();
        for cert in CertificateDer::pem_file_iter(self.account.join("ca.crt"))? {
            roots.add(cert?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(self.host.clone())?;
        let address = (self.host.as_str(), self.port).to_socket_addrs()?.next().context("no address")?;
        let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let mut stream =
            rustls::StreamOwned::new(rustls::ClientConnection::new(Arc::new(config), name)?, tcp);
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        // Version 1.0 of HTTP: the answer ends where the connection does, and comes in one piece.
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n\
             User-Agent: telegen\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        match stream.take(LARGEST).read_to_end(&mut answer) {
            // Some servers end a connection without TLS's goodbye; the length below tells whether all came.
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(e.into()),
            _ => {}
        }
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").context("no HTTP answer")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
        let length = lines
            .filter_map(|l| l.split_once(':'))
            .find(|(k, _)| k.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, v)| v.trim().parse::<usize>().ok());
        let body = answer.split_off(end + 4);
        if length.is_some_and(|l| l != body.len()) {
            bail!("the answer was cut");
        }
        Ok((status.context("no HTTP status")?, body))
    }
}

/// The API does not let this process know.
#[derive(Debug)]
struct Forbidden(u16);

impl std::fmt::Display for Forbidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP status {}: until it is allowed all devices are polled, by every replica", self.0)
    }
}

impl std::error::Error for Forbidden {}

/// What counts of a StatefulSet (apps/v1).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatefulSet {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    replicas: u32,
    ordinals: Ordinals,
}

impl Default for Spec {
    fn default() -> Spec {
        Spec { replicas: 1, ordinals: Ordinals::default() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    ready_replicas: u32,
}

impl StatefulSet {
    /// How many members share the devices, when `before` did. One that is still to come takes its share when it is ready; one
    /// that restarts keeps it; a process that just began is about to be ready itself.
    fn members(&self, before: Option<u32>) -> u32 {
        let wanted = self.spec.replicas.max(1);
        match before {
            None => wanted,
            Some(before) => before.max(self.status.ready_replicas).clamp(1, wanted),
        }
    }
}

/// The members, looked at from time to time on a thread of its own.
pub(crate) struct Membership {
    index: u32,
    /// 0: not known yet, nothing is polled.
    members: Arc<AtomicU32>,
    first: Arc<AtomicU32>,
}

impl Membership {
    /// Begins to look; comes back with the first answer, or after a while without one.
    pub(crate) fn watch(cluster: Cluster, stop: Arc<AtomicBool>) -> anyhow::Result<Membership> {
        let membership =
            Membership { index: cluster.ordinal, members: Arc::default(), first: Arc::default() };
        let (members, first) = (membership.members.clone(), membership.first.clone());
        let mut before = None;
        let mut told = String::new();
        let mut look = move || {
            match cluster.ask() {
                Ok(Some(set)) => {
                    let now = set.members(before);
                    before = Some(now);
                    told.clear();
                    first.store(set.spec.ordinals.start, Ordering::SeqCst);
                    members.store(now, Ordering::SeqCst);
                }
                Ok(None) => {
                    first.store(cluster.ordinal, Ordering::SeqCst);
                    members.store(1, Ordering::SeqCst);
                }
                // What was known last goes on. Who was never allowed to know polls all: twice is better than not at all.
                Err(error) => {
                    if error.downcast_ref::<Forbidden>().is_some() && members.load(Ordering::SeqCst) == 0 {
                        first.store(cluster.ordinal, Ordering::SeqCst);
                        members.store(1, Ordering::SeqCst);
                    }
                    let what = format!("{error:#}");
                    if what != told {
                        tracing::error!(
                            set = cluster.set,
                            "the members of the StatefulSet are not known (allow `get` on statefulsets, or set \
                             collector.snmp.shard): {what}"
                        );
                        told = what;
                    }
                }
            }
        };
        look();
        std::thread::Builder::new()
            .name("telegen-members".into())
            .spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    std::thread::sleep(EVERY);
                    look();
                }
            })
            .context("collector.snmp.shard")?;
        Ok(membership)
    }

    /// This process's place and the number of all; `(0, 0)`, a share of nothing, while that is not known.
    pub(crate) fn shard(&self) -> (u32, u32) {
        match self.members.load(Ordering::SeqCst) {
            0 => (0, 0),
            members => (self.index.saturating_sub(self.first.load(Ordering::SeqCst)), members),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Mutex;

    use telegen_testkit::tls::Authority;

    use super::*;

    /// An API server that knows one StatefulSet: what it answers, and what it was asked.
    struct Api {
        port: u16,
        answer: Arc<Mutex<(u16, String)>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Api {
        fn start(authority: &Authority) -> Api {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let config = Arc::new(authority.server("127.0.0.1", false).unwrap());
            let (answer, asked) =
                (Arc::new(Mutex::new((200, String::new()))), Arc::new(Mutex::new(Vec::new())));
            let (of_thread, heard) = (answer.clone(), asked.clone());
            std::thread::spawn(move || {
                for tcp in listener.incoming() {
                    let tls = rustls::ServerConnection::new(config.clone()).unwrap();
                    let mut stream = rustls::StreamOwned::new(tls, tcp.unwrap());
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).unwrap_or(0) == 0 {
                            break;
                        }
                        head.push(byte[0]);
                    }
                    heard.lock().unwrap().push(String::from_utf8(head).unwrap());
                    let (status, body) = of_thread.lock().unwrap().clone();
                    let text = format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _sent = stream.write_all(text.as_bytes());
                    stream.conn.send_close_notify();
                    let _sent = stream.flush();
                }
            });
            Api { port, answer, asked }
        }

        fn says(&self, replicas: u32, ready: u32) {
            let body =
                format!(r#"{{"spec":{{"replicas":{replicas}}},"status":{{"readyReplicas":{ready}}}}}"#);
            *self.answer.lock().unwrap() = (200, body);
        }
    }

    #[test]
    fn the_share_follows_what_the_api_server_says() {
        let authority = Authority::new().unwrap();
        let api = Api::start(&authority);
        let account = tempfile::tempdir().unwrap();
        for (name, text) in
            [("ca.crt", authority.pem()), ("token", "t0ken\n".into()), ("namespace", "net".into())]
        {
            fs::write(account.path().join(name), text).unwrap();
        }
        let cluster = Cluster {
            host: "127.0.0.1".into(),
            port: api.port,
            account: account.path().to_owned(),
            set: "telegen".into(),
            ordinal: 1,
        };
        api.says(2, 1);
        let stop = Arc::new(AtomicBool::new(false));
        let membership = Membership::watch(cluster.clone(), stop.clone()).unwrap();
        assert_eq!(membership.shard(), (1, 2));
        let asked = api.asked.lock().unwrap()[0].clone();
        assert!(
            asked.starts_with("GET /apis/apps/v1/namespaces/net/statefulsets/telegen HTTP/1.0\r\n"),
            "{asked}"
        );
        assert!(asked.contains("Authorization: Bearer t0ken\r\n"), "{asked}");
        let becomes = |members: (u32, u32)| {
            for _ in 0..1000 {
                if membership.shard() == members {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            panic!("{:?}, never {members:?}", membership.shard());
        };
        // A third is wanted and not ready: nothing changes until it is.
        api.says(3, 3);
        becomes((1, 3));
        // Refused: what was known goes on.
        *api.answer.lock().unwrap() = (403, "{}".into());
        let before = api.asked.lock().unwrap().len();
        while api.asked.lock().unwrap().len() < before + 2 {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(membership.shard(), (1, 3));
        stop.store(true, Ordering::Release);
        // What is no StatefulSet polls all of it.
        *api.answer.lock().unwrap() = (404, "{}".into());
        let ended = || Arc::new(AtomicBool::new(true));
        assert_eq!(Membership::watch(cluster.clone(), ended()).unwrap().shard(), (0, 1));
        // So does one that may not know, from the start; one whose API is away waits.
        *api.answer.lock().unwrap() = (403, "{}".into());
        assert_eq!(Membership::watch(cluster.clone(), ended()).unwrap().shard(), (0, 1));
        let away = Cluster { port: 1, ..cluster };
        assert_eq!(Membership::watch(away, ended()).unwrap().shard(), (0, 0));
    }

    #[test]
    fn one_that_is_to_come_counts_when_it_is_ready_and_one_that_restarts_goes_on_counting() {
        let set = |replicas, ready| {
            let text =
                format!(r#"{{"spec":{{"replicas":{replicas}}},"status":{{"readyReplicas":{ready}}}}}"#);
            serde_json::from_str::<StatefulSet>(&text).unwrap()
        };
        assert_eq!(set(3, 2).members(None), 3);
        assert_eq!(set(3, 2).members(Some(2)), 2);
        assert_eq!(set(3, 3).members(Some(2)), 3);
        assert_eq!(set(3, 2).members(Some(3)), 3);
        assert_eq!(set(2, 3).members(Some(3)), 2);
        assert_eq!(serde_json::from_str::<StatefulSet>("{}").unwrap().members(Some(4)), 1);
    }
}
