//! Where targets come from: the configuration, files that are watched, and the part of them that is this shard's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use serde::Deserialize;
use telegen_config::{Check, Entry, Kind, Layers, Node, Report, System, parse};

use crate::poll::{Credential, Target, Targets, credentials, is_ours};
use crate::scan::{Found, Network};
use crate::settings::{self, SnmpSettings};
use crate::usm::UserError;

/// Largest file of targets.
const LARGEST: u64 = 64 << 20;
/// Most targets of one process.
const MOST: usize = 1_000_000;

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("credentials.{0}: {1}")]
pub struct CredentialError(String, UserError);

/// Reads targets, again when their files change.
#[derive(Debug)]
pub struct TargetSource {
    settings: SnmpSettings,
    credentials: BTreeMap<String, Credential>,
    shard: (u32, u32),
    /// Files as last seen.
    seen: Vec<(PathBuf, Option<SystemTime>, u64)>,
    /// What each file last held that could be read.
    good: BTreeMap<PathBuf, Vec<settings::Target>>,
    /// Networks that are searched, what was found there, and how many of that are targets already.
    networks: Vec<(Network, Found)>,
    known: usize,
}

/// A file: a list of targets, or an object with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum FileForm {
    List(Vec<settings::Target>),
    Object { targets: Vec<settings::Target> },
}

impl TargetSource {
    /// From the settings.
    pub fn new(settings: SnmpSettings) -> Result<TargetSource, CredentialError> {
        let credentials = credentials(&settings).map_err(|(name, e)| CredentialError(name, e))?;
        let shard = settings.shard.as_ref().map_or((0, 1), |s| (s.index, s.of.get()));
        let networks = settings.scan.iter().filter_map(|s| {
            let credentials = crate::poll::in_order(&s.credentials, &credentials);
            let network = Network::parse(&s.subnet, credentials, s.packets_per_second.get())?;
            Some((network, Found::default()))
        });
        let networks = networks.collect();
        let (seen, good) = (Vec::new(), BTreeMap::new());
        Ok(TargetSource { settings, credentials, shard, seen, good, networks, known: 0 })
    }

    /// Whether the devices are shared out over several processes.
    pub fn is_shared(&self) -> bool {
        self.shard.1 != 1
    }

    /// Another share of the devices from now on: this process and the number of all. Whether that is a change.
    pub fn set_shard(&mut self, shard: (u32, u32)) -> bool {
        std::mem::replace(&mut self.shard, shard) != shard
    }

    /// Goes on with other settings; networks stay. Whether the share of the devices is another one.
    pub fn replace(&mut self, settings: SnmpSettings) -> Result<bool, CredentialError> {
        let mut new = credentials(&settings).map_err(|(name, e)| CredentialError(name, e))?;
        for (name, credential) in &mut new {
            // One that stays is the same: devices that log in with it go on as they are.
            if self.settings.credentials.get(name) == settings.credentials.get(name)
                && let Some(old) = self.credentials.get(name)
            {
                *credential = old.clone();
            }
        }
        self.credentials = new;
        let moved = settings.shard.as_ref().is_some_and(|s| self.set_shard((s.index, s.of.get())));
        self.settings = settings;
        Ok(moved)
    }

    /// Networks to search, with where to put what answers.
    pub fn networks(&self) -> Vec<(Network, Found)> {
        self.networks.clone()
    }

    fn found(&self) -> usize {
        self.networks.iter().map(|(_, f)| f.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// The targets as they stand now.
    pub fn read(&mut self) -> Targets {
        self.seen = self.stat();
        let paths: Vec<PathBuf> = self.seen.iter().map(|f| f.0.clone()).collect();
        self.good.retain(|path, _| paths.contains(path));
        for path in paths {
            match read_file(&path) {
                Ok(list) => {
                    self.good.insert(path, list);
                }
                // What it last held goes on.
                Err(what) => tracing::error!(file = %path.display(), "collector.snmp.target_files: {what}"),
            }
        }
        let lists = std::iter::once(&self.settings.targets).chain(self.good.values());
        let mut out: Targets = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        for list in lists {
            for target in Target::of_settings(list, &self.settings, &self.credentials) {
                let ours = is_ours(&target.name, self.shard.0, self.shard.1);
                if ours && names.insert(target.name.clone()) && out.len() < MOST {
                    out.push(self.with_credentials(target));
                }
            }
        }
        self.known = self.found();
        for (network, found) in &self.networks {
            for address in found.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                // Named by its address; a target that is listed by that address is not there twice.
                let listed = names.contains(&address.to_string());
                let name = address.ip().to_string();
                let ours = is_ours(&name, self.shard.0, self.shard.1);
                if ours && !listed && names.insert(name.clone()) && out.len() < MOST {
                    out.push(Arc::new(Target {
                        name,
                        address: address.to_string(),
                        credentials: network.credentials.clone(),
                        interval: self.settings.interval.get(),
                        profile: "auto".into(),
                        labels: BTreeMap::new(),
                        tries_a_minute: self.settings.credential_tries.get(),
                    }));
                }
            }
        }
        out
    }

    /// A target that names no credentials has none: nothing is tried that was not named.
    fn with_credentials(&self, target: Arc<Target>) -> Arc<Target> {
        if target.credentials.is_empty() {
            tracing::warn!(target = target.name, "names no credentials: it is not polled");
        }
        target
    }

    /// The targets, when a file came, went or changed since they were last read.
    pub fn read_if_changed(&mut self) -> Option<Targets> {
        (self.stat() != self.seen || self.found() != self.known).then(|| self.read())
    }

    fn stat(&self) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
        let mut out = Vec::new();
        for pattern in &self.settings.target_files {
            for path in matching(Path::new(pattern)) {
                let meta = fs::metadata(&path).ok();
                let modified = meta.as_ref().and_then(|m| m.modified().ok());
                out.push((path, modified, meta.map_or(0, |m| m.len())));
            }
        }
        out.sort();
        out.dedup();
        out
    }
}

