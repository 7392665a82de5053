use std::path::PathBuf;

use telegen_config::{Errors, Layers, Loaded, System};

use super::{Mode, Settings, env};

/// Where settings come from. Kept, so that they can be read again on SIGHUP.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// `KEY=VALUE` of the command line.
    pub sets: Vec<String>,
    /// The subcommand, which wins over `mode`.
    pub mode: Option<Mode>,
}

/// Settings as read, with what they were read from.
#[derive(Clone, Debug)]
pub struct Load {
    /// The settings and the texts they come from.
    pub loaded: Loaded<Settings>,
    /// Environment variables that make no sense and were ignored, as the specification of OpenTelemetry asks for.
    pub ignored: Vec<String>,
}

impl Source {
    /// Reads the environment, the file and the command line.
    pub fn load(&self) -> Result<Load, Errors> {
        let mut layers = Layers::new();
        if let Some(file) = &self.file {
            layers = layers.file(file, &System);
        }
        for set in &self.sets {
            layers = layers.set(set.as_str());
        }
        let (environment, ignored) = env::layer(&System, &layers);
        let mut loaded = layers.below(environment).load::<Settings>(&System)?;
        if let Some(mode) = self.mode {
            loaded.settings.mode = mode;
        }
        Ok(Load { loaded, ignored })
    }
}
