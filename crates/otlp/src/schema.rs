//! The messages of OTLP 1.10 as tables: what checks, rewrites and translates requests without building them.
//!
//! Field numbers, JSON names and types are those of the `opentelemetry.proto` packages.

use telegen_model::Signal;

/// A table of a profiles dictionary that indices point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Mapping,
    Location,
    Function,
    Link,
    String,
    Attribute,
    Stack,
}

/// Type of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Bytes,
    /// Bytes that JSON shows in hexadecimal.
    Id,
    Bool,
    Uint32,
    /// An enum: a number in JSON.
    Enum,
    Sint32,
    Int64,
    Uint64,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    /// An `int32` that points into the dictionary.
    Index(Table),
    Message(&'static Message),
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// Name in JSON.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) repeated: bool,
    /// Each is one item of the ledger.
    pub(crate) item: bool,
}

#[derive(Debug)]
pub(crate) struct Message {
    /// By number.
    pub(crate) fields: &'static [Field],
    /// The same, each at its number.
    numbered: [Option<&'static Field>; NUMBERS],
    /// What to check at a tag of one byte, by the tag.
    steps: [Step; 0x80],
}

/// More than any field's number.
const NUMBERS: usize = 17;

/// How a field is checked whose tag is one byte: what its number and its type on the wire come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Varint,
    Fixed64,
    Fixed32,
    /// Bytes as they are.
    Len,
    Text,
    Message,
    /// All else: lists of numbers, and what must not be.
    Other,
}

impl Message {
    /// Ends the build when a number is too high.
    const fn of(fields: &'static [Field]) -> Message {
        let (mut numbered, mut steps) = ([None; NUMBERS], [Step::Other; 0x80]);
        let mut at = 0;
        while at < fields.len() {
            numbered[fields[at].number as usize] = Some(&fields[at]);
            at += 1;
        }
        let mut tag = 8;
        while tag < 0x80 {
            steps[tag] = Step::of(numbered[tag >> 3], tag & 7);
            tag += 1;
        }
        Message { fields, numbered, steps }
    }

    #[inline(always)]
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        self.numbered.get(number as usize).copied().flatten()
    }

    #[inline(always)]
    pub(crate) fn step(&self, tag: u8) -> Step {
        self.steps.get(usize::from(tag)).copied().unwrap_or(Step::Other)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

impl Step {
    const fn of(field: Option<&Field>, wire: usize) -> Step {
        // What no table has is kept, whatever it is.
        let unknown = match wire {
            0 => Step::Varint,
            1 => Step::Fixed64,
            2 => Step::Len,
            5 => Step::Fixed32,
            _ => Step::Other,
        };
        let Some(field) = field else { return unknown };
        match (field.kind, unknown) {
            (Kind::Message(_), Step::Len) => Step::Message,
            // Items are counted, and only messages are looked at for that.
            _ if field.item => Step::Other,
            (Kind::Text, Step::Len) => Step::Text,
            (Kind::Bytes | Kind::Id, Step::Len) => Step::Len,
            (Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_), _) => Step::Other,
            (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, Step::Fixed64) => Step::Fixed64,
            (Kind::Fixed32, Step::Fixed32) => Step::Fixed32,
            (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double | Kind::Fixed32, _) => Step::Other,
            (_, Step::Varint) => Step::Varint,
            _ => Step::Other,
        }
    }
}

/// The export request of a signal.
pub(crate) fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
        Signal::Profiles => &PROFILES,
    }
}

macro_rules! messages {
    ($($message:ident { $($number:literal $name:literal $kind:ident $(($of:expr))? $($flag:ident)* ;)* })*) => {
        $(pub(crate) static $message: Message = {
            static FIELDS: [Field; [$($number),*].len()] = [$(Field {
                number: $number,
                name: $name,
                kind: Kind::$kind $(($of))?,
                repeated: false $(|| flag!(repeated $flag))*,
                item: false $(|| flag!(item $flag))*,
            }),*];
            Message::of(&FIELDS)
        };)*
    };
}

macro_rules! flag {
    (repeated many) => {
        true
    };
    (repeated items) => {
        true
    };
    (item items) => {
        true
    };
    ($a:ident $b:ident) => {
        false
    };
}