fn read_file(path: &Path) -> Result<Vec<settings::Target>, String> {
    let text = telegen_config::read_text(path, LARGEST).map_err(|e| e.to_string())?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    match serde_saphyr::from_str::<FileForm>(&text) {
        Ok(FileForm::List(list) | FileForm::Object { targets: list }) => Ok(list),
        Err(error) => Err(with_place(path, &text).unwrap_or_else(|| error.to_string())),
    }
}

/// What is wrong with a file that could not be read, as it is told of the settings' own: line, key, nearest key.
fn with_place(path: &Path, text: &str) -> Option<String> {
    #[derive(Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Listed {
        #[serde(rename = "targets")]
        _targets: Vec<settings::Target>,
    }
    impl Check for Listed {
        fn check(&self, _report: &mut Report) {}
    }
    let (origin, mut problems) = (path.display().to_string(), Vec::new());
    let mut tree = parse(&origin, text, &mut problems);
    if !problems.is_empty() {
        return Some(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
    if let Some(list) = tree.take_if(|tree| matches!(tree.kind, Kind::List(_))) {
        let place = list.place.clone();
        let targets = Entry { key: "targets".into(), place: place.clone(), value: list };
        tree = Some(Node { place, kind: Kind::Map(vec![targets]) });
    }
    let read = Layers::new().tree(tree?).load::<Listed>(&System);
    read.err().map(|errors| errors.to_string())
}

/// The files of a pattern whose last part may have `*`.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.contains('*') {
        return if pattern.exists() { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let folder = pattern.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| glob(&name, &e.file_name().to_string_lossy()))
        .map(|e| e.path())
        .filter(|p| p.is_file())
        .collect()
}

fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_and_go_and_a_broken_one_keeps_what_it_held() {
        let dir = tempfile::tempdir().unwrap();
        let pattern = dir.path().join("*.yaml").display().to_string();
        let settings = SnmpSettings { target_files: vec![pattern], ..SnmpSettings::default() };
        let mut source = TargetSource::new(settings).unwrap();
        assert!(source.read().is_empty() && source.read_if_changed().is_none());
        let names = |t: Targets| t.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        fs::write(
            dir.path().join("a.yaml"),
            "- { address: 127.0.0.1, name: one }\n- { address: 127.0.0.2 }\n",
        )
        .unwrap();
        assert_eq!(names(source.read_if_changed().unwrap()), ["one", "127.0.0.2"]);
        fs::write(dir.path().join("b.yaml"), "targets: [ { address: 127.0.0.3, name: three } ]").unwrap();
        fs::write(dir.path().join("a.yaml"), "- { address: 127.0.0.1, nonsense: 1 }").unwrap();
        assert_eq!(names(source.read_if_changed().unwrap()), ["one", "127.0.0.2", "three"]);
        fs::remove_file(dir.path().join("a.yaml")).unwrap();
        assert_eq!(names(source.read_if_changed().unwrap()), ["three"]);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let said = |text: &str| {
            fs::write(&path, text).unwrap();
            read_file(&path).unwrap_err().replace(&path.display().to_string(), "FILE")
        };
        let entry = "{ address: 127.0.0.1, nam: x }";
        let key = "unknown key (nearest: name)";
        assert_eq!(said(&format!("- {entry}\n")), format!("FILE:1:25 targets.0.nam: {key}"));
        assert_eq!(said(&format!("targets:\n- {entry}\n")), format!("FILE:2:25 targets.0.nam: {key}"));
        assert!(said("- { address: a, address: b }\n").starts_with("FILE:1:17 0.address: "));
        assert_eq!(read_file(Path::new("/dev/null")).unwrap_err(), "it is no regular file");
    }

    #[test]
    fn every_target_has_one_shard_and_one_more_shard_takes_only_its_part() {
        let owner = |name: &str, of| (0..of).filter(|i| is_ours(name, *i, of)).collect::<Vec<_>>();
        let names: Vec<String> = (0..1000).map(|i| format!("device-{i}")).collect();
        let mut moved = 0;
        for name in &names {
            let (two, three) = (owner(name, 2), owner(name, 3));
            assert_eq!((two.len(), three.len()), (1, 1));
            moved += u32::from(two != three);
            assert!(two == three || three == [2]);
        }
        assert!((250..420).contains(&moved), "{moved}");
    }

    #[test]
    fn stars_match_any_text() {
        for (pattern, name, fits) in [
            ("*.yaml", "a.yaml", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }
}
