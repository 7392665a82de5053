//! Kafka: export requests as messages, keyed so that a trace, and a resource, stays in one partition. The producer is
//! idempotent: a batch that is sent again is written once.

mod client;
mod sasl;
mod wire;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use telegen_model::{Records, ResourceGroup, Scope, Secret, Signal, Str};
use telegen_otlp::{RawGroup, by_trace, encode_request, json, raw_groups};
use telegen_pipeline::{Batch, BoxFuture, Outcome, SignalSet, Sink};
use tokio::sync::Mutex;

use crate::otlp;
use crate::settings::{KafkaCompression, KafkaEncoding, Mechanism};
use crate::{ExportError, TlsConfig};
use client::{Access, Client};
use wire::{Api, Message, Writer, init_producer, partition_of, produced, record_batch};

/// Bytes of messages in one record batch, at most: brokers take 1 MB unless they are told otherwise.
const RECORD_BATCH: usize = 900_000;

/// A Kafka exporter's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Its name in the ledger.
    pub name: String,
    /// What it takes.
    pub signals: SignalSet,
    /// Brokers to begin with: host, port.
    pub brokers: Vec<(String, u16)>,
    /// Topic; `{signal}` stands for the signal's name.
    pub topic: String,
    /// What a message holds.
    pub encoding: KafkaEncoding,
    /// How messages are compressed.
    pub compression: KafkaCompression,
    /// How to log in: mechanism, user, password.
    pub sasl: Option<(Mechanism, String, Secret)>,
    /// Encryption, if any.
    pub tls: Option<TlsConfig>,
    /// Longest wait for an answer.
    pub timeout: Duration,
}

/// The Kafka exporter.
pub struct KafkaSink {
    config: KafkaConfig,
    /// By signal: each has its own line of sequence numbers, and none holds up another.
    lines: [Mutex<Line>; 4],
}

/// One signal's producer.
struct Line {
    client: Client,
    producer: Option<(i64, i16)>,
    /// Next sequence number by partition.
    sequences: Vec<i32>,
    /// The batch that was not taken whole: it is sent again as it was.
    under_way: Option<UnderWay>,
}

struct UnderWay {
    id: String,
    /// Partition, record batch, its place in the line, number of its messages.
    parts: Vec<(i32, Vec<Message>, Option<i32>)>,
}

/// Why a part was not taken.
enum Failed {
    Later(String),
    TooLarge,
    Never(i16),
}

impl KafkaSink {
    /// Checks the settings and reads the TLS files; nothing is connected yet.
    pub fn new(config: &KafkaConfig) -> Result<KafkaSink, ExportError> {
        let tls = config.tls.as_ref().map(otlp::tls_client).transpose()?;
        let line = || {
            let (brokers, tls) = (config.brokers.clone(), tls.clone());
            let access = Access { brokers, tls, sasl: config.sasl.clone(), timeout: config.timeout };
            let client = Client::new(access);
            Mutex::new(Line { client, producer: None, sequences: Vec::new(), under_way: None })
        };
        Ok(KafkaSink { config: config.clone(), lines: [line(), line(), line(), line()] })
    }

    async fn try_send(&self, batch: &Batch) -> Outcome {
        let topic = self.config.topic.replace("{signal}", batch.signal.name());
        let mut line = self.lines[batch.signal.index()].lock().await;
        let items = batch.items as u64;
        let failed = match self.run(&mut line, &topic, batch).await {
            Ok(()) => {
                line.under_way = None;
                return Outcome::Delivered;
            }
            Err(failed) => failed,
        };
        let (exporter, signal) = (self.config.name.as_str(), batch.signal.name());
        match failed {
            Failed::Later(why) => {
                tracing::warn!(exporter, topic, signal, why, "the broker did not take the messages");
                line.client.forget();
                Outcome::Retry { after: None }
            }
            Failed::TooLarge => {
                line.under_way = None;
                Outcome::TooLarge
            }
            Failed::Never(error) => {
                tracing::error!(exporter, topic, signal, error, "the broker refused messages");
                let left = line.under_way.take().map_or(items, |u| {
                    u.parts.iter().flat_map(|(_, messages, _)| messages).map(|m| m.items as u64).sum()
                });
                Outcome::Lost { n: left.min(items), reason: format!("kafka_{error}").into() }
            }
        }
    }

    async fn run(&self, line: &mut Line, topic: &str, batch: &Batch) -> Result<(), Failed> {
        let leaders = line.client.leaders(topic).await.map_err(Failed::Later)?;
        if line.under_way.as_ref().is_none_or(|u| u.id != batch.id()) {
            let messages = self.messages(batch).map_err(|()| Failed::Never(-1))?;
            let parts = parts(messages, leaders.len());
            line.under_way = Some(UnderWay { id: batch.id().to_owned(), parts });
        }
        line.sequences.resize(leaders.len().max(line.sequences.len()), 0);
        while let Some(mut under_way) = line.under_way.take() {
            let Some((partition, messages, at)) = under_way.parts.pop() else { return Ok(()) };
            let outcome = self.part(line, topic, &leaders, (partition, &messages, at)).await;
            if let Err((failed, at)) = outcome {
                under_way.parts.push((partition, messages, at));
                line.under_way = Some(under_way);
                return Err(failed);
            }
            line.under_way = Some(under_way);
        }
        Ok(())
    }

