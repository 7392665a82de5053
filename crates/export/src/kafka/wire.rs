//! The few messages of the Kafka protocol that a producer needs, in the last versions before the compact forms:
//! Metadata 4, InitProducerId 1, Produce 7, SaslHandshake 1, SaslAuthenticate 0. Kafka 2.1 and later speak them all.
//! <https://kafka.apache.org/protocol>

use std::io::Write;

use bytes::{Buf, BufMut, Bytes};

use crate::settings::KafkaCompression;

/// API keys with the version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Produce,
    Metadata,
    SaslHandshake,
    InitProducerId,
    SaslAuthenticate,
}

impl Api {
    fn key_and_version(self) -> (i16, i16) {
        match self {
            Api::Produce => (0, 7),
            Api::Metadata => (3, 4),
            Api::SaslHandshake => (17, 1),
            Api::InitProducerId => (22, 1),
            Api::SaslAuthenticate => (36, 0),
        }
    }
}

/// A request with its length before it.
pub(super) fn request(api: Api, correlation: i32, body: &[u8]) -> Vec<u8> {
    const CLIENT: &str = "telegen";
    let (key, version) = api.key_and_version();
    let mut out = Vec::with_capacity(body.len() + 32);
    out.put_i32(i32::try_from(10 + CLIENT.len() + body.len()).unwrap_or(i32::MAX));
    out.put_i16(key);
    out.put_i16(version);
    out.put_i32(correlation);
    string(&mut out, CLIENT);
    out.put_slice(body);
    out
}

fn string(out: &mut Vec<u8>, s: &str) {
    out.put_i16(i16::try_from(s.len()).unwrap_or(i16::MAX));
    out.put_slice(s.as_bytes());
}

/// An answer that ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut;

type Read<T> = Result<T, Cut>;

/// Reads fields one after the other.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    fn need(&self, n: usize) -> Read<()> {
        if self.0.len() < n { Err(Cut) } else { Ok(()) }
    }

    pub(super) fn i16(&mut self) -> Read<i16> {
        self.need(2)?;
        Ok(self.0.get_i16())
    }

    pub(super) fn i32(&mut self) -> Read<i32> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }

    pub(super) fn i64(&mut self) -> Read<i64> {
        self.need(8)?;
        Ok(self.0.get_i64())
    }

    fn bool(&mut self) -> Read<bool> {
        self.need(1)?;
        Ok(self.0.get_u8() != 0)
    }

    /// A text, also one that is null.
    pub(super) fn string(&mut self) -> Read<String> {
        let len = usize::try_from(self.i16()?).unwrap_or(0);
        self.need(len)?;
        Ok(String::from_utf8_lossy(&self.0.split_to(len)).into_owned())
    }

    pub(super) fn bytes(&mut self) -> Read<Bytes> {
        let len = usize::try_from(self.i32()?).unwrap_or(0);
        self.need(len)?;
        Ok(self.0.split_to(len))
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Reader) -> Read<T>) -> Read<Vec<T>> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        // No element is shorter than two bytes: a count that lies reserves nothing.
        self.need(count.saturating_mul(2))?;
        (0..count).map(|_| each(self)).collect()
    }
}

/// Who leads what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Node, host, port.
    pub(super) brokers: Vec<(i32, String, u16)>,
    /// Topics with their partitions.
    pub(super) topics: Vec<Topic>,
}

/// Name, error, partitions: index, error, leader.
type Topic = (String, i16, Vec<(i32, i16, i32)>);

pub(super) fn metadata_request(topic: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i32(1);
    string(&mut out, topic);
    // The broker may make the topic, if it is set to.
    out.put_u8(1);
    out
}

pub(super) fn metadata(bytes: Bytes) -> Read<Metadata> {
    let mut r = Reader(bytes);
    r.i32()?;
    let brokers = r.list(|r| {
        let (node, host, port) = (r.i32()?, r.string()?, r.i32()?);
        r.string()?;
        Ok((node, host, u16::try_from(port).unwrap_or(0)))
    })?;
    r.string()?;
    r.i32()?;
    let topics = r.list(|r| {
        let (error, name) = (r.i16()?, r.string()?);
        r.bool()?;
        let partitions = r.list(|r| {
            let (error, index, leader) = (r.i16()?, r.i32()?, r.i32()?);
            r.list(Reader::i32)?;
            r.list(Reader::i32)?;
            Ok((index, error, leader))
        })?;
        Ok((name, error, partitions))
    })?;
    Ok(Metadata { brokers, topics })
}

pub(super) fn init_producer_request() -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i16(-1);
    out.put_i32(60_000);
    out
}

/// Error, producer, epoch.
pub(super) fn init_producer(bytes: Bytes) -> Read<(i16, i64, i16)> {
    let mut r = Reader(bytes);
    r.i32()?;
    Ok((r.i16()?, r.i64()?, r.i16()?))
}

pub(super) fn produce_request(topic: &str, partition: i32, records: &[u8], timeout_ms: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() + 64);
    out.put_i16(-1);
    // All replicas in sync: without it, a producer is not idempotent.
    out.put_i16(-1);
    out.put_i32(timeout_ms);
    out.put_i32(1);
    string(&mut out, topic);
    out.put_i32(1);
    out.put_i32(partition);
    out.put_i32(i32::try_from(records.len()).unwrap_or(i32::MAX));
    out.put_slice(records);
    out
}

