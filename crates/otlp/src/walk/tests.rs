use super::*;
use crate::schema::request;
use proptest::prelude::*;
use telegen_model::{Records, Signal};
use telegen_testkit::records;

/// The same without a thought of time: what the fast one has to agree with.
mod plain {
    use super::super::{Field, Found, Kind, MAX_DEPTH, Malformed, Message, Raw};

    pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Malformed> {
        let mut value = 0u128;
        for n in 0..10 {
            let byte = *bytes.get(*at).ok_or(Malformed::Truncated)?;
            *at += 1;
            value |= u128::from(byte & 0x7f) << (7 * n);
            if n == 9 && byte > 1 {
                return Err(Malformed::Number);
            }
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value as u64)
    }

    fn take<'a>(bytes: &'a [u8], at: &mut usize, len: u64) -> Result<&'a [u8], Malformed> {
        let end = u64::try_from(*at).unwrap().checked_add(len).filter(|end| *end <= bytes.len() as u64);
        let taken = &bytes[*at..end.ok_or(Malformed::Truncated)? as usize];
        *at += taken.len();
        Ok(taken)
    }

    pub(super) fn next<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Option<Found<'a>>, Malformed> {
        let begin = *at;
        if begin == bytes.len() {
            return Ok(None);
        }
        let tag = varint(bytes, at)?;
        if !(1..1 << 29).contains(&(tag >> 3)) {
            return Err(Malformed::Number);
        }
        let value = match tag & 7 {
            0 => Raw::Varint(varint(bytes, at)?),
            1 => Raw::Fixed64(u64::from_le_bytes(take(bytes, at, 8)?.try_into().unwrap())),
            2 => {
                let len = varint(bytes, at)?;
                Raw::Len(take(bytes, at, len)?)
            }
            5 => Raw::Fixed32(u32::from_le_bytes(take(bytes, at, 4)?.try_into().unwrap())),
            _ => return Err(Malformed::WireType),
        };
        Ok(Some(((tag >> 3) as u32, value, &bytes[begin..*at])))
    }

    pub(super) fn field(message: &Message, number: u32) -> Option<&'static Field> {
        message.fields.iter().find(|field| field.number == number)
    }

    pub(super) fn check(message: &Message, bytes: &[u8], depth: u32) -> Result<usize, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        let (mut items, mut at) = (0, 0);
        while let Some((number, value, _)) = next(bytes, &mut at)? {
            let Some(field) = field(message, number) else { continue };
            items += usize::from(field.item);
            let wire = match field.kind {
                Kind::Message(_) | Kind::Text | Kind::Bytes | Kind::Id => 2,
                Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => 1,
                Kind::Fixed32 => 5,
                _ => 0,
            };
            match (field.kind, value, wire) {
                (Kind::Message(inner), Raw::Len(content), _) => items += check(inner, content, depth + 1)?,
                (Kind::Text, Raw::Len(text), _) => {
                    std::str::from_utf8(text).map_err(|_| Malformed::Text)?;
                }
                (_, Raw::Len(_), 2) | (_, Raw::Varint(_), 0) => {}
                (_, Raw::Fixed64(_), 1) | (_, Raw::Fixed32(_), 5) => {}
                (_, Raw::Len(packed), 0) if field.repeated => {
                    let mut at = 0;
                    while at < packed.len() {
                        varint(packed, &mut at)?;
                    }
                }
                (_, Raw::Len(packed), 1) if field.repeated && packed.len() % 8 == 0 => {}
                (_, Raw::Len(packed), 5) if field.repeated && packed.len() % 4 == 0 => {}
                (_, Raw::Len(_), 1 | 5) if field.repeated => return Err(Malformed::Truncated),
                _ => return Err(Malformed::WireType),
            }
        }
        Ok(items)
    }
}

/// All messages that a request of any signal may hold.
fn messages() -> Vec<&'static Message> {
    let mut all: Vec<&Message> = Signal::ALL.map(request).to_vec();
    let mut at = 0;
    while let Some(message) = all.get(at) {
        for field in message.fields {
            if let Kind::Message(inner) = field.kind
                && !all.iter().any(|known| std::ptr::eq(*known, inner))
            {
                all.push(inner);
            }
        }
        at += 1;
    }
    all
}

/// The fields up to the end or what is wrong.
type All<'a> = (Vec<Found<'a>>, Option<Malformed>);

fn read(bytes: &[u8]) -> All<'_> {
    let (mut fields, mut all) = (Fields::of(bytes), Vec::new());
    loop {
        match fields.next() {
            Ok(Some(found)) => all.push(found),
            Ok(None) => return (all, None),
            Err(e) => return (all, Some(e)),
        }
    }
}

fn read_plainly(bytes: &[u8]) -> All<'_> {
    let (mut at, mut all) = (0, Vec::new());
    loop {
        match plain::next(bytes, &mut at) {
            Ok(Some(found)) => all.push(found),
            Ok(None) => return (all, None),
            Err(e) => return (all, Some(e)),
        }
    }
}

