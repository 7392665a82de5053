//! `telegen config`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{SettingsArgs, answer, load};
use crate::settings::{self, Settings};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Reports everything that is wrong with a file: FILE:LINE:COL key, what is wrong, nearest key. Exit 0 or 2.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Prints the settings in effect; secrets and substituted values as REDACTED.
    Show,
    /// Prints a file with every key, its default and what it does.
    Default,
    /// Prints the JSON Schema of the file.
    Schema,
    /// Prints the reference as Markdown.
    Docs,
}

pub(super) fn run(command: ConfigCommand, args: SettingsArgs) -> u8 {
    match command {
        ConfigCommand::Check { file } => {
            let name = file.display().to_string();
            match load(SettingsArgs { config: Some(file), ..args }, None) {
                Ok(load) => {
                    load.ignored.iter().for_each(|line| super::complain(line));
                    match load.loaded.judge(crate::delivery::trial) {
                        Ok(()) => answer(&format!("{name}: ok\n")),
                        Err(errors) => {
                            super::complain(&errors.to_string());
                            super::USAGE
                        }
                    }
                }
                Err(code) => code,
            }
        }
        ConfigCommand::Show => match load(args, None) {
            Ok(mut load) => {
                load.ignored.iter().for_each(|line| super::complain(line));
                load.loaded.settings.fill_in_queues();
                answer(&load.loaded.show())
            }
            Err(code) => code,
        },
        ConfigCommand::Default => answer(&settings::default_file()),
        ConfigCommand::Schema => {
            let schema = telegen_config::schema::<Settings>();
            answer(&format!("{schema:#}\n"))
        }
        ConfigCommand::Docs => answer(&settings::reference()),
    }
}
