use crate::protocol::{Community, Data, Leniency, Pdu, Reader, Value, Writer, pdu_body, tag, write_varbind};
use crate::recording::Recording;

/// sysUpTime.0
const UPTIME: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 3, 0];
/// Most rows that a GETBULK is answered with.
const MOST_ROWS: i32 = 1000;

/// How far a device has lived beyond its recording.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Hundredths of a second since the simulator began; 0 for a device that stands still.
    pub ticks: u64,
}

impl Live {
    /// A counter grows by a number a second that depends on its name; sysUpTime by 100.
    fn moved<'a>(self, oid: &[u8], value: Value<'a>) -> Value<'a> {
        if self.ticks == 0 {
            return value;
        }
        let rate =
            || oid.iter().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(*b))) % 100_000 + 1;
        match value {
            Value::Ticks(t) if oid == UPTIME => Value::Ticks(t.wrapping_add(self.ticks as u32)),
            Value::Counter32(v) => Value::Counter32(v.wrapping_add((rate() * self.ticks / 100) as u32)),
            Value::Counter64(v) => Value::Counter64(v.wrapping_add(rate() * self.ticks / 100)),
            other => other,
        }
    }
}

/// Answers of one recorded device.
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a> {
    /// The device.
    pub recording: &'a Recording,
    /// Largest answer in bytes, unless a single variable is larger.
    pub max_size: usize,
    /// How it moves.
    pub live: Live,
}

impl Agent<'_> {
    /// Writes the answer to a message; `false` when there is none to give.
    pub fn answer(&self, message: &Community<'_>, out: &mut Writer) -> bool {
        let Data::Pdu(pdu) = &message.data else { return false };
        out.clear();
        let answered = self.pdu(pdu, message.version == 0, self.max_size - message.community.len() - 12, out);
        if answered {
            out.field(tag::OCTETS, message.community);
            out.signed(tag::INTEGER, i64::from(message.version));
            out.close(tag::SEQUENCE, 0);
        }
        answered
    }

    fn pdu(&self, pdu: &Pdu<'_>, v1: bool, room: usize, out: &mut Writer) -> bool {
        let asked: Result<Vec<(&[u8], Value<'_>)>, _> = pdu.varbinds.collect();
        let Ok(asked) = asked else { return false };
        let mut places = Vec::with_capacity(asked.len());
        let refuse = |out: &mut Writer, status: i32, index: usize| {
            out.clear();
            for (oid, value) in asked.iter().rev() {
                write_varbind(out, oid, *value);
            }
            let index = i32::try_from(index).unwrap_or(0);
            pdu_body(out, 0, tag::RESPONSE, [pdu.request_id, status, index]);
            true
        };
        match pdu.kind {
            tag::GET => {
                for (i, (oid, _)) in asked.iter().enumerate() {
                    let place = self.recording.after(oid).wrapping_sub(1);
                    let there = self.recording.at(place).is_some_and(|(name, _)| name == *oid);
                    if v1 && (!there || self.is_counter64(place)) {
                        return refuse(out, 2, i + 1);
                    }
                    places.push((if there { place } else { usize::MAX }, i));
                }
                self.write(&places, &asked, Value::NoSuchInstance, out);
            }
            tag::GET_NEXT => {
                for (i, (oid, _)) in asked.iter().enumerate() {
                    let mut place = self.recording.after(oid);
                    while v1 && self.is_counter64(place) {
                        place += 1;
                    }
                    if v1 && self.recording.at(place).is_none() {
                        return refuse(out, 2, i + 1);
                    }
                    places.push((place, i));
                }
                self.write(&places, &asked, Value::EndOfMibView, out);
            }
            tag::GET_BULK if !v1 => {
                self.bulk(pdu, &asked, room, &mut places);
                self.write(&places, &asked, Value::EndOfMibView, out);
            }
            tag::SET => return refuse(out, if v1 { 2 } else { 17 }, 1),
            _ => return false,
        }
        if out.mark() + 16 > room && places.len() > 1 {
            return refuse_empty(out, pdu.request_id);
        }
        pdu_body(out, 0, tag::RESPONSE, [pdu.request_id, 0, 0]);
        true
    }

    /// Which objects answer a GETBULK, as many as fit.
    fn bulk(
        &self,
        pdu: &Pdu<'_>,
        asked: &[(&[u8], Value<'_>)],
        room: usize,
        places: &mut Vec<(usize, usize)>,
    ) {
        let single = usize::try_from(pdu.error_status).unwrap_or(0).min(asked.len());
        let mut left = room.saturating_sub(24);
        let mut at: Vec<usize> = asked.iter().map(|(oid, _)| self.recording.after(oid)).collect();
        let mut add = |place: usize, of: usize| {
            let size = self.recording.at(place).map_or(4 + 4 + asked[of].0.len() + 8, |(name, value)| {
                // A live counter may grow by some bytes.
                8 + name.len() + value.len().max(if self.live.ticks == 0 { 0 } else { 11 })
            });
            // One variable always goes out, however large: a walk must get past it.
            let fits = size <= left || places.is_empty();
            if fits {
                left = left.saturating_sub(size);
                places.push((place, of));
            }
            fits
        };
        for (i, place) in at.iter().enumerate().take(single) {
            if !add(*place, i) {
                return;
            }
        }
        if single == asked.len() {
            return;
        }
        for _ in 0..pdu.error_index.clamp(0, MOST_ROWS) {
            let mut ended = true;
            for (i, place) in at.iter_mut().enumerate().skip(single) {
                if !add(*place, i) {
                    return;
                }
                if self.recording.at(*place).is_some() {
                    *place += 1;
                    ended = false;
                }
            }
            if ended {
                return;
            }
        }
    }

    fn write(
        &self,
        places: &[(usize, usize)],
        asked: &[(&[u8], Value<'_>)],
        none: Value<'_>,
        out: &mut Writer,
    ) {
        for (n, (place, of)) in places.iter().enumerate().rev() {
            match self.recording.at(*place) {
                Some((name, value)) if self.live.ticks == 0 => {
                    let end = out.mark();
                    out.raw(value);
                    out.field(tag::OID, name);
                    out.close(tag::SEQUENCE, end);
                }
                Some((name, value)) => {
                    let read = Value::read(&mut Reader::new(value, Leniency::POLLED)).unwrap_or(Value::Null);
                    write_varbind(out, name, self.live.moved(name, read));
                }
                None => {
                    // Behind the end a column repeats the last name it had.
                    let before =
                        places[..n].iter().rev().find(|(p, o)| o == of && self.recording.at(*p).is_some());
                    let name =
                        before.and_then(|(p, _)| self.recording.at(*p)).map_or(asked[*of].0, |(n, _)| n);
                    write_varbind(out, name, none);
                }
            }
        }
    }

    fn is_counter64(&self, place: usize) -> bool {
        self.recording.at(place).is_some_and(|(_, value)| value.first() == Some(&tag::COUNTER64))
    }
}

fn refuse_empty(out: &mut Writer, id: i32) -> bool {
    out.clear();
    pdu_body(out, 0, tag::RESPONSE, [id, 1, 0]);
    true
}
