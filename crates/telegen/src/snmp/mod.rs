//! `telegen snmp`: tools for network devices.

mod access;
mod ask;
mod import;
mod simulate;
mod trap;

use clap::Subcommand;

use crate::cli::SettingsArgs;

/// What to do with a device.
#[derive(Debug, Subcommand)]
pub(crate) enum SnmpCommand {
    /// Gets objects.
    Get(ask::AskArgs),
    /// Walks a subtree (1.3.6.1 unless one is given).
    Walk(ask::AskArgs),
    /// Walks a whole device into a .snmprec file, for `simulate` and for reports.
    Record(ask::RecordArgs),
    /// Sends a trap or an inform, version 2c.
    Trap(trap::TrapArgs),
    /// Turns a module of snmp_exporter's snmp.yml into a profile, on standard output.
    Import(import::ImportArgs),
    /// Polls a device once and prints what its profile makes of it.
    TestProfile(import::TestProfileArgs),
    /// Answers as the recorded devices of a folder would, one address of 127.0.0.0/8 a device.
    Simulate(simulate::SimulateArgs),
}

/// Does it and gives the exit code.
pub(crate) fn run(command: SnmpCommand, _settings: SettingsArgs) -> u8 {
    match command {
        SnmpCommand::Get(args) => ask::get(&args),
        SnmpCommand::Walk(args) => ask::walk(&args),
        SnmpCommand::Record(args) => ask::record(&args),
        SnmpCommand::Trap(args) => trap::run(&args),
        SnmpCommand::Import(args) => import::run(&args),
        SnmpCommand::TestProfile(args) => import::test_profile(&args),
        SnmpCommand::Simulate(args) => simulate::run(&args),
    }
}
