//! Requests taken apart, translated and joined, against an implementation that is not Telegen's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is wrong")]

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    profiles::v1development::ExportProfilesServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value as V,
};
use opentelemetry_proto::tonic::profiles::v1development as p;
use prost::Message;
use telegen_model::{Records, ResourceGroup, Scope, Signal};
use telegen_otlp::{
    AnyBytes, Edit, Limits, Malformed, RawGroup, edit_raw, encode_request, json, raw_groups, split,
};
use telegen_testkit::records;

fn groups(signal: Signal, bytes: &Bytes) -> Vec<ResourceGroup> {
    let group = |g: RawGroup| ResourceGroup {
        resource: Arc::new(g.resource),
        scope: Scope { name: "".into(), version: "".into() },
        records: Records::Raw(g.records),
    };
    raw_groups(signal, bytes).unwrap().into_iter().map(group).collect()
}

fn samples() -> [(Signal, Bytes); 3] {
    let resource = records::resource("shop");
    let of = |records| encode_request(&[records::group(&resource, records)]);
    [
        (
            Signal::Traces,
            of(Records::Spans(vec![records::full_span(), records::http_span(3), records::span(4)])),
        ),
        (Signal::Metrics, of(Records::Metrics(records::metrics()))),
        (Signal::Logs, of(Records::Logs(vec![records::log(1), records::log(2)]))),
    ]
}

/// Through JSON by Telegen and back by the other implementation, and the other way round.
fn json_both_ways<T>(signal: Signal, bytes: &Bytes)
where
    T: Message + Default + PartialEq + serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let want = T::decode(bytes.clone()).unwrap();
    let text = json::from_protobuf(signal, bytes).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&text).unwrap(), want, "{}", String::from_utf8_lossy(&text));
    assert_eq!(T::decode(json::to_protobuf(signal, &text).unwrap()).unwrap(), want);
    let theirs = serde_json::to_vec(&want).unwrap();
    assert_eq!(T::decode(json::to_protobuf(signal, &theirs).unwrap()).unwrap(), want);
}

