//! `telegen snmp get`, `walk` and `record`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use telegen_snmp::client::{Address, Client, ClientError, Patience};
use telegen_snmp::protocol::{Oid, Value};
use telegen_snmp::show;

use super::access::AccessArgs;
use crate::cli::{DONE, FAILED, USAGE, complain};

/// How values are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// As `snmpwalk -On` prints them.
    Text,
    /// Lines of a recording.
    Snmprec,
    /// One JSON object a line.
    Json,
}

/// What is asked, and how.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// `HOST`, `HOST:PORT` or `tcp:HOST:PORT`; port 161 unless given.
    address: String,
    /// Numeric object identifiers.
    oid: Vec<String>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    patience: PatienceArgs,
    /// How values are printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PatienceArgs {
    /// Seconds to wait for an answer.
    #[arg(short = 't', long, default_value_t = 2.0)]
    timeout: f64,
    /// Tries after the first.
    #[arg(short = 'r', long, default_value_t = 3)]
    retries: u32,
    /// Largest answer to ask for, in bytes.
    #[arg(long, default_value_t = 1472)]
    max_size: u16,
}

/// What is recorded.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// `HOST`, `HOST:PORT` or `tcp:HOST:PORT`; port 161 unless given.
    address: String,
    /// Subtrees; 1.0.8802 (LLDP) and 1.3.6.1 unless given.
    oid: Vec<String>,
    /// File to write; standard output unless given.
    #[arg(short = 'o', long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    patience: PatienceArgs,
}

/// Gets objects.
pub(crate) fn get(args: &AskArgs) -> u8 {
    with_client(args, |client, oids, out| {
        let oids = if oids.is_empty() { vec![default_oid(&[1, 3, 6, 1, 2, 1, 1, 1, 0])?] } else { oids };
        let mut failed = None;
        // An agent takes so many names at once without trouble.
        for part in oids.chunks(16) {
            client.get(part, |oid, value| {
                failed = failed.take().or(print(out, args.output, oid, value).err())
            })?;
        }
        failed.map_or(Ok(()), |e| Err(e.into()))
    })
}

/// Walks subtrees.
pub(crate) fn walk(args: &AskArgs) -> u8 {
    with_client(args, |client, oids, out| {
        let oids = if oids.is_empty() { vec![default_oid(&[1, 3, 6, 1])?] } else { oids };
        for root in &oids {
            let mut failed = None;
            client.walk(root, |oid, value| {
                failed = failed.take().or(print(out, args.output, oid, value).err())
            })?;
            if let Some(e) = failed {
                return Err(e.into());
            }
        }
        Ok(())
    })
}

/// Records a device.
pub(crate) fn record(args: &RecordArgs) -> u8 {
    let ask = AskArgs {
        address: args.address.clone(),
        oid: if args.oid.is_empty() { vec!["1.0.8802".into(), "1.3.6.1".into()] } else { args.oid.clone() },
        access: args.access.clone(),
        patience: args.patience,
        output: Output::Snmprec,
    };
    let Some(path) = &args.file else { return walk(&ask) };
    let mut file = match File::create(path) {
        Ok(file) => BufWriter::new(file),
        Err(e) => {
            complain(&format!("telegen snmp record: {}: {e}", path.display()));
            return FAILED;
        }
    };
    let code = run(&ask, &mut file, |client, oids, out| {
        for root in &oids {
            let mut failed = None;
            client.walk(root, |oid, value| {
                failed = failed.take().or(print(out, Output::Snmprec, oid, value).err());
            })?;
            if let Some(e) = failed {
                return Err(e.into());
            }
        }
        Ok(())
    });
    match file.flush() {
        Err(e) if code == DONE => {
            complain(&format!("telegen snmp record: {}: {e}", path.display()));
            FAILED
        }
        _ => code,
    }
}

fn default_oid(arcs: &[u32]) -> anyhow::Result<Oid> {
    Ok(Oid::from_arcs(arcs)?)
}

fn with_client(
    args: &AskArgs,
    ask: impl FnOnce(&mut Client, Vec<Oid>, &mut dyn Write) -> anyhow::Result<()>,
) -> u8 {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let code = run(args, &mut out, ask);
    match out.flush() {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe && code == DONE => {
            complain(&format!("telegen: standard output: {e}"));
            FAILED
        }
        _ => code,
    }
}

fn run(
    args: &AskArgs,
    out: &mut dyn Write,
    ask: impl FnOnce(&mut Client, Vec<Oid>, &mut dyn Write) -> anyhow::Result<()>,
) -> u8 {
    let access = match args.access.access() {
        Ok(access) => access,
        Err(what) => {
            complain(&format!("telegen snmp: {what}"));
            return USAGE;
        }
    };
    let mut oids = Vec::new();
    for text in &args.oid {
        match text.parse::<Oid>() {
            Ok(oid) => oids.push(oid),
            Err(e) => {
                complain(&format!("telegen snmp: {text}: {e}"));
                return USAGE;
            }
        }
    }
    if !(args.patience.timeout > 0.0 && args.patience.timeout <= 3600.0) {
        complain("telegen snmp: --timeout: expected seconds, more than 0 and at most 3600");
        return USAGE;
    }
    let patience =
        Patience { timeout: Duration::from_secs_f64(args.patience.timeout), retries: args.patience.retries };
    let address = match Address::parse(&args.address, 161) {
        Ok(address) => address,
        Err(e) => {
            complain(&format!("telegen snmp: {e}"));
            return USAGE;
        }
    };
    let outcome = Client::connect(&address, access, patience, args.patience.max_size)
        .map_err(anyhow::Error::from)
        .and_then(|mut client| ask(&mut client, oids, out));
    match outcome {
        Ok(()) => DONE,
        Err(e) if is_broken_pipe(&e) => DONE,
        Err(e) => {
            let _ = out.flush();
            let prefix = match e.downcast_ref::<ClientError>() {
                Some(ClientError::Io(..)) => String::new(),
                _ => format!("{}: ", address.host_port),
            };
            complain(&format!("telegen snmp: {prefix}{}", crate::cli::told(&e)));
            FAILED
        }
    }
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn print(out: &mut dyn Write, output: Output, oid: &[u8], value: Value<'_>) -> io::Result<()> {
    let mut line = String::with_capacity(80);
    match output {
        Output::Text => show::net_snmp(&mut line, oid, value),
        Output::Snmprec => show::snmprec(&mut line, oid, value),
        Output::Json => line = show::json(oid, value).to_string(),
    }
    line.push('\n');
    out.write_all(line.as_bytes())
}
