//! Connections to brokers, and who leads what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use telegen_model::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::sasl::{self, Scram};
use super::wire::{self, Api, Metadata};
use crate::settings::Mechanism;

/// Longest answer: a cluster's metadata is far smaller.
const MAX_ANSWER: usize = 16 << 20;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How brokers are reached.
pub(super) struct Access {
    pub(super) brokers: Vec<(String, u16)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) sasl: Option<(Mechanism, String, Secret)>,
    pub(super) timeout: Duration,
}

/// One connection.
struct Connection {
    stream: Box<dyn Stream>,
    next: i32,
}

impl Connection {
    async fn open(access: &Access, host: &str, port: u16) -> Result<Connection, String> {
        let to = format!("{host}:{port}");
        let tcp = TcpStream::connect((host, port)).await.map_err(|e| format!("{to}: {e}"))?;
        tcp.set_nodelay(true).map_err(|e| format!("{to}: {e}"))?;
        let stream: Box<dyn Stream> = match &access.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("{to}: {e}"))?;
                let tls = TlsConnector::from(config.clone()).connect(name, tcp).await;
                Box::new(tls.map_err(|e| format!("{to}: TLS: {e}"))?)
            }
        };
        let mut connection = Connection { stream, next: 0 };
        if let Some((mechanism, user, password)) = &access.sasl {
            connection.log_in(*mechanism, user, password).await.map_err(|e| format!("{to}: {e}"))?;
        }
        Ok(connection)
    }

    async fn call(&mut self, api: Api, body: &[u8]) -> Result<Bytes, String> {
        self.next = self.next.wrapping_add(1);
        let correlation = self.next;
        let io = |e: std::io::Error| e.to_string();
        self.stream.write_all(&wire::request(api, correlation, body)).await.map_err(io)?;
        self.stream.flush().await.map_err(io)?;
        let length = self.stream.read_i32().await.map_err(io)?;
        let length = usize::try_from(length).ok().filter(|n| (4..=MAX_ANSWER).contains(n));
        let length = length.ok_or("an answer of an unreasonable length")?;
        let mut answer = BytesMut::zeroed(length);
        self.stream.read_exact(&mut answer).await.map_err(io)?;
        let mut reader = wire::Reader(answer.freeze());
        match reader.i32() {
            Ok(n) if n == correlation => Ok(reader.0),
            _ => Err("an answer to another request".to_owned()),
        }
    }

    async fn log_in(&mut self, mechanism: Mechanism, user: &str, password: &Secret) -> Result<(), String> {
        let answer =
            self.call(Api::SaslHandshake, &wire::sasl_handshake_request(sasl::name(mechanism))).await?;
        if wire::Reader(answer).i16() != Ok(0) {
            return Err(format!("the broker does not take {}", sasl::name(mechanism)));
        }
        if mechanism == Mechanism::Plain {
            self.prove(&sasl::plain(user, password.expose())).await?;
            return Ok(());
        }
        let nonce: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
        let scram = Scram::new(mechanism, user, nonce);
        let first = self.prove(scram.first().as_bytes()).await?;
        let (last, proven) = scram.last(&first, password.expose())?;
        let end = self.prove(last.as_bytes()).await?;
        if end != proven { Err("the broker does not know the password either".to_owned()) } else { Ok(()) }
    }

    async fn prove(&mut self, bytes: &[u8]) -> Result<String, String> {
        let answer = self.call(Api::SaslAuthenticate, &wire::sasl_authenticate_request(bytes)).await?;
        match wire::sasl_authenticated(answer) {
            Ok((0, _, bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok((error, said, _)) => Err(format!("login refused (error {error}): {said}")),
            Err(wire::Cut) => Err("a cut answer".to_owned()),
        }
    }
}

/// A producer's view of a cluster.
pub(super) struct Client {
    access: Access,
    connections: HashMap<i32, Connection>,
    brokers: HashMap<i32, (String, u16)>,
    topics: HashMap<String, Vec<i32>>,
}

impl Client {
    pub(super) fn new(access: Access) -> Client {
        Client { access, connections: HashMap::new(), brokers: HashMap::new(), topics: HashMap::new() }
    }

    /// Forgets what was known of leaders and all connections: the next call finds out anew.
    pub(super) fn forget(&mut self) {
        self.connections.clear();
        self.topics.clear();
    }

    /// The leaders of a topic's partitions, by partition.
    pub(super) async fn leaders(&mut self, topic: &str) -> Result<Vec<i32>, String> {
        if let Some(known) = self.topics.get(topic) {
            return Ok(known.clone());
        }
        let known = self.brokers.values().cloned();
        let mut last = "no brokers".to_owned();
        for (host, port) in self.access.brokers.clone().into_iter().chain(known.collect::<Vec<_>>()) {
            match self.ask(&host, port, topic).await {
                Ok(leaders) => {
                    self.topics.insert(topic.to_owned(), leaders.clone());
                    return Ok(leaders);
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    async fn ask(&mut self, host: &str, port: u16, topic: &str) -> Result<Vec<i32>, String> {
        let asking = async {
            let mut connection = Connection::open(&self.access, host, port).await?;
            connection.call(Api::Metadata, &wire::metadata_request(topic)).await
        };
        let answer = tokio::time::timeout(self.access.timeout, asking).await;
        let answer = answer.map_err(|_| format!("{host}:{port}: no answer"))??;
        let Metadata { brokers, topics } = wire::metadata(answer).map_err(|_| "a cut answer".to_owned())?;
        let (_, error, partitions) =
            topics.into_iter().find(|(name, ..)| name == topic).ok_or("no such topic")?;
        if error != 0 || partitions.is_empty() {
            return Err(format!("topic {topic}: error {error}"));
        }
        let mut leaders = vec![-1; partitions.len()];
        for (index, _, leader) in partitions {
            if let Some(at) = usize::try_from(index).ok().and_then(|i| leaders.get_mut(i)) {
                *at = leader;
            }
        }
        if leaders.contains(&-1) {
            return Err(format!("topic {topic}: a partition without a leader"));
        }
        self.brokers.extend(brokers.into_iter().map(|(node, host, port)| (node, (host, port))));
        Ok(leaders)
    }

    /// One call to a broker.
    pub(super) async fn call(&mut self, node: i32, api: Api, body: &[u8]) -> Result<Bytes, String> {
        let timeout = self.access.timeout;
        let calling = async {
            if !self.connections.contains_key(&node) {
                let (host, port) = self.brokers.get(&node).cloned().ok_or("an unknown broker")?;
                let connection = Connection::open(&self.access, &host, port).await?;
                self.connections.insert(node, connection);
            }
            let connection = self.connections.get_mut(&node).ok_or("an unknown broker")?;
            connection.call(api, body).await
        };
        let answer = tokio::time::timeout(timeout, calling).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("broker {node}: no answer within {timeout:?}")));
        if answer.is_err() {
            // A connection in the middle of an answer is of no use.
            self.connections.remove(&node);
        }
        answer
    }
}
