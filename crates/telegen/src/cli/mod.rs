//! The command line: what was asked for, and the exit code. Data goes to standard output, everything else to standard
//! error. 0: done, 1: failed at run time, 2: wrong usage or configuration.

mod config;
mod queue;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::settings::{Load, Mode, Source};

/// What `--version` says after the program's name.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("TELEGEN_COMMIT"),
    ", built for ",
    env!("TELEGEN_TARGET"),
    ")"
);

/// Done.
pub(crate) const DONE: u8 = 0;
/// Failed at run time.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub(crate) const USAGE: u8 = 2;

/// Metrics, traces, logs and profiles of a machine, without touching what runs on it.
///
/// Without a subcommand: `agent`.
#[derive(Debug, Parser)]
#[command(name = "telegen", version = VERSION, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Where settings come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Configuration file; TELEGEN_CONFIG names one too.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Sets one key, dotted, to a YAML value; wins over the file. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watches the machine it runs on.
    Agent,
    /// Polls what Telegen cannot run on: devices, arrays, clouds, databases.
    Collector,
    /// Tells which features work here, and of the others why not and what to do. Exit 0: all that is wanted works.
    Doctor {
        /// Prints JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Checks, shows and explains the configuration.
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Asks, walks, records and simulates network devices.
    #[cfg(feature = "collector")]
    Snmp {
        #[command(subcommand)]
        command: Box<crate::snmp::SnmpCommand>,
    },
    #[cfg(not(feature = "collector"))]
    /// Not in this build.
    #[command(hide = true)]
    Snmp(NotHere),
    /// Looks into queues on disk.
    Queue {
        #[command(subcommand)]
        command: queue::QueueCommand,
    },
    /// Not in this build.
    #[command(hide = true)]
    Profile(NotHere),
}

/// Whatever follows a command that this version does not have.
#[derive(Debug, Args)]
struct NotHere {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Reads the command line, does what it says and gives the exit code.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() { USAGE } else { DONE };
            // A reader that went away needs no answer.
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    ExitCode::from(dispatch(cli))
}

fn dispatch(cli: Cli) -> u8 {
    let args = cli.settings;
    match cli.command {
        None => start(args, None),
        Some(Command::Agent) => start(args, Some(Mode::Agent)),
        Some(Command::Collector) => start(args, Some(Mode::Collector)),
        Some(Command::Doctor { json }) => match load(args, None) {
            Ok(load) => crate::doctor::run(&load, json),
            Err(code) => code,
        },
        Some(Command::Config { command }) => config::run(command, args),
        #[cfg(feature = "collector")]
        Some(Command::Snmp { command }) => crate::snmp::run(*command, args),
        #[cfg(not(feature = "collector"))]
        Some(Command::Snmp(_)) => not_here("snmp"),
        Some(Command::Queue { command }) => queue::run(command),
        Some(Command::Profile(_)) => not_here("profile"),
    }
}

fn not_here(command: &str) -> u8 {
    complain(&format!("telegen {command}: not in this build"));
    USAGE
}

impl SettingsArgs {
    fn source(self, mode: Option<Mode>) -> Source {
        let from_environment =
            || std::env::var_os("TELEGEN_CONFIG").filter(|f| !f.is_empty()).map(PathBuf::from);
        Source { file: self.config.or_else(from_environment), sets: self.set, mode }
    }
}

/// Reads the settings; what is wrong with them is told, and the exit code given.
pub(crate) fn load(args: SettingsArgs, mode: Option<Mode>) -> Result<Load, u8> {
    args.source(mode).load().map_err(|errors| {
        complain(&errors.to_string());
        USAGE
    })
}

fn start(args: SettingsArgs, mode: Option<Mode>) -> u8 {
    let load = match load(args, mode) {
        Ok(load) => load,
        Err(code) => return code,
    };
    let missing = match load.loaded.settings.mode {
        Mode::Agent => {
            (!cfg!(feature = "agent")).then_some("agent: not in this build: run telegen collector")
        }
        Mode::Collector => {
            (!cfg!(feature = "collector")).then_some("collector: not in this build: run telegen agent")
        }
    };
    if let Some(what) = missing {
        complain(&format!("telegen {what}"));
        return USAGE;
    }
    match crate::agent::run(&load) {
        Ok(()) => DONE,
        Err(e) => {
            tracing::error!(target: telegen_selfmon::logs::NOTICE, "{}", told(&e));
            // Where it is the settings' fault, their line is told.
            load.loaded.judge(crate::delivery::trial).map_or_else(
                |errors| {
                    complain(&errors.to_string());
                    USAGE
                },
                |()| FAILED,
            )
        }
    }
}

/// An error with its causes. A cause that the text before it ends with already is not said twice.
pub(crate) fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |text, cause| {
        let cause = cause.to_string();
        match text.as_str() {
            "" => cause,
            said if said.ends_with(&cause) => text,
            said => format!("{said}: {cause}"),
        }
    })
}

/// A message to the user on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", telegen_selfmon::logs::redact(text));
}

/// Data on standard output. A reader that went away is no failure.
pub(crate) fn answer(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("telegen: standard output: {e}"));
            FAILED
        }
        _ => DONE,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_and_after_the_subcommand() {
        for line in [["telegen", "--set", "a=1", "agent"], ["telegen", "agent", "--set", "a=1"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.settings.set, ["a=1"]);
            assert!(matches!(cli.command, Some(Command::Agent)));
        }
    }

    #[test]
    fn no_cause_is_said_twice() {
        let source = std::io::Error::from_raw_os_error(98);
        let listen = "127.0.0.1:1".to_owned();
        let error =
            anyhow::Error::from(telegen_server::ServerError::Listen { listen, source }).context("server");
        let want = "server: cannot listen on 127.0.0.1:1: Address already in use (os error 98)";
        assert_eq!(told(&error), want);
        assert_eq!(told(&anyhow::anyhow!("why").context("what")), "what: why");
    }

    #[test]
    fn help_names_only_what_works() {
        let help = Cli::command().render_long_help().to_string();
        for there in ["agent", "collector", "doctor", "config", "queue", "snmp", "--set <KEY=VALUE>"] {
            assert!(help.contains(there), "{there}");
        }
        assert!(!help.contains("profile "), "a command that is not there yet");
    }
}
