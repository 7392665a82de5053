//! Load for measurements: sends one prepared export request over gRPC again and again, and tells how long it took.
//!
//! `otlp-load --to HOST:PORT --signal traces|logs --records N [--batch N] [--pack none|gzip|zstd] [--streams N]
//! [--sources N] [--services N] [--rate N] [--wait]`. What is refused for load is sent again. Prints one line of JSON:
//! records, seconds, bytes of one record.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use clap::Parser;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use telegen_model::{KeyValue, Records, Signal, Value};
use telegen_testkit::records;

#[derive(Parser)]
struct Args {
    /// Where to.
    #[arg(long)]
    to: String,
    /// `traces` or `logs`.
    #[arg(long, default_value = "traces")]
    signal: String,
    /// Records to send.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Records in a request.
    #[arg(long, default_value_t = 1000)]
    batch: u64,
    /// Compression: none, gzip or zstd.
    #[arg(long, default_value = "none")]
    pack: String,
    /// Requests at a time.
    #[arg(long, default_value_t = 8)]
    streams: usize,
    /// Connections; the requests at a time are shared among them.
    #[arg(long, default_value_t = 1)]
    sources: usize,
    /// Services that send; by default each source is one of its own.
    #[arg(long)]
    services: Option<usize>,
    /// Records a second in all, spread evenly; 0: as many as are taken.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Opens the connections first, with a request each that is not counted, prints `open`, and waits for a line.
    #[arg(long)]
    wait: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(args))
}

fn prepared(args: &Args, source: usize) -> std::io::Result<(Bytes, usize, &'static str)> {
    let resource = records::resource(&format!("load-{source}"));
    let (records, service) = match Signal::from_name(&args.signal) {
        Some(Signal::Logs) => (Records::Logs((0..args.batch).map(log).collect()), "logs.v1.LogsService"),
        _ => (Records::Spans((0..args.batch).map(span).collect()), "trace.v1.TraceService"),
    };
    let plain = telegen_otlp::encode_request(&[records::group(&resource, records)]);
    let (flag, packed) = match args.pack.as_str() {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
            encoder.write_all(&plain)?;
            (1, encoder.finish()?)
        }
        "zstd" => (1, zstd::bulk::compress(&plain, 1)?),
        _ => (0, plain.to_vec()),
    };
    let mut body = BytesMut::with_capacity(packed.len() + 5);
    body.put_u8(flag);
    body.put_u32(u32::try_from(packed.len()).unwrap_or(u32::MAX));
    body.put_slice(&packed);
    Ok((body.freeze(), plain.len(), service))
}

/// A span of 12 attributes.
fn span(n: u64) -> telegen_model::Span {
    let mut span = records::http_span(n);
    span.attrs.truncate(11);
    span.attrs.push(KeyValue::new("request.id", format!("{n:032x}")));
    span
}

/// A log record of about 250 bytes.
fn log(n: u64) -> telegen_model::LogRecord {
    let mut log = records::log(n);
    let text =
        format!("GET /api/v1/orders/{n}/items took 12 ms, 200, 18231 bytes to 10.1.2.3 for user {}", n % 97);
    log.body = Value::from(text);
    log.attrs = vec![
        KeyValue::new("log.file.path", "/var/log/shop/access.log"),
        KeyValue::new("thread.name", "worker-7"),
        KeyValue::new("code.function.name", "shop.orders.list"),
    ];
    log
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let requests = args.records.div_ceil(args.batch);
    let (next, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut sources = Vec::new();
    let mut plain = 0;
    for source in 0..args.sources.max(1) {
        let (body, size, service) = prepared(&args, source % args.services.unwrap_or(source + 1).max(1))?;
        plain = size;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .http2_initial_stream_window_size(1 << 20)
            .build(connector);
        let uri = format!("http://{}/opentelemetry.proto.collector.{service}/Export", args.to);
        sources.push((client, uri, body));
    }
    if args.wait {
        for (client, uri, body) in &sources {
            while !send(client, uri, body, &args.pack).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        writeln!(std::io::stdout(), "open")?;
        std::io::stdin().read_line(&mut String::new())?;
    }
    let started = Instant::now();
    // From one request to the next.
    let batch_ns = args.batch.saturating_mul(1_000_000_000).checked_div(args.rate).unwrap_or(0);
    let mut streams = tokio::task::JoinSet::new();
    for stream in 0..args.streams.max(sources.len()) {
        let ((client, uri, body), pack) = (sources[stream % sources.len()].clone(), args.pack.clone());
        let (next, refused) = (next.clone(), refused.clone());
        streams.spawn(async move {
            loop {
                let request = next.fetch_add(1, Ordering::Relaxed);
                if request >= requests {
                    return;
                }
                let due = request.saturating_mul(batch_ns);
                tokio::time::sleep_until((started + Duration::from_nanos(due)).into()).await;
                while !send(&client, &uri, &body, &pack).await {
                    refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    while streams.join_next().await.is_some() {}
    let seconds = started.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "records": requests * args.batch,
        "seconds": seconds,
        "bytes_a_record": plain as u64 / args.batch,
        "refused": refused.load(Ordering::Relaxed),
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// One request; `false` when it was not taken.
async fn send(client: &Client<HttpConnector, Full<Bytes>>, uri: &str, body: &Bytes, pack: &str) -> bool {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if pack != "none" {
        request = request.header("grpc-encoding", pack);
    }
    let Ok(request) = request.body(Full::new(body.clone())) else { return false };
    let Ok(response) = client.request(request).await else { return false };
    let at_once = response.headers().get("grpc-status").cloned();
    let Ok(collected) = response.into_body().collect().await else { return false };
    let status = at_once.or_else(|| collected.trailers().and_then(|t| t.get("grpc-status").cloned()));
    status.is_some_and(|s| s == "0")
}
