//! `telegen snmp trap`: sends a trap or an inform.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use clap::Args;
use telegen_snmp::client::Address;
use telegen_snmp::protocol::{Leniency, Oid, Raw, Value, Writer, parse, pdu_body, tag, write_varbind};
use telegen_snmp::session::answer_id;

use crate::cli::{DONE, FAILED, USAGE, complain};

/// What is sent.
#[derive(Debug, Args)]
pub(crate) struct TrapArgs {
    /// `HOST` or `HOST:PORT`; port 162 unless given.
    address: String,
    /// What happened, such as 1.3.6.1.6.3.1.1.5.3.
    trap: String,
    /// Variables: OID, type (i integer, u unsigned, c counter, t ticks, s text, x hexadecimal, o OID, a address), value.
    variables: Vec<String>,
    /// Community; messages are of version 2c.
    #[arg(short = 'c', long, default_value = "public")]
    community: String,
    /// Asks for an acknowledgement; exit 1 when none comes.
    #[arg(long)]
    inform: bool,
    /// Seconds to wait for it, each of three tries.
    #[arg(short = 't', long, default_value_t = 2.0)]
    timeout: f64,
}

/// Sends it.
pub(crate) fn run(args: &TrapArgs) -> u8 {
    let address = Address::parse(&args.address, 162).map_err(|e| e.to_string());
    match address.and_then(|address| Ok((address, message(args)?))) {
        Err(what) => {
            complain(&format!("telegen snmp trap: {what}"));
            USAGE
        }
        Ok((address, (bytes, id))) => match send(args, &address, &bytes, id) {
            Ok(()) => DONE,
            Err(e) => {
                complain(&format!("telegen snmp trap: {}: {e}", args.address));
                FAILED
            }
        },
    }
}

/// A value of its own bytes.
enum Owned {
    Int(i64),
    Unsigned(u32),
    Counter(u32),
    Ticks(u32),
    Octets(Vec<u8>),
    Oid(Oid),
    Ip([u8; 4]),
}

impl Owned {
    fn parse(kind: &str, text: &str) -> Option<Owned> {
        Some(match kind {
            "i" => Owned::Int(i64::from(text.parse::<i32>().ok()?)),
            "u" => Owned::Unsigned(text.parse().ok()?),
            "c" => Owned::Counter(text.parse().ok()?),
            "t" => Owned::Ticks(text.parse().ok()?),
            "s" => Owned::Octets(text.as_bytes().to_vec()),
            "x" => {
                let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
                let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok();
                Owned::Octets(digits.chunks(2).map(pair).collect::<Option<_>>()?)
            }
            "o" => Owned::Oid(text.parse().ok()?),
            "a" => Owned::Ip(text.parse::<std::net::Ipv4Addr>().ok()?.octets()),
            _ => return None,
        })
    }

    fn value(&self) -> Value<'_> {
        match self {
            Owned::Int(i) => Value::Int(*i),
            Owned::Unsigned(v) => Value::Gauge32(*v),
            Owned::Counter(v) => Value::Counter32(*v),
            Owned::Ticks(v) => Value::Ticks(*v),
            Owned::Octets(b) => Value::Octets(b),
            Owned::Oid(o) => Value::Oid(o),
            Owned::Ip(ip) => Value::Ip(*ip),
        }
    }
}

fn message(args: &TrapArgs) -> Result<(Vec<u8>, i32), String> {
    let oid = |text: &str| text.parse::<Oid>().map_err(|e| format!("{text}: {e}"));
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or_default();
    let mut all = vec![
        (oid("1.3.6.1.2.1.1.3.0")?, Owned::Ticks((seconds * 100.0) as u32)),
        (oid("1.3.6.1.6.3.1.1.4.1.0")?, Owned::Oid(oid(&args.trap)?)),
    ];
    if !args.variables.len().is_multiple_of(3) {
        return Err("a variable is an OID, a type and a value".into());
    }
    for three in args.variables.chunks(3) {
        let [name, kind, text] = three else { continue };
        let value =
            Owned::parse(kind, text).ok_or_else(|| format!("{name}: no value of type {kind}: {text}"))?;
        all.push((oid(name)?, value));
    }
    let mut out = Writer::new();
    let id = i32::from_ne_bytes(std::process::id().to_ne_bytes()) & i32::MAX;
    for (name, value) in all.iter().rev() {
        write_varbind(&mut out, name, value.value());
    }
    pdu_body(&mut out, 0, if args.inform { tag::INFORM } else { tag::TRAP_V2 }, [id, 0, 0]);
    out.field(tag::OCTETS, args.community.as_bytes());
    out.signed(tag::INTEGER, 1);
    out.close(tag::SEQUENCE, 0);
    Ok((out.written().to_vec(), id))
}

fn send(args: &TrapArgs, address: &Address, bytes: &[u8], id: i32) -> anyhow::Result<()> {
    let Some(to) = address.host_port.to_socket_addrs()?.next() else { anyhow::bail!("no address") };
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    let tries = if args.inform { 3 } else { 1 };
    for _ in 0..tries {
        socket.send(bytes)?;
        if !args.inform {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_secs_f64(args.timeout.clamp(0.01, 3600.0));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let mut buffer = [0; 8192];
            let Ok(n) = socket.recv(&mut buffer) else { continue };
            match parse(&buffer[..n], Leniency::POLLED) {
                Ok(raw @ Raw::Community(_)) if answer_id(&raw) == Some(id) => return Ok(()),
                _ => {}
            }
        }
    }
    anyhow::bail!("no acknowledgement")
}