messages! {
    TRACES { 1 "resourceSpans" Message(&RESOURCE_SPANS) many; }
    METRICS { 1 "resourceMetrics" Message(&RESOURCE_METRICS) many; }
    LOGS { 1 "resourceLogs" Message(&RESOURCE_LOGS) many; }
    PROFILES { 1 "resourceProfiles" Message(&RESOURCE_PROFILES) many; 2 "dictionary" Message(&DICTIONARY); }

    RESOURCE_SPANS { 1 "resource" Message(&RESOURCE); 2 "scopeSpans" Message(&SCOPE_SPANS) many; 3 "schemaUrl" Text; }
    RESOURCE_METRICS {
        1 "resource" Message(&RESOURCE); 2 "scopeMetrics" Message(&SCOPE_METRICS) many; 3 "schemaUrl" Text;
    }
    RESOURCE_LOGS { 1 "resource" Message(&RESOURCE); 2 "scopeLogs" Message(&SCOPE_LOGS) many; 3 "schemaUrl" Text; }
    RESOURCE_PROFILES {
        1 "resource" Message(&RESOURCE); 2 "scopeProfiles" Message(&SCOPE_PROFILES) many; 3 "schemaUrl" Text;
    }
    SCOPE_SPANS { 1 "scope" Message(&SCOPE); 2 "spans" Message(&SPAN) items; 3 "schemaUrl" Text; }
    SCOPE_METRICS { 1 "scope" Message(&SCOPE); 2 "metrics" Message(&METRIC) many; 3 "schemaUrl" Text; }
    SCOPE_LOGS { 1 "scope" Message(&SCOPE); 2 "logRecords" Message(&LOG_RECORD) items; 3 "schemaUrl" Text; }
    SCOPE_PROFILES { 1 "scope" Message(&SCOPE); 2 "profiles" Message(&PROFILE) items; 3 "schemaUrl" Text; }

    RESOURCE {
        1 "attributes" Message(&KEY_VALUE) many; 2 "droppedAttributesCount" Uint32;
        3 "entityRefs" Message(&ENTITY_REF) many;
    }
    ENTITY_REF { 1 "schemaUrl" Text; 2 "type" Text; 3 "idKeys" Text many; 4 "descriptionKeys" Text many; }
    SCOPE {
        1 "name" Text; 2 "version" Text; 3 "attributes" Message(&KEY_VALUE) many; 4 "droppedAttributesCount" Uint32;
    }
    KEY_VALUE { 1 "key" Text; 2 "value" Message(&ANY_VALUE); 3 "keyStrindex" Index(Table::String); }
    ANY_VALUE {
        1 "stringValue" Text; 2 "boolValue" Bool; 3 "intValue" Int64; 4 "doubleValue" Double;
        5 "arrayValue" Message(&ARRAY); 6 "kvlistValue" Message(&KEY_VALUES); 7 "bytesValue" Bytes;
        8 "stringValueStrindex" Index(Table::String);
    }
    ARRAY { 1 "values" Message(&ANY_VALUE) many; }
    KEY_VALUES { 1 "values" Message(&KEY_VALUE) many; }

    SPAN {
        1 "traceId" Id; 2 "spanId" Id; 3 "traceState" Text; 4 "parentSpanId" Id; 5 "name" Text; 6 "kind" Enum;
        7 "startTimeUnixNano" Fixed64; 8 "endTimeUnixNano" Fixed64; 9 "attributes" Message(&KEY_VALUE) many;
        10 "droppedAttributesCount" Uint32; 11 "events" Message(&EVENT) many; 12 "droppedEventsCount" Uint32;
        13 "links" Message(&SPAN_LINK) many; 14 "droppedLinksCount" Uint32; 15 "status" Message(&STATUS);
        16 "flags" Fixed32;
    }
    EVENT {
        1 "timeUnixNano" Fixed64; 2 "name" Text; 3 "attributes" Message(&KEY_VALUE) many;
        4 "droppedAttributesCount" Uint32;
    }
    SPAN_LINK {
        1 "traceId" Id; 2 "spanId" Id; 3 "traceState" Text; 4 "attributes" Message(&KEY_VALUE) many;
        5 "droppedAttributesCount" Uint32; 6 "flags" Fixed32;
    }
    STATUS { 2 "message" Text; 3 "code" Enum; }

    LOG_RECORD {
        1 "timeUnixNano" Fixed64; 2 "severityNumber" Enum; 3 "severityText" Text; 5 "body" Message(&ANY_VALUE);
        6 "attributes" Message(&KEY_VALUE) many; 7 "droppedAttributesCount" Uint32; 8 "flags" Fixed32;
        9 "traceId" Id; 10 "spanId" Id; 11 "observedTimeUnixNano" Fixed64; 12 "eventName" Text;
    }

    METRIC {
        1 "name" Text; 2 "description" Text; 3 "unit" Text; 5 "gauge" Message(&GAUGE); 7 "sum" Message(&SUM);
        9 "histogram" Message(&HISTOGRAM); 10 "exponentialHistogram" Message(&EXPONENTIAL);
        11 "summary" Message(&SUMMARY); 12 "metadata" Message(&KEY_VALUE) many;
    }
    GAUGE { 1 "dataPoints" Message(&NUMBER_POINT) items; }
    SUM { 1 "dataPoints" Message(&NUMBER_POINT) items; 2 "aggregationTemporality" Enum; 3 "isMonotonic" Bool; }
    HISTOGRAM { 1 "dataPoints" Message(&HISTOGRAM_POINT) items; 2 "aggregationTemporality" Enum; }
    EXPONENTIAL { 1 "dataPoints" Message(&EXPONENTIAL_POINT) items; 2 "aggregationTemporality" Enum; }
    SUMMARY { 1 "dataPoints" Message(&SUMMARY_POINT) items; }
    NUMBER_POINT {
        2 "startTimeUnixNano" Fixed64; 3 "timeUnixNano" Fixed64; 4 "asDouble" Double;
        5 "exemplars" Message(&EXEMPLAR) many; 6 "asInt" Sfixed64; 7 "attributes" Message(&KEY_VALUE) many;
        8 "flags" Uint32;
    }
    HISTOGRAM_POINT {
        2 "startTimeUnixNano" Fixed64; 3 "timeUnixNano" Fixed64; 4 "count" Fixed64; 5 "sum" Double;
        6 "bucketCounts" Fixed64 many; 7 "explicitBounds" Double many; 8 "exemplars" Message(&EXEMPLAR) many;
        9 "attributes" Message(&KEY_VALUE) many; 10 "flags" Uint32; 11 "min" Double; 12 "max" Double;
    }
    EXPONENTIAL_POINT {
        1 "attributes" Message(&KEY_VALUE) many; 2 "startTimeUnixNano" Fixed64; 3 "timeUnixNano" Fixed64;
        4 "count" Fixed64; 5 "sum" Double; 6 "scale" Sint32; 7 "zeroCount" Fixed64; 8 "positive" Message(&BUCKETS);
        9 "negative" Message(&BUCKETS); 10 "flags" Uint32; 11 "exemplars" Message(&EXEMPLAR) many; 12 "min" Double;
        13 "max" Double; 14 "zeroThreshold" Double;
    }
    BUCKETS { 1 "offset" Sint32; 2 "bucketCounts" Uint64 many; }
    SUMMARY_POINT {
        2 "startTimeUnixNano" Fixed64; 3 "timeUnixNano" Fixed64; 4 "count" Fixed64; 5 "sum" Double;
        6 "quantileValues" Message(&QUANTILE) many; 7 "attributes" Message(&KEY_VALUE) many; 8 "flags" Uint32;
    }
    QUANTILE { 1 "quantile" Double; 2 "value" Double; }
    EXEMPLAR {
        2 "timeUnixNano" Fixed64; 3 "asDouble" Double; 4 "spanId" Id; 5 "traceId" Id; 6 "asInt" Sfixed64;
        7 "filteredAttributes" Message(&KEY_VALUE) many;
    }

    PROFILE {
        1 "sampleType" Message(&VALUE_TYPE); 2 "samples" Message(&SAMPLE) many; 3 "timeUnixNano" Fixed64;
        4 "durationNano" Uint64; 5 "periodType" Message(&VALUE_TYPE); 6 "period" Int64; 7 "profileId" Id;
        8 "droppedAttributesCount" Uint32; 9 "originalPayloadFormat" Text; 10 "originalPayload" Bytes;
        11 "attributeIndices" Index(Table::Attribute) many;
    }
    VALUE_TYPE { 1 "typeStrindex" Index(Table::String); 2 "unitStrindex" Index(Table::String); }
    SAMPLE {
        1 "stackIndex" Index(Table::Stack); 2 "attributeIndices" Index(Table::Attribute) many;
        3 "linkIndex" Index(Table::Link); 4 "values" Int64 many; 5 "timestampsUnixNano" Fixed64 many;
    }
    DICTIONARY {
        1 "mappingTable" Message(&MAPPING) many; 2 "locationTable" Message(&LOCATION) many;
        3 "functionTable" Message(&FUNCTION) many; 4 "linkTable" Message(&PROFILE_LINK) many;
        5 "stringTable" Text many; 6 "attributeTable" Message(&ATTRIBUTE) many; 7 "stackTable" Message(&STACK) many;
    }
    MAPPING {
        1 "memoryStart" Uint64; 2 "memoryLimit" Uint64; 3 "fileOffset" Uint64;
        4 "filenameStrindex" Index(Table::String); 5 "attributeIndices" Index(Table::Attribute) many;
    }
    LOCATION {
        1 "mappingIndex" Index(Table::Mapping); 2 "address" Uint64; 3 "lines" Message(&LINE) many;
        4 "attributeIndices" Index(Table::Attribute) many;
    }
    LINE { 1 "functionIndex" Index(Table::Function); 2 "line" Int64; 3 "column" Int64; }
    FUNCTION {
        1 "nameStrindex" Index(Table::String); 2 "systemNameStrindex" Index(Table::String);
        3 "filenameStrindex" Index(Table::String); 4 "startLine" Int64;
    }
    PROFILE_LINK { 1 "traceId" Id; 2 "spanId" Id; }
    ATTRIBUTE {
        1 "keyStrindex" Index(Table::String); 2 "value" Message(&ANY_VALUE); 3 "unitStrindex" Index(Table::String);
    }
    STACK { 1 "locationIndices" Index(Table::Location) many; }
}
