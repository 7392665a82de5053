use std::io::{Read, Write};
use std::sync::PoisonError;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use telegen_model::{ResourceGroup, Signal};

use super::{Keep, Request, Shared};

/// Requests larger than this are refused: a test that sends more has a fault.
const MAX_REQUEST: u64 = 256 << 20;

/// What a request's path and headers say.
pub(super) struct Head {
    pub(super) signal: Signal,
    pub(super) protocol: &'static str,
}

/// A request that was understood.
pub(super) struct Parsed {
    pub(super) request: Request,
    pub(super) groups: Vec<ResourceGroup>,
}

/// Finds signal and protocol.
pub(super) fn head(path: &str, headers: &HeaderMap) -> Result<Head, String> {
    let grpc = |signal| Ok(Head { signal, protocol: "grpc" });
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => return grpc(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => return grpc(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => return grpc(Signal::Logs),
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export" => {
            return grpc(Signal::Profiles);
        }
        _ => {}
    }
    let signal = path.rsplit('/').next().and_then(Signal::from_name).ok_or(format!("unknown path {path}"))?;
    match text(headers, "content-type") {
        "application/x-protobuf" => Ok(Head { signal, protocol: "http/protobuf" }),
        "application/json" => Ok(Head { signal, protocol: "http/json" }),
        other => Err(format!("unknown content type {other}")),
    }
}

/// Reads a body.
pub(super) fn body(head: &Head, headers: &HeaderMap, body: Bytes, keep: Keep) -> Result<Parsed, String> {
    let (body, encoding) = if head.protocol == "grpc" {
        grpc_message(headers, body)?
    } else {
        let encoding = text(headers, "content-encoding");
        (decompressed(body, encoding)?, encoding)
    };
    let encoding = if encoding.is_empty() { "identity" } else { encoding }.to_string();
    let bytes = body.len();
    let protobuf = if head.protocol == "http/json" { from_json(head.signal, &body)? } else { body };
    let items = telegen_otlp::count_items(head.signal, &protobuf).ok_or("not protobuf of a request")?;
    let groups = match keep {
        Keep::Count => Vec::new(),
        // Profiles have no typed form.
        _ if head.signal == Signal::Profiles => Vec::new(),
        Keep::Records | Keep::File => {
            let decoded =
                telegen_otlp::decode_request(head.signal, protobuf.clone()).map_err(|e| e.to_string())?;
            if decoded.skipped > 0 {
                return Err(format!("{} points of a kind that is not sent", decoded.skipped));
            }
            decoded.groups
        }
    };
    let (signal, protocol, headers) = (head.signal, head.protocol, headers.clone());
    Ok(Parsed {
        request: Request { signal, protocol, encoding, headers, items, bytes, body: protobuf, taken: false },
        groups,
    })
}

/// Writes taken records to the file, if there is one.
pub(super) fn write_out(shared: &Shared, signal: Signal, groups: &[ResourceGroup]) -> std::io::Result<()> {
    if let Some(out) = &shared.out {
        let mut line = telegen_otlp::json::encode_request(signal, groups).to_vec();
        line.push(b'\n');
        out.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)?;
    }
    Ok(())
}

fn grpc_message(headers: &HeaderMap, mut body: Bytes) -> Result<(Bytes, &str), String> {
    if text(headers, "content-type") != "application/grpc" || text(headers, "te") != "trailers" {
        return Err("content-type or te is not gRPC's".to_string());
    }
    if body.len() < 5 {
        return Err("no gRPC message".to_string());
    }
    let (compressed, length) = (body.get_u8(), body.get_u32() as usize);
    if body.len() != length {
        return Err(format!("a gRPC message of {length} bytes in a body of {}", body.len()));
    }
    match compressed {
        0 => Ok((body, "")),
        _ => {
            let encoding = text(headers, "grpc-encoding");
            Ok((decompressed(body, encoding)?, encoding))
        }
    }
}

fn decompressed(body: Bytes, encoding: &str) -> Result<Bytes, String> {
    let mut out = Vec::new();
    let read = match encoding {
        "" | "identity" => return Ok(body),
        "gzip" => flate2::read::GzDecoder::new(body.reader()).take(MAX_REQUEST).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(body.reader())
            .and_then(|d| d.take(MAX_REQUEST).read_to_end(&mut out)),
        other => return Err(format!("unknown encoding {other}")),
    };
    read.map_err(|e| format!("{encoding}: {e}"))?;
    Ok(out.into())
}

/// JSON to protobuf by way of an implementation that is not Telegen's.
fn from_json(signal: Signal, body: &[u8]) -> Result<Bytes, String> {
    fn through<T: serde::de::DeserializeOwned + Message>(body: &[u8]) -> Result<Bytes, String> {
        let request: T = serde_json::from_slice(body).map_err(|e| format!("not OTLP/JSON: {e}"))?;
        Ok(request.encode_to_vec().into())
    }
    match signal {
        Signal::Traces => through::<ExportTraceServiceRequest>(body),
        Signal::Metrics => through::<ExportMetricsServiceRequest>(body),
        Signal::Logs => through::<ExportLogsServiceRequest>(body),
        Signal::Profiles => Err("profiles have no reader yet".to_string()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}
