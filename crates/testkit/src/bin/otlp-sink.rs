//! An OTLP receiver for tests and measurements: takes everything, and tells on request how much.
//!
//! `otlp-sink --grpc ADDR --http ADDR [--out FILE | --count-only]`. Prints one line when it listens. With
//! `--out` every request goes to the file as one line of OTLP/JSON. On SIGTERM or SIGINT it
//! prints the number of items it took, by signal, as JSON.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use telegen_model::Signal;
use telegen_testkit::sink::{Keep, OtlpSink};

#[derive(Parser)]
struct Args {
    /// Address for gRPC; the same server also understands HTTP.
    #[arg(long, default_value = "127.0.0.1:0")]
    grpc: SocketAddr,
    /// Address for HTTP; the same server also understands gRPC.
    #[arg(long, default_value = "127.0.0.1:0")]
    http: SocketAddr,
    /// File for the records taken, OTLP/JSON, one request a line.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Counts without decoding: nothing is kept.
    #[arg(long, conflicts_with = "out")]
    count_only: bool,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(args))
}

async fn run(args: Args) -> std::io::Result<()> {
    // Records that only go to the file are not kept in memory as well.
    let keep = if args.count_only { Keep::Count } else { Keep::File };
    let out = args.out.as_ref().map(File::create).transpose()?;
    let grpc = OtlpSink::serve(args.grpc, keep, out.as_ref().map(File::try_clone).transpose()?, None).await?;
    let http = OtlpSink::serve(args.http, keep, out, None).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening grpc={} http={}", grpc.addr(), http.addr())?;
    stdout.flush()?;
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let taken: serde_json::Map<_, _> = Signal::ALL
        .into_iter()
        .map(|s| (s.name().to_string(), (grpc.taken(s) + http.taken(s)).into()))
        .collect();
    writeln!(stdout, "{}", serde_json::Value::Object(taken))?;
    for fault in grpc.faults().into_iter().chain(http.faults()) {
        writeln!(std::io::stderr(), "fault: {fault}")?;
    }
    Ok(())
}
