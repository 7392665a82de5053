use telegen_model::Signal;

/// Counts the items of an encoded `Export*ServiceRequest` without decoding it: spans, log records, profiles,
/// data points. `None` when the bytes are not protobuf of that shape.
pub fn count_items(signal: Signal, request: &[u8]) -> Option<usize> {
    // Resource, scope, item: fields 1, 2 and 2 in the requests of every signal.
    let (mut items, mut fields) = (0, Fields(request));
    while let Some((field, of_resource)) = fields.next()? {
        let mut fields = Fields(if field == 1 { of_resource } else { &[] });
        while let Some((field, of_scope)) = fields.next()? {
            let mut fields = Fields(if field == 2 { of_scope } else { &[] });
            while let Some((field, item)) = fields.next()? {
                items += match (field, signal) {
                    (2, Signal::Metrics) => points(item)?,
                    (2, _) => 1,
                    _ => 0,
                };
            }
        }
    }
    Some(items)
}

/// Data points of a metric: field 1 of whichever kind it is (fields 5, 7, 9, 10, 11).
fn points(metric: &[u8]) -> Option<usize> {
    let (mut points, mut fields) = (0, Fields(metric));
    while let Some((field, data)) = fields.next()? {
        let mut fields = Fields(if matches!(field, 5 | 7 | 9 | 10 | 11) { data } else { &[] });
        while let Some((field, _)) = fields.next()? {
            points += usize::from(field == 1);
        }
    }
    Some(points)
}

/// The length-delimited fields of a message; others are read over.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// `Some(None)` at the end, `None` when the bytes are no message.
    #[expect(clippy::option_option, reason = "the outer one is the error, for `?`")]
    fn next(&mut self) -> Option<Option<(u64, &'a [u8])>> {
        while !self.0.is_empty() {
            let tag = self.varint()?;
            match tag & 7 {
                0 => {
                    self.varint()?;
                }
                1 => {
                    self.take(8)?;
                }
                2 => {
                    let len = usize::try_from(self.varint()?).ok()?;
                    return Some(Some((tag >> 3, self.take(len)?)));
                }
                5 => {
                    self.take(4)?;
                }
                _ => return None,
            }
        }
        Some(None)
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut v = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            v |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(v);
            }
        }
        None
    }
}
