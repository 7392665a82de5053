//! How long a request of profiles becomes once what its indices stand for is written in their place. A short one may
//! stand for terabytes: one long text, and many that point at it.

use crate::inline::strings;
use crate::schema::{ANY_VALUE, ATTRIBUTE, DICTIONARY, KEY_VALUE, Kind, Message, Table};
use crate::walk::{Fields, Malformed, Raw, numbers};

/// Texts are written out, and held so: this many bytes of them for a byte of the request, and this many beside.
const TEXTS: (usize, usize) = (4, 1 << 20);
/// Attributes are looked at for every index that points at them, one list at a time.
const ATTRIBUTES: (usize, usize) = (32, 32 << 20);
/// The dictionary is looked through for every resource: bytes that may add up to.
const DICTIONARIES: usize = 1 << 30;

/// What is left of the bounds.
pub(crate) struct Expansion {
    /// Lengths by index.
    texts: Vec<usize>,
    attributes: Vec<usize>,
    text_room: usize,
    attribute_room: usize,
}

impl Expansion {
    /// Of a dictionary that was checked and stands in a request of `size` bytes with so many resources.
    pub(crate) fn of(dictionary: &[u8], size: usize, resources: usize) -> Result<Expansion, Malformed> {
        if resources.saturating_mul(dictionary.len()) > DICTIONARIES {
            return Err(Malformed::Expands);
        }
        let room = |(times, beside): (usize, usize)| size.saturating_mul(times).saturating_add(beside);
        let mut own = Expansion {
            texts: strings(dictionary).into_iter().map(<[u8]>::len).collect(),
            attributes: Vec::new(),
            text_room: room(TEXTS),
            attribute_room: room(ATTRIBUTES),
        };
        let (mut others, mut fields) = (Vec::new(), Fields::of(dictionary));
        while let Some((number, value)) = fields.value()? {
            match (DICTIONARY.field(number).map(|f| f.kind), value) {
                (Some(Kind::Message(of)), Raw::Len(entry)) if std::ptr::eq(of, &ATTRIBUTE) => {
                    let before = own.text_room;
                    own.take(of, entry)?;
                    own.attributes.push(entry.len() + before - own.text_room);
                }
                (Some(Kind::Message(of)), Raw::Len(entry)) => others.push((of, entry)),
                _ => {}
            }
        }
        others.into_iter().try_for_each(|(of, entry)| own.take(of, entry))?;
        Ok(own)
    }

    /// Takes a message that was checked out of what is left.
    pub(crate) fn take(&mut self, of: &Message, bytes: &[u8]) -> Result<(), Malformed> {
        let written = [&KEY_VALUE, &ANY_VALUE, &ATTRIBUTE].into_iter().any(|m| std::ptr::eq(of, m));
        let mut fields = Fields::of(bytes);
        while let Some((number, value)) = fields.value()? {
            let Some(field) = of.field(number) else { continue };
            match (field.kind, value) {
                (Kind::Message(inner), Raw::Len(content)) => self.take(inner, content)?,
                (Kind::Index(Table::String), Raw::Varint(at)) if written => {
                    self.text_room = left(self.text_room, &self.texts, at)?;
                }
                (Kind::Index(Table::Attribute), Raw::Varint(at)) => {
                    self.attribute_room = left(self.attribute_room, &self.attributes, at)?;
                }
                (Kind::Index(Table::Attribute), Raw::Len(packed)) => {
                    let mut room = Ok(self.attribute_room);
                    numbers(field, packed, |raw| {
                        if let (Ok(before), Raw::Varint(at)) = (&room, raw) {
                            room = left(*before, &self.attributes, at);
                        }
                    })?;
                    self.attribute_room = room?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn left(room: usize, lengths: &[usize], at: u64) -> Result<usize, Malformed> {
    let length = usize::try_from(at).ok().and_then(|at| lengths.get(at)).copied().unwrap_or(0);
    room.checked_sub(length).ok_or(Malformed::Expands)
}