fn agrees(message: &Message, bytes: &[u8]) {
    assert_eq!(check(message, bytes, 0), plain::check(message, bytes, 0), "{bytes:?}");
    assert_eq!(read(bytes), read_plainly(bytes), "{bytes:?}");
}

fn requests() -> Vec<(Signal, Vec<u8>)> {
    let of = |records| crate::encode_request(&[records::group(&records::resource("shop"), records)]).to_vec();
    vec![
        (Signal::Traces, of(Records::Spans(vec![records::full_span(), records::http_span(1)]))),
        (Signal::Metrics, of(Records::Metrics(records::metrics()))),
        (Signal::Logs, of(Records::Logs((0..3).map(records::log).collect()))),
    ]
}

#[test]
fn every_tag_is_checked_by_what_its_field_is() {
    let contents: [&[u8]; 12] = [
        &[],
        &[0],
        &[1, b'a'],
        &[1, 0xff],
        &[2, 0x80, 1],
        &[2, 0x80, 0x80],
        &[2, 8, 1],
        &[0x80],
        &[8, 1, 2, 3, 4, 5, 6, 7, 8],
        &[8, 0x81, 0x82, 3, 4, 5, 6, 7, 8, 9],
        &[0xff; 10],
        &[0x81, 0, b'a', 0, 0, 0, 0, 0],
    ];
    for message in messages() {
        // Tags of one byte, then of two, some of them longer than they would have to be.
        let short = (0..0x80u8).map(|tag| vec![tag]);
        let long = (0x80..=0xffu8).flat_map(|low| (0..4).map(move |high| vec![low, high]));
        for tag in short.chain(long) {
            for content in contents {
                agrees(message, &[&tag, content].concat());
                // A further field behind it, and one that begins there and has no end.
                agrees(message, &[&tag, content, &[0x78, 1]].concat());
                agrees(message, &[&tag, content, &[0x7a, 9]].concat());
            }
        }
        for number in 0..2000 {
            let (found, plainly) = (message.field(number), plain::field(message, number));
            assert_eq!(found.map(std::ptr::from_ref), plainly.map(std::ptr::from_ref));
        }
        assert!(message.field(u32::MAX).is_none());
    }
}

#[test]
fn requests_that_are_cut_or_changed_anywhere_are_judged_alike() {
    for (signal, bytes) in requests() {
        assert!(check(request(signal), &bytes, 0).unwrap() > 1);
        for at in 0..bytes.len() {
            agrees(request(signal), &bytes[..at]);
            for other in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1, bytes[at] ^ 8, bytes[at] ^ 0x80] {
                let mut changed = bytes.clone();
                changed[at] = other;
                agrees(request(signal), &changed);
            }
        }
    }
}

#[test]
fn numbers_end_at_64_bits() {
    for length in 0..12 {
        for last in [0, 1, 2, 0x7f, 0x80, 0x81, 0xff] {
            for filled in [0x80, 0x81, 0xff] {
                let bytes = [&[filled].repeat(length)[..], &[last, 5, 6]].concat();
                for bytes in [&bytes[..], &bytes[..length], &bytes[..length + 1]] {
                    let (mut rest, mut at) = (bytes, 0);
                    let plainly = plain::varint(bytes, &mut at);
                    assert_eq!(varint(&mut rest), plainly, "{bytes:?}");
                    assert!(plainly.is_err() || rest == &bytes[at..], "{bytes:?}");
                }
            }
        }
    }
}

#[test]
fn a_letter_beyond_ascii_is_seen_wherever_it_stands() {
    for length in 0..70 {
        let text = vec![0x7f; length];
        assert!(is_ascii(&text));
        for at in 0..length {
            let mut text = text.clone();
            text[at] = 0x80;
            assert!(!is_ascii(&text), "{at} of {length}");
            assert_eq!(check_text(&text), Err(Malformed::Text));
        }
    }
    assert_eq!(check_text("straße, naïve, 北京".as_bytes()), Ok(()));
}

#[test]
fn nested_messages_are_checked_down_to_the_bound() {
    // An array in an array: two messages each.
    let mut value = Vec::new();
    for depth in 0..60u32 {
        let of = &crate::schema::ANY_VALUE;
        let found = check(of, &value, 0);
        assert_eq!(found, if depth <= 50 { Ok(0) } else { Err(Malformed::TooDeep) }, "{depth}");
        assert_eq!(found, plain::check(of, &value, 0));
        let mut outer = Vec::new();
        put_message(&mut outer, 5, |array| put_bytes(array, 1, &value));
        value = outer;
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged_alike(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..0x80, Just(0x0a), Just(0x12), Just(2)], 0..60),
    ) {
        messages().into_iter().for_each(|message| agrees(message, &bytes));
    }

    #[test]
    fn requests_with_bytes_put_in_are_judged_alike(
        which in 0usize..3, place in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..8),
    ) {
        let (signal, mut request_bytes) = requests().swap_remove(which);
        let at = place.index(request_bytes.len());
        request_bytes.splice(at..at, bytes);
        agrees(request(signal), &request_bytes);
    }
}