/// The error of the one partition.
pub(super) fn produced(bytes: Bytes) -> Read<i16> {
    let mut r = Reader(bytes);
    let topics = r.list(|r| {
        r.string()?;
        r.list(|r| {
            r.i32()?;
            let error = r.i16()?;
            r.i64()?;
            r.i64()?;
            r.i64()?;
            Ok(error)
        })
    })?;
    topics.into_iter().flatten().next().ok_or(Cut)
}

pub(super) fn sasl_handshake_request(mechanism: &str) -> Vec<u8> {
    let mut out = Vec::new();
    string(&mut out, mechanism);
    out
}

pub(super) fn sasl_authenticate_request(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
    out
}

/// Error, words, bytes.
pub(super) fn sasl_authenticated(bytes: Bytes) -> Read<(i16, String, Bytes)> {
    let mut r = Reader(bytes);
    Ok((r.i16()?, r.string()?, r.bytes()?))
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) key: Vec<u8>,
    pub(super) value: Bytes,
    /// Items of the ledger in it.
    pub(super) items: usize,
}

/// Who writes, and where in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) producer: i64,
    pub(super) epoch: i16,
    pub(super) sequence: i32,
}

/// Messages as one record batch (message format 2).
pub(super) fn record_batch(
    messages: &[Message],
    writer: Writer,
    with: KafkaCompression,
    now_ms: i64,
) -> std::io::Result<Vec<u8>> {
    let mut records = Vec::with_capacity(messages.iter().map(|m| m.value.len() + m.key.len() + 16).sum());
    for (at, message) in messages.iter().enumerate() {
        let mut record = Vec::with_capacity(message.value.len() + message.key.len() + 16);
        record.put_u8(0);
        varint(&mut record, 0);
        varint(&mut record, at as i64);
        varint(&mut record, message.key.len() as i64);
        record.put_slice(&message.key);
        varint(&mut record, message.value.len() as i64);
        record.put_slice(&message.value);
        varint(&mut record, 0);
        varint(&mut records, record.len() as i64);
        records.put_slice(&record);
    }
    let (code, records) = match with {
        KafkaCompression::None => (0, records),
        KafkaCompression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
            encoder.write_all(&records)?;
            (1, encoder.finish()?)
        }
        KafkaCompression::Snappy => {
            (2, snap::raw::Encoder::new().compress_vec(&records).map_err(std::io::Error::other)?)
        }
        KafkaCompression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&records)?;
            (3, encoder.finish().map_err(std::io::Error::other)?)
        }
        KafkaCompression::Zstd => (4, zstd::bulk::compress(&records, 1)?),
    };
    let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
    let mut checked = Vec::with_capacity(records.len() + 64);
    checked.put_i16(code);
    checked.put_i32(count - 1);
    checked.put_i64(now_ms);
    checked.put_i64(now_ms);
    checked.put_i64(writer.producer);
    checked.put_i16(writer.epoch);
    checked.put_i32(writer.sequence);
    checked.put_i32(count);
    checked.put_slice(&records);
    let mut out = Vec::with_capacity(checked.len() + 21);
    out.put_i64(0);
    out.put_i32(i32::try_from(checked.len() + 9).unwrap_or(i32::MAX));
    out.put_i32(-1);
    out.put_i8(2);
    out.put_u32(crc32c::crc32c(&checked));
    out.put_slice(&checked);
    Ok(out)
}

/// Zigzag, then seven bits a byte.
fn varint(out: &mut Vec<u8>, v: i64) {
    let mut v = (v << 1 ^ v >> 63).cast_unsigned();
    while v >= 0x80 {
        out.put_u8(v as u8 | 0x80);
        v >>= 7;
    }
    out.put_u8(v as u8);
}

/// The partition of a key, as Kafka's own clients choose it: murmur2 with their seed.
pub(super) fn partition_of(key: &[u8], partitions: usize) -> usize {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c_u32 ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * at);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^= h >> 15;
    (h & 0x7fff_ffff) as usize % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_kafkas_own_clients_send_them() {
        // Values of org.apache.kafka.common.utils.UtilsTest.testMurmur2, made positive.
        let cases =
            [("21", -973_932_308_i32), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)];
        for (key, hash) in cases {
            let want = (hash & 0x7fff_ffff) as usize % 1_000_003;
            assert_eq!(partition_of(key.as_bytes(), 1_000_003), want, "{key}");
        }
    }

    #[test]
    fn answers_that_end_early_or_lie_about_lengths_are_told() {
        let mut good = Vec::new();
        good.put_i32(0);
        good.put_i32(1);
        good.put_i32(7);
        string(&mut good, "host");
        good.put_i32(9092);
        good.put_i16(-1);
        good.put_i16(-1);
        good.put_i32(7);
        good.put_i32(0);
        let read = metadata(good.clone().into()).unwrap();
        assert_eq!(read.brokers, [(7, "host".to_owned(), 9092)]);
        for cut in 0..good.len() {
            assert_eq!(metadata(good[..cut].to_vec().into()), Err(Cut), "{cut}");
        }
        let mut lie = Vec::new();
        lie.put_i32(0);
        lie.put_i32(i32::MAX);
        assert_eq!(metadata(lie.into()), Err(Cut));
    }
}