#[test]
fn json_says_the_same_as_protobuf_both_ways() {
    let [(traces, t), (metrics, m), (logs, l)] = samples();
    json_both_ways::<ExportTraceServiceRequest>(traces, &t);
    json_both_ways::<ExportMetricsServiceRequest>(metrics, &m);
    json_both_ways::<ExportLogsServiceRequest>(logs, &l);
    let profiles: Bytes = profile("main.rs", 5).encode_to_vec().into();
    let text = json::from_protobuf(Signal::Profiles, &profiles).unwrap();
    let back =
        ExportProfilesServiceRequest::decode(json::to_protobuf(Signal::Profiles, &text).unwrap()).unwrap();
    assert_eq!(back, profile("main.rs", 5));
    assert!(
        std::str::from_utf8(&text).unwrap().contains(r#""profileId":"05050505050505050505050505050505""#)
    );
}

#[test]
fn a_request_taken_apart_and_written_again_is_the_same_with_what_nobody_knows() {
    for (signal, bytes) in samples() {
        // An unknown field in the record's message, in the resource, and beside the scopes.
        let unknown = [0xfa, 0x7f, 3, b'n', b'e', b'w'];
        let apart = raw_groups(signal, &bytes).unwrap();
        let mut one = apart[0].clone();
        one.records.resource_rest = Bytes::copy_from_slice(&unknown);
        one.records.body = [&one.records.body[..], &unknown].concat().into();
        let group = ResourceGroup {
            resource: Arc::new(one.resource.clone()),
            scope: Scope { name: "".into(), version: "".into() },
            records: Records::Raw(one.records.clone()),
        };
        let written = encode_request(std::slice::from_ref(&group));
        assert_eq!(raw_groups(signal, &written).unwrap(), [one]);
        assert_eq!(written.len(), telegen_otlp::measure(&group).wire);
        assert_eq!(encode_request(&groups(signal, &bytes)).len(), bytes.len());
        assert_eq!(telegen_otlp::count_items(signal, &written), Some(apart[0].records.items));
    }
}

#[test]
fn pieces_hold_every_record_once_and_keep_scope_and_order() {
    let resource = records::resource("shop");
    let spans = Records::Spans((0..100).map(records::span).collect());
    let bytes = encode_request(&[records::group(&resource, spans)]);
    let whole = groups(Signal::Traces, &bytes);
    for items in [1, 7, 50, 99, 100] {
        let parts = split(whole.clone(), Limits { items, wire: usize::MAX });
        assert_eq!(parts.len(), 100usize.div_ceil(items), "{items}");
        let mut names = Vec::new();
        for part in &parts {
            let read = ExportTraceServiceRequest::decode(encode_request(part)).unwrap();
            for scope in read.resource_spans.into_iter().flat_map(|r| r.scope_spans) {
                assert_eq!(scope.scope.unwrap().name, "telegen/test");
                names.extend(scope.spans.into_iter().map(|s| s.span_id));
            }
        }
        let want: Vec<Vec<u8>> = (1..=100u64).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(names, want);
    }
    let small = split(whole, Limits { items: 100, wire: 2000 });
    assert!(small.len() > 5 && small.iter().all(|p| encode_request(p).len() <= 2000));
    // A metric with more points than fit is cut between them.
    let [_, (_, metrics), _] = samples();
    let parts = split(groups(Signal::Metrics, &metrics), Limits { items: 1, wire: usize::MAX });
    let all: usize = groups(Signal::Metrics, &metrics).iter().map(|g| g.records.items()).sum();
    assert_eq!(parts.len(), all);
}

#[test]
fn what_is_no_request_is_refused_and_says_why() {
    let deep = |depth: usize| {
        let mut v = AnyValue { value: Some(V::IntValue(1)) };
        for _ in 0..depth {
            let values = vec![v];
            v = AnyValue {
                value: Some(V::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values })),
            };
        }
        let attributes = vec![KeyValue { key: "k".into(), value: Some(v), ..Default::default() }];
        let scope = InstrumentationScope { attributes, ..Default::default() };
        let scope_spans = opentelemetry_proto::tonic::trace::v1::ScopeSpans {
            scope: Some(scope),
            spans: vec![Default::default()],
            ..Default::default()
        };
        let of = opentelemetry_proto::tonic::trace::v1::ResourceSpans {
            scope_spans: vec![scope_spans],
            ..Default::default()
        };
        Bytes::from(ExportTraceServiceRequest { resource_spans: vec![of] }.encode_to_vec())
    };
    assert!(raw_groups(Signal::Traces, &deep(40)).is_ok());
    assert_eq!(raw_groups(Signal::Traces, &deep(60)), Err(Malformed::TooDeep));
    let bad = |bytes: &[u8]| raw_groups(Signal::Traces, &Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(bad(&[0x0a, 5, 1]), Malformed::Truncated);
    assert_eq!(bad(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Malformed::Number);
    assert_eq!(bad(&[0x08, 1]), Malformed::WireType);
    assert_eq!(bad(&[0x0a, 3, 0x1a, 1, 0xff]), Malformed::Text);
    let nested = "[".repeat(10_000);
    let text = format!(r#"{{"resourceSpans":{nested}"#);
    assert!(json::to_protobuf(Signal::Traces, text.as_bytes()).is_err());
    for wrong in ["", "[]", "{", r#"{"resourceSpans":{}}"#, r#"{"resourceSpans":[1]}"#, "{} x"] {
        assert!(json::to_protobuf(Signal::Traces, wrong.as_bytes()).is_err(), "{wrong}");
    }
    let kind = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SPAN_KIND_SERVER"}]}]}]}"#;
    assert!(json::to_protobuf(Signal::Traces, kind.as_bytes()).is_err());
    assert_eq!(
        json::to_protobuf(Signal::Traces, br#"{"new":[1,{"a":null}],"resourceSpans":null}"#).unwrap(),
        ""
    );
}

fn profile(file: &str, byte: u8) -> ExportProfilesServiceRequest {
    let text = |s: &str| s.to_string();
    let strings = ["", "cpu", "nanoseconds", file, "run", "thread.name", "main"];
    let dictionary = p::ProfilesDictionary {
        mapping_table: vec![Default::default(), p::Mapping { filename_strindex: 3, ..Default::default() }],
        location_table: vec![
            Default::default(),
            p::Location {
                mapping_index: 1,
                address: 0x1000,
                lines: vec![p::Line { function_index: 1, line: 9, column: 0 }],
                attribute_indices: vec![1],
            },
        ],
        function_table: vec![
            Default::default(),
            p::Function { name_strindex: 4, filename_strindex: 3, ..Default::default() },
        ],
        link_table: vec![Default::default(), p::Link { trace_id: vec![byte; 16], span_id: vec![byte; 8] }],
        string_table: strings.map(text).to_vec(),
        attribute_table: vec![
            Default::default(),
            p::KeyValueAndUnit {
                key_strindex: 5,
                value: Some(AnyValue { value: Some(V::StringValueStrindex(6)) }),
                unit_strindex: 0,
            },
        ],
        stack_table: vec![Default::default(), p::Stack { location_indices: vec![1, 1] }],
    };
    let value_type = p::ValueType { type_strindex: 1, unit_strindex: 2 };
    let profile = p::Profile {
        sample_type: Some(value_type),
        samples: vec![p::Sample {
            stack_index: 1,
            attribute_indices: vec![1],
            link_index: 1,
            values: vec![7, -1],
            timestamps_unix_nano: vec![1, 2],
        }],
        time_unix_nano: 3,
        profile_id: vec![byte; 16],
        attribute_indices: vec![1],
        ..Default::default()
    };
    let scope = p::ScopeProfiles { profiles: vec![profile], ..Default::default() };
    let of = p::ResourceProfiles {
        resource: Some(Default::default()),
        scope_profiles: vec![scope],
        ..Default::default()
    };
    ExportProfilesServiceRequest { resource_profiles: vec![of], dictionary: Some(dictionary) }
}

/// What a request's samples say when every index is followed.
fn said(request: &ExportProfilesServiceRequest) -> Vec<String> {
    let d = request.dictionary.as_ref().unwrap();
    let text = |i: i32| d.string_table[i as usize].as_str();
    let attribute = |i: &i32| {
        let a = &d.attribute_table[*i as usize];
        let value = match a.value.as_ref().unwrap().value.as_ref().unwrap() {
            V::StringValueStrindex(i) => text(*i).to_string(),
            V::StringValue(text) => text.clone(),
            other => format!("{other:?}"),
        };
        format!("{}={value}", text(a.key_strindex))
    };
    let mut out = Vec::new();
    for of in &request.resource_profiles {
        for profile in of.scope_profiles.iter().flat_map(|s| &s.profiles) {
            let kind = profile.sample_type.as_ref().unwrap();
            for sample in &profile.samples {
                let stack = &d.stack_table[sample.stack_index as usize];
                let frames: Vec<String> = stack
                    .location_indices
                    .iter()
                    .map(|l| {
                        let location = &d.location_table[*l as usize];
                        let function = &d.function_table[location.lines[0].function_index as usize];
                        let mapping = &d.mapping_table[location.mapping_index as usize];
                        let attributes: Vec<String> =
                            location.attribute_indices.iter().map(attribute).collect();
                        format!(
                            "{}@{}:{} {attributes:?}",
                            text(function.name_strindex),
                            text(function.filename_strindex),
                            text(mapping.filename_strindex)
                        )
                    })
                    .collect();
                let attributes: Vec<String> = sample.attribute_indices.iter().map(attribute).collect();
                let link = &d.link_table[sample.link_index as usize];
                out.push(format!(
                    "{} {} {frames:?} {attributes:?} {:?} {:?}",
                    text(kind.type_strindex),
                    text(kind.unit_strindex),
                    link.trace_id,
                    sample.values
                ));
            }
        }
    }
    out
}

#[test]
fn profiles_of_several_dictionaries_say_the_same_in_one() {
    let requests = [profile("a.rs", 1), profile("b.rs", 2), profile("a.rs", 3)];
    let mut all = Vec::new();
    for request in &requests {
        let bytes: Bytes = request.encode_to_vec().into();
        let apart = groups(Signal::Profiles, &bytes);
        assert_eq!(apart[0].records.items(), 1);
        assert_eq!(ExportProfilesServiceRequest::decode(encode_request(&apart)).unwrap(), *request);
        all.extend(apart);
    }
    let one = ExportProfilesServiceRequest::decode(encode_request(&all)).unwrap();
    let want: Vec<String> = requests.iter().flat_map(said).collect();
    assert_eq!(said(&one), want);
    let strings = one.dictionary.unwrap().string_table;
    assert_eq!(strings, ["", "cpu", "nanoseconds", "a.rs", "run", "thread.name", "main", "b.rs"]);
    // Two requests of one dictionary need no change.
    let twice = [all[0].clone(), all[0].clone()];
    let same = ExportProfilesServiceRequest::decode(encode_request(&twice)).unwrap();
    assert_eq!(same.dictionary, requests[0].dictionary);
    assert_eq!(same.resource_profiles.len(), 2);
}

/// Changes `thread.name` and, where `set` is, gives every record a `stage`.
struct Rule {
    to: Option<(&'static str, &'static str)>,
    set: bool,
}

impl Edit for Rule {
    fn touches(&self, key: &str) -> bool {
        key == "thread.name"
    }

    fn touches_records(&self) -> bool {
        self.set
    }

    fn edit<'a>(&self, list: &mut Vec<(Cow<'a, str>, AnyBytes<'a>)>, record: bool) {
        list.retain_mut(|(key, value)| {
            if key != "thread.name" {
                return true;
            }
            if let Some((name, text)) = self.to {
                *key = name.into();
                *value = if text.is_empty() { value.clone() } else { AnyBytes::text(text) };
            }
            self.to.is_some()
        });
        if record && self.set {
            list.push(("stage".into(), AnyBytes::text("prod")));
        }
    }
}

/// Attributes of profile, sample and location, in words, and all texts of the dictionary.
fn attributes_of(request: &ExportProfilesServiceRequest) -> (Vec<String>, Vec<String>) {
    let d = request.dictionary.as_ref().unwrap();
    let words = |list: &[i32]| {
        let word = |i: &i32| {
            let a = &d.attribute_table[*i as usize];
            let value = match a.value.clone().unwrap().value.unwrap() {
                V::StringValueStrindex(i) => d.string_table[i as usize].clone(),
                V::StringValue(text) => text,
                other => format!("{other:?}"),
            };
            format!("{}={value}", d.string_table[a.key_strindex as usize])
        };
        list.iter().map(word).collect::<Vec<_>>().join(",")
    };
    let profile = &request.resource_profiles[0].scope_profiles[0].profiles[0];
    let lists = [
        &profile.attribute_indices,
        &profile.samples[0].attribute_indices,
        &d.location_table[1].attribute_indices,
    ];
    (lists.map(|l| words(l)).to_vec(), d.string_table.clone())
}

#[test]
fn attributes_of_profiles_are_changed_in_the_dictionary_and_what_is_dropped_is_gone_from_it() {
    let request = profile("a.rs", 1);
    let group = groups(Signal::Profiles, &request.encode_to_vec().into()).remove(0);
    let edited = |rule: &Rule| {
        let Records::Raw(raw) = &group.records else { panic!("raw") };
        let raw = edit_raw(raw, rule).unwrap();
        let group = ResourceGroup { records: Records::Raw(raw), ..group.clone() };
        ExportProfilesServiceRequest::decode(encode_request(&[group])).unwrap()
    };
    let of = |rule: &Rule| attributes_of(&edited(rule));
    let (dropped, strings) = of(&Rule { to: None, set: false });
    assert_eq!(dropped, ["", "", ""]);
    assert_eq!(strings, ["", "cpu", "nanoseconds", "a.rs", "run", "", ""]);
    let (masked, strings) = of(&Rule { to: Some(("thread.name", "REDACTED")), set: true });
    let one = "thread.name=REDACTED";
    assert_eq!(masked, [&format!("{one},stage=prod"), one, one]);
    assert!(!strings.contains(&"main".to_owned()));
    let (renamed, _) = of(&Rule { to: Some(("thread", "")), set: false });
    assert_eq!(renamed, ["thread=main"; 3]);
    // The rest says what it said.
    let rest = |r: &ExportProfilesServiceRequest| said(r)[0].replace("thread=main", "thread.name=main");
    assert_eq!(rest(&edited(&Rule { to: Some(("thread", "")), set: false })), said(&request)[0]);
    let nothing = profile("a.rs", 1);
    let mut without = nothing.clone();
    without.dictionary.as_mut().unwrap().string_table[5] = "other".to_owned();
    let group = groups(Signal::Profiles, &without.encode_to_vec().into()).remove(0);
    let Records::Raw(raw) = &group.records else { panic!("raw") };
    assert_eq!(edit_raw(raw, &Rule { to: None, set: false }), None);
}

#[test]
fn a_resource_of_profiles_that_points_into_the_dictionary_is_read() {
    let mut request = profile("a.rs", 1);
    let value = |v| Some(AnyValue { value: Some(v) });
    let inner = KeyValue { key_strindex: 5, value: value(V::StringValueStrindex(6)), ..Default::default() };
    let list = opentelemetry_proto::tonic::common::v1::KeyValueList { values: vec![inner] };
    request.resource_profiles[0].resource.as_mut().unwrap().attributes = vec![
        KeyValue { key_strindex: 1, value: value(V::StringValueStrindex(3)), ..Default::default() },
        KeyValue { key: "own".into(), value: value(V::KvlistValue(list)), ..Default::default() },
    ];
    let group = groups(Signal::Profiles, &request.encode_to_vec().into()).remove(0);
    let attributes: Vec<String> =
        group.resource.attrs().iter().map(|kv| format!("{}={:?}", kv.key, kv.value)).collect();
    assert_eq!(attributes.len(), 2);
    assert!(attributes.iter().any(|a| a.starts_with("cpu=") && a.contains("a.rs")), "{attributes:?}");
    let own = attributes.iter().find(|a| a.starts_with("own=")).unwrap();
    assert!(own.contains("thread.name") && own.contains("main"), "{own}");
}

/// A request with a text of `length` and this done to it.
fn bomb(length: usize, change: impl FnOnce(&mut ExportProfilesServiceRequest)) -> Bytes {
    let mut request = profile("a.rs", 1);
    request.dictionary.as_mut().unwrap().string_table[6] = "m".repeat(length);
    change(&mut request);
    request.encode_to_vec().into()
}

#[test]
fn indices_that_stand_for_far_more_than_the_request_holds_are_refused() {
    let text = || AnyValue { value: Some(V::StringValueStrindex(6)) };
    let pair = || KeyValue { key_strindex: 5, value: Some(text()), ..Default::default() };
    // A thousand attributes of a resource, values of one attribute, attributes of a scope.
    let of_resource = |r: &mut ExportProfilesServiceRequest, n| {
        r.resource_profiles[0].resource.as_mut().unwrap().attributes = (0..n).map(|_| pair()).collect();
    };
    let of_value = |r: &mut ExportProfilesServiceRequest| {
        let values = (0..1000).map(|_| text()).collect();
        let list = opentelemetry_proto::tonic::common::v1::ArrayValue { values };
        r.dictionary.as_mut().unwrap().attribute_table[1].value =
            Some(AnyValue { value: Some(V::ArrayValue(list)) });
    };
    let of_scope = |r: &mut ExportProfilesServiceRequest| {
        let attributes = (0..1000).map(|_| pair()).collect();
        let scope = InstrumentationScope { attributes, ..Default::default() };
        r.resource_profiles[0].scope_profiles[0].scope = Some(scope);
    };
    // Samples, and locations of the dictionary, that point at one attribute again and again.
    let of_samples = |r: &mut ExportProfilesServiceRequest, n| {
        let profile = &mut r.resource_profiles[0].scope_profiles[0].profiles[0];
        profile.samples[0].attribute_indices = vec![1; n];
    };
    let of_locations = |r: &mut ExportProfilesServiceRequest| {
        r.dictionary.as_mut().unwrap().location_table[1].attribute_indices = vec![1; 100_000];
    };
    let resources = |r: &mut ExportProfilesServiceRequest| {
        r.resource_profiles = vec![r.resource_profiles[0].clone(); 2000];
    };
    let refused = |bytes: Bytes| raw_groups(Signal::Profiles, &bytes) == Err(Malformed::Expands);
    assert!(refused(bomb(100_000, |r| of_resource(r, 1000))));
    assert!(refused(bomb(100_000, of_value)));
    assert!(refused(bomb(100_000, of_scope)));
    assert!(refused(bomb(100_000, |r| of_samples(r, 100_000))));
    assert!(refused(bomb(100_000, of_locations)));
    assert!(refused(bomb(1_000_000, resources)));
    // As much as an agent may well send.
    for bytes in [
        bomb(100, |r| of_resource(r, 1000)),
        bomb(100, of_value),
        bomb(100, |r| of_samples(r, 100_000)),
        bomb(1000, resources),
    ] {
        assert!(!refused(bytes));
    }
}

#[test]
fn a_list_of_a_hundred_thousand_attributes_is_edited_in_one_pass() {
    let rule = Rule { to: Some(("thread.name", "REDACTED")), set: false };
    let bytes = bomb(100, |r| {
        let d = r.dictionary.as_mut().unwrap();
        let other = d.attribute_table[1].clone();
        d.attribute_table.extend((0..50_000).map(|i| {
            let value = AnyValue { value: Some(V::IntValue(i)) };
            p::KeyValueAndUnit { key_strindex: 4, value: Some(value), ..other.clone() }
        }));
        let profile = &mut r.resource_profiles[0].scope_profiles[0].profiles[0];
        profile.samples[0].attribute_indices = (1..50_002).chain(2..50_002).collect();
    });
    let group = groups(Signal::Profiles, &bytes).remove(0);
    let Records::Raw(raw) = &group.records else { panic!("raw") };
    let edited = edit_raw(raw, &rule).unwrap();
    let request = ExportProfilesServiceRequest::decode(encode_request(&[ResourceGroup {
        records: Records::Raw(edited),
        ..group.clone()
    }]))
    .unwrap();
    let indices = &request.resource_profiles[0].scope_profiles[0].profiles[0].samples[0].attribute_indices;
    let want: Vec<i32> = [50_002].into_iter().chain(2..50_002).chain(2..50_002).collect();
    assert_eq!(*indices, want);
    assert!(!request.dictionary.unwrap().string_table.iter().any(|s| s.starts_with("mm")));
}
