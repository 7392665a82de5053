//! The program: command line, and the two assemblies (agent, collector).

mod agent;
mod cli;
#[cfg(feature = "collector")]
mod collector;
mod delivery;
mod doctor;
mod settings;
#[cfg(feature = "collector")]
mod snmp;

fn main() -> std::process::ExitCode {
    cli::run()
}