    /// Writes one record batch; on failure tells at which place in the line it may have been written.
    async fn part(
        &self,
        line: &mut Line,
        topic: &str,
        leaders: &[i32],
        (partition, messages, at): (i32, &[Message], Option<i32>),
    ) -> Result<(), (Failed, Option<i32>)> {
        let index = usize::try_from(partition).unwrap_or(0);
        let leader = *leaders.get(index).ok_or((Failed::Later("a partition is gone".to_owned()), None))?;
        let (producer, epoch) = match line.producer {
            Some(known) => known,
            None => {
                let answer =
                    line.client.call(leader, Api::InitProducerId, &wire::init_producer_request()).await;
                let answer = answer.map_err(|why| (Failed::Later(why), at))?;
                match init_producer(answer) {
                    Ok((0, producer, epoch)) => {
                        line.sequences.fill(0);
                        *line.producer.insert((producer, epoch))
                    }
                    Ok((error, ..)) => {
                        return Err((Failed::Later(format!("no producer id (error {error})")), at));
                    }
                    Err(wire::Cut) => return Err((Failed::Later("a cut answer".to_owned()), at)),
                }
            }
        };
        let sequence = at.unwrap_or(line.sequences[index]);
        let writer = Writer { producer, epoch, sequence };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let records = record_batch(messages, writer, self.config.compression, now)
            .map_err(|e| (Failed::Later(e.to_string()), at))?;
        let timeout = i32::try_from(self.config.timeout.as_millis()).unwrap_or(i32::MAX);
        let body = wire::produce_request(topic, partition, &records, timeout);
        // From here on the broker may have it: what is sent again keeps its place.
        let at = Some(sequence);
        let answer =
            line.client.call(leader, Api::Produce, &body).await.map_err(|why| (Failed::Later(why), at))?;
        match produced(answer) {
            // 46: DUPLICATE_SEQUENCE_NUMBER: it was written the first time.
            Ok(0 | 46) => {
                line.sequences[index] =
                    sequence.wrapping_add(i32::try_from(messages.len()).unwrap_or(0)) & i32::MAX;
                Ok(())
            }
            // MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE: it has no place.
            Ok(10 | 18) => Err((Failed::TooLarge, None)),
            // OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, UNKNOWN_PRODUCER_ID: the line begins anew.
            Ok(error @ (45 | 47 | 59)) => {
                line.producer = None;
                Err((Failed::Later(format!("the producer is not known any more (error {error})")), None))
            }
            // INVALID_TOPIC, TOPIC_, CLUSTER_AUTHORIZATION_FAILED, UNSUPPORTED_COMPRESSION, INVALID_RECORD.
            Ok(error @ (17 | 29 | 31 | 76 | 87)) => Err((Failed::Never(error), None)),
            Ok(error) => Err((Failed::Later(format!("error {error}")), at)),
            Err(wire::Cut) => Err((Failed::Later("a cut answer".to_owned()), at)),
        }
    }

    /// A batch as messages: a trace each, or a resource each.
    fn messages(&self, batch: &Batch) -> Result<Vec<Message>, ()> {
        let mut out = Vec::new();
        for RawGroup { resource, records } in raw_groups(batch.signal, batch.encoded()).map_err(drop)? {
            let key = {
                let hash = Sha256::digest(format!("{:?}", resource.attrs()));
                hex(&hash[..16]).into_bytes()
            };
            let around: usize = records.resource_rest.len()
                + resource
                    .attrs()
                    .iter()
                    .map(|kv| kv.key.len() + format!("{:?}", kv.value).len())
                    .sum::<usize>();
            let resource = Arc::new(resource);
            let parts = match batch.signal {
                Signal::Traces => by_trace(&records, around)
                    .into_iter()
                    .map(|(trace, part)| (hex(&trace).into_bytes(), part))
                    .collect(),
                _ => vec![(key, records)],
            };
            for (key, records) in parts {
                let items = records.items;
                let group = ResourceGroup {
                    resource: resource.clone(),
                    scope: Scope { name: Str::const_new(""), version: Str::const_new("") },
                    records: Records::Raw(records),
                };
                let value = encode_request(&[group]);
                let value: Bytes = match self.config.encoding {
                    KafkaEncoding::OtlpProto => value,
                    KafkaEncoding::OtlpJson => json::from_protobuf(batch.signal, &value).map_err(drop)?,
                };
                out.push(Message { key, value, items });
            }
        }
        Ok(out)
    }
}

/// Messages by partition, in record batches that a broker takes; the first one last, for taking off the end.
fn parts(messages: Vec<Message>, partitions: usize) -> Vec<(i32, Vec<Message>, Option<i32>)> {
    let mut by_partition: Vec<Vec<Message>> = vec![Vec::new(); partitions];
    for message in messages {
        by_partition[partition_of(&message.key, partitions)].push(message);
    }
    let mut out = Vec::new();
    for (partition, messages) in by_partition.into_iter().enumerate() {
        let (mut open, mut bytes) = (Vec::new(), 0);
        for message in messages {
            let size = message.key.len() + message.value.len() + 32;
            if !open.is_empty() && bytes + size > RECORD_BATCH {
                out.push((partition as i32, std::mem::take(&mut open), None));
                bytes = 0;
            }
            bytes += size;
            open.push(message);
        }
        if !open.is_empty() {
            out.push((partition as i32, open, None));
        }
    }
    out.reverse();
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Sink for KafkaSink {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn signals(&self) -> SignalSet {
        self.config.signals
    }

    fn needs_records(&self) -> bool {
        false
    }

    fn send(&self, batch: Arc<Batch>) -> BoxFuture<'_, Outcome> {
        Box::pin(async move { self.try_send(&batch).await })
    }
}
