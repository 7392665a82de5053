//! The two messages of remote write: `prometheus.WriteRequest` (1.0) and `io.prometheus.write.v2.Request` (2.0).

use std::collections::HashMap;

use prost::Message;

use super::series::Written;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exemplar1 {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    #[prost(int64, tag = "3")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Series1 {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(super) exemplars: Vec<Exemplar1>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata1 {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(string, tag = "2")]
    pub(super) family: String,
    #[prost(string, tag = "4")]
    pub(super) help: String,
    #[prost(string, tag = "5")]
    pub(super) unit: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request1 {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<Series1>,
    #[prost(message, repeated, tag = "3")]
    pub(super) metadata: Vec<Metadata1>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exemplar2 {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) labels: Vec<u32>,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    #[prost(int64, tag = "3")]
    pub(super) timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Metadata2 {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(uint32, tag = "3")]
    pub(super) help: u32,
    #[prost(uint32, tag = "4")]
    pub(super) unit: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Series2 {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) labels: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(super) exemplars: Vec<Exemplar2>,
    #[prost(message, optional, tag = "5")]
    pub(super) metadata: Option<Metadata2>,
    #[prost(int64, tag = "6")]
    pub(super) created: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request2 {
    #[prost(string, repeated, tag = "4")]
    pub(super) symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    pub(super) series: Vec<Series2>,
}

fn labels(pairs: &[(String, String)]) -> Vec<Label> {
    pairs.iter().map(|(name, value)| Label { name: name.clone(), value: value.clone() }).collect()
}

pub(super) fn version_1(written: &Written) -> Vec<u8> {
    let series = written.series.iter().map(|s| Series1 {
        labels: labels(&s.labels),
        samples: vec![Sample { value: s.value, timestamp: s.time }],
        exemplars: s
            .exemplar
            .iter()
            .map(|(l, value, time)| Exemplar1 { labels: labels(l), value: *value, timestamp: *time })
            .collect(),
    });
    let metadata = written.families.iter().map(|f| Metadata1 {
        kind: f.kind,
        family: f.name.clone(),
        help: f.help.clone(),
        unit: f.unit.clone(),
    });
    Request1 { series: series.collect(), metadata: metadata.collect() }.encode_to_vec()
}

/// Every text once; series name them by number. Number 0 is the empty text.
struct Symbols<'a> {
    known: HashMap<&'a str, u32>,
    list: Vec<String>,
}

impl<'a> Symbols<'a> {
    fn of(&mut self, text: &'a str) -> u32 {
        *self.known.entry(text).or_insert_with(|| {
            self.list.push(text.to_owned());
            (self.list.len() - 1) as u32
        })
    }

    fn pairs(&mut self, pairs: &'a [(String, String)]) -> Vec<u32> {
        pairs.iter().flat_map(|(name, value)| [self.of(name), self.of(value)]).collect()
    }
}

pub(super) fn version_2(written: &Written) -> Vec<u8> {
    let mut symbols = Symbols { known: HashMap::from([("", 0)]), list: vec![String::new()] };
    let series = written
        .series
        .iter()
        .map(|s| {
            let family = &written.families[s.family];
            Series2 {
                labels: symbols.pairs(&s.labels),
                samples: vec![Sample { value: s.value, timestamp: s.time }],
                exemplars: s
                    .exemplar
                    .iter()
                    .map(|(l, value, time)| Exemplar2 {
                        labels: symbols.pairs(l),
                        value: *value,
                        timestamp: *time,
                    })
                    .collect(),
                metadata: Some(Metadata2 {
                    kind: family.kind,
                    help: symbols.of(&family.help),
                    unit: symbols.of(&family.unit),
                }),
                created: s.created,
            }
        })
        .collect();
    Request2 { symbols: symbols.list, series }.encode_to_vec()
}
