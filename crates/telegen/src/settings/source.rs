use std::path::PathBuf;

use telegen_config::{Errors, Layers, Loaded, System};

use super::{Mode, Settings, env};

/// Where settings come from. Kept, so that they can be read again on SIGHUP.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// `KEY=VALUE` of the command line.
    pub(crate) sets: Vec<String>,
    /// The subcommand, which wins over `mode`.
    pub(crate) mode: Option<Mode>,
}

/// Settings as read, with what they were read from.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The settings and the texts they come from.
    pub(crate) loaded: Loaded<Settings>,
    /// Environment variables that make no sense and were ignored, as the specification of OpenTelemetry asks for.
    pub(crate) ignored: Vec<String>,
    /// Where they come from, to read them again.
    #[cfg_attr(not(feature = "view"), allow(dead_code, reason = "only the page shows it"))]
    pub(crate) source: Source,
}

impl Source {
    /// Reads the environment, the file and the command line.
    pub(crate) fn load(&self) -> Result<Load, Errors> {
        let mut layers = Layers::new();
        if let Some(file) = &self.file {
            layers = layers.file(file, &System);
        }
        for set in &self.sets {
            layers = layers.set(set.as_str());
        }
        let (environment, ignored) = env::layer(&System, &layers);
        let mut loaded = layers.below(environment).load::<Settings>(&System)?;
        telegen_selfmon::logs::hide(loaded.substituted());
        if let Some(mode) = self.mode {
            loaded.settings.mode = mode;
        }
        Ok(Load { loaded, ignored, source: self.clone() })
    }
}
