//! Bodies of requests: read and unpacked within bounds.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::budget::Share;

/// Longest request, packed or unpacked.
pub(crate) const MAX: usize = 32 << 20;
/// Largest window that a zstd frame may ask for: 2^23 = 8 MiB.
const WINDOW_LOG: u32 = 23;
/// Largest request that exporters usually send.
const USUAL: usize = 4 << 20;
/// The budget is taken in steps of this when a size is not known beforehand.
const STEP: usize = 64 << 10;

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Longer than [`MAX`].
    TooLarge,
    /// The budget is spent: later it may fit.
    Busy,
    /// It ended too early, or is not packed as it says.
    Broken(String),
}

/// Reads a body up to [`MAX`], taking its bytes from the budget as they come.
pub(crate) async fn read(mut body: Incoming, grpc: bool, share: &mut Share) -> Result<Bytes, Bad> {
    use hyper::body::Body;
    if body.size_hint().lower() > MAX as u64 {
        return Err(Bad::TooLarge);
    }
    let (mut first, mut rest): (Option<Bytes>, Option<BytesMut>) = (None, None);
    let mut expected = usize::try_from(body.size_hint().exact().unwrap_or(0)).unwrap_or(0);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| Bad::Broken(e.to_string()))?.into_data() else { continue };
        length += data.len();
        if length > MAX {
            return Err(Bad::TooLarge);
        }
        if !share.grow(data.len()) {
            return Err(Bad::Busy);
        }
        match (&mut rest, first.take()) {
            (None, None) => first = Some(data),
            (None, Some(before)) => {
                if let (true, Some([_, length @ ..])) = (grpc, before.first_chunk::<5>()) {
                    expected = (u32::from_be_bytes(*length) as usize).saturating_add(5);
                }
                // What a message says of its length is believed up to that of usual ones: many may lie.
                let usual = expected.min(USUAL);
                let mut joined =
                    BytesMut::with_capacity(usual.max(before.len() + data.len()).max(2 * before.len()));
                joined.extend_from_slice(&before);
                joined.extend_from_slice(&data);
                rest = Some(joined);
            }
            (Some(joined), _) => joined.extend_from_slice(&data),
        }
    }
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// By its name in `content-encoding` and `grpc-encoding`.
    pub(crate) fn named(name: &str) -> Option<Packing> {
        match name {
            "" | "identity" => Some(Packing::None),
            "gzip" => Some(Packing::Gzip),
            "zstd" => Some(Packing::Zstd),
            _ => None,
        }
    }
}

/// Unpacks a body up to [`MAX`], taking what comes out from the budget. A large one is unpacked off the runtime's
/// threads.
pub(crate) async fn unpacked(body: Bytes, with: Packing, mut share: Share) -> Result<(Bytes, Share), Bad> {
    if with == Packing::None {
        return Ok((body, share));
    }
    if body.len() < STEP {
        let out = unpack(body, with, &mut share)?;
        return Ok((out, share));
    }
    let unpacking =
        tokio::task::spawn_blocking(move || unpack(body, with, &mut share).map(|out| (out, share)));
    unpacking.await.unwrap_or_else(|_| Err(Bad::Broken("unpacking failed".to_owned())))
}

fn unpack(body: Bytes, with: Packing, share: &mut Share) -> Result<Bytes, Bad> {
    let broken = |e: io::Error| Bad::Broken(e.to_string());
    let packed = body.len();
    match with {
        Packing::None => Ok(body),
        Packing::Gzip => {
            let mut reader = flate2::bufread::GzDecoder::new(body.reader());
            let out = capped(&mut reader, packed, share)?;
            // A second member is no part of a request: bytes that nobody looks at are refused.
            match reader.into_inner().fill_buf().map_err(broken)?.is_empty() {
                true => Ok(out),
                false => Err(Bad::Broken("bytes behind the end".to_owned())),
            }
        }
        Packing::Zstd => {
            let mut reader = zstd::stream::read::Decoder::with_buffer(body.reader()).map_err(broken)?;
            reader.window_log_max(WINDOW_LOG).map_err(broken)?;
            capped(&mut reader, packed, share)
        }
    }
}

fn capped(reader: &mut impl Read, packed: usize, share: &mut Share) -> Result<Bytes, Bad> {
    let mut out = BytesMut::with_capacity((packed * 4).min(MAX));
    loop {
        if !share.grow(STEP) {
            return Err(Bad::Busy);
        }
        let before = out.len();
        out.resize(before + STEP, 0);
        let mut filled = before;
        while filled < out.len() {
            match reader.read(&mut out[filled..]) {
                Ok(0) => {
                    out.truncate(filled);
                    return if filled > MAX { Err(Bad::TooLarge) } else { Ok(out.freeze()) };
                }
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Bad::Broken(e.to_string())),
            }
        }
        if out.len() > MAX {
            return Err(Bad::TooLarge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(bytes).unwrap();
        e.finish().unwrap().into()
    }

    #[tokio::test]
    async fn bombs_stop_at_the_bound_and_at_the_budget() {
        let zeros = vec![0; MAX + 1];
        let bombs = [
            (Packing::Gzip, gzip(&zeros)),
            (Packing::Zstd, Bytes::from(zstd::bulk::compress(&zeros, 1).unwrap())),
        ];
        for (with, bomb) in bombs {
            assert!(bomb.len() < 400_000);
            let large = Budget::new(usize::MAX / 2).share();
            assert_eq!(unpacked(bomb.clone(), with, large).await.unwrap_err(), Bad::TooLarge, "{with:?}");
            let budget = Budget::new(1 << 20);
            assert_eq!(unpacked(bomb, with, budget.share()).await.unwrap_err(), Bad::Busy, "{with:?}");
            assert!(budget.share().grow(1 << 20), "it was given back");
        }
    }

    #[tokio::test]
    async fn what_is_packed_well_comes_out_and_what_is_not_is_told() {
        let plain: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let share = || Budget::new(64 << 20).share();
        for (with, packed) in
            [(Packing::Gzip, gzip(&plain)), (Packing::Zstd, zstd::bulk::compress(&plain, 3).unwrap().into())]
        {
            assert_eq!(unpacked(packed.clone(), with, share()).await.unwrap().0, plain);
            let cut = packed.slice(..packed.len() - 3);
            assert!(matches!(unpacked(cut, with, share()).await, Err(Bad::Broken(_))), "{with:?}");
            let more = Bytes::from([&packed[..], b"more"].concat());
            assert!(matches!(unpacked(more, with, share()).await, Err(Bad::Broken(_))), "{with:?}");
        }
    }
}
