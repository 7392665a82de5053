//! `telegen snmp simulate`.

use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use telegen_snmp::simulate::{Conditions, Simulator};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{DONE, FAILED, USAGE, complain};

/// What is simulated.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Folder of .snmprec files, or one file.
    dir: PathBuf,
    /// Address of the first device; the others follow it, one address a device.
    #[arg(long, default_value = "127.0.0.1:1161")]
    listen: SocketAddr,
    /// Number of devices; the files are used in turn. One a file unless given.
    #[arg(long)]
    devices: Option<usize>,
    /// Milliseconds from question to answer.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Part of the questions that gets no answer, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Largest answer in bytes.
    #[arg(long, default_value_t = 1472)]
    max_size: usize,
    /// Lets sysUpTime and counters go on from where the recording ended.
    #[arg(long)]
    live: bool,
    /// Prints no list of devices at the start.
    #[arg(long)]
    quiet: bool,
    /// Prints at the end how often sysUpTime was asked for, device by device.
    #[arg(long)]
    polls: bool,
}

/// Answers until SIGTERM or SIGINT.
pub(crate) fn run(args: &SimulateArgs) -> u8 {
    if !(0.0..=1.0).contains(&args.loss) || !(484..=65_507).contains(&args.max_size) {
        complain("telegen snmp simulate: --loss is from 0 to 1, --max-size from 484 to 65507");
        return USAGE;
    }
    let conditions = Conditions {
        delay: Duration::from_millis(args.delay),
        loss: args.loss,
        max_size: args.max_size,
        live: args.live,
    };
    let mut simulator = match Simulator::open(&args.dir, args.listen, args.devices, conditions) {
        Ok(simulator) => simulator,
        Err(e) => {
            complain(&format!("telegen snmp simulate: {e}"));
            return FAILED;
        }
    };
    if !args.quiet {
        let mut out = BufWriter::new(io::stdout().lock());
        for (address, name) in simulator.devices() {
            let _ = writeln!(out, "{address} {name}");
        }
        let _ = out.flush();
    }
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(e) = stop_on_signal(stop.clone()) {
        complain(&format!("telegen snmp simulate: {e}"));
        return FAILED;
    }
    complain("telegen snmp simulate: ready");
    if let Err(e) = simulator.run(&stop) {
        complain(&format!("telegen snmp simulate: {e}"));
        return FAILED;
    }
    if args.polls {
        let mut out = BufWriter::new(io::stdout().lock());
        for ((address, _), polls) in simulator.devices().zip(simulator.polls()) {
            let _ = writeln!(out, "{address} {polls}");
        }
        let _ = writeln!(out, "packets {}", simulator.packets());
        let _ = out.flush();
    }
    DONE
}

/// Sets the flag at SIGTERM or SIGINT, from a thread of its own.
fn stop_on_signal(stop: Arc<AtomicBool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("telegen-signal".into()).spawn(move || {
        runtime.block_on(async {
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        stop.store(true, Ordering::Relaxed);
    })?;
    Ok(())
}
