//! The program: command line, and the two assemblies (agent, collector).

mod agent;
mod cli;
mod delivery;
mod doctor;
mod settings;

fn main() -> std::process::ExitCode {
    cli::run()
}
