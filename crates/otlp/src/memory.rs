//! How much memory a message takes once it is built, without building it: two bytes may stand for hundreds.

use crate::schema::{KEY_VALUE, Kind, Message};
use crate::walk::{Fields, MAX_DEPTH, Malformed, Raw, numbers};

/// Most memory that one request may take as typed records.
pub(crate) const TYPED: usize = 256 << 20;

/// Bytes that parts of a message stand for.
pub(crate) struct Weights {
    /// A span, log record, data point.
    item: usize,
    /// An attribute.
    pair: usize,
    /// Any other message, or text of a list.
    other: usize,
}

impl Weights {
    /// Attributes of a resource alone.
    pub(crate) const RESOURCE: Weights = Weights { item: 0, pair: 128, other: 32 };
    /// Whole records: while they are read they stand there twice.
    pub(crate) const RECORDS: Weights = Weights { item: 512, pair: 160, other: 96 };
}

/// The memory of what a message holds, its own bytes not counted.
pub(crate) fn memory(of: &Message, bytes: &[u8], depth: u32, by: &Weights) -> Result<usize, Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    let (mut sum, mut fields) = (0usize, Fields::of(bytes));
    while let Some((number, value)) = fields.value()? {
        let (Some(field), Raw::Len(content)) = (of.field(number), value) else { continue };
        sum += match field.kind {
            Kind::Message(inner) => {
                let own = match (field.item, std::ptr::eq(inner, &KEY_VALUE)) {
                    (true, _) => by.item,
                    (_, true) => by.pair,
                    _ => by.other,
                };
                own + memory(inner, content, depth + 1, by)?
            }
            Kind::Text | Kind::Bytes | Kind::Id if field.repeated => by.other,
            Kind::Text | Kind::Bytes | Kind::Id => 0,
            _ => {
                // A number of one byte becomes one of eight.
                let mut list = 0;
                numbers(field, content, |_| list += 8)?;
                list
            }
        };
    }
    Ok(sum)
}
