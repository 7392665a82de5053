use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use super::plan::{Naming, Plan};
use super::schema::Profile;
use crate::protocol::Oid;

include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// Largest profile file.
const LARGEST: u64 = 4 << 20;
/// What a device without a profile of its own gets.
const GENERIC: &str = "generic";

/// Why profiles cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A file or folder.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// What a file says.
    #[error("profile {0}: {1}")]
    Profile(String, String),
}

/// All profiles.
#[derive(Debug)]
pub struct Library {
    profiles: BTreeMap<String, Profile>,
    /// Subtree of sysObjectID, expressions on sysDescr, profile; the longest first.
    choices: Vec<(Oid, Vec<regex_lite::Regex>, String)>,
    by_descr: Vec<(regex_lite::Regex, String)>,
    /// Object, profile.
    probes: Vec<(Oid, String)>,
    naming: Naming,
    plans: Mutex<BTreeMap<String, Arc<Plan>>>,
}

impl Library {
    /// The profiles that are built in, and those of some folders, which win over them.
    pub fn load(folders: &[String], naming: Naming) -> Result<Library, LibraryError> {
        let mut profiles = BTreeMap::new();
        for (name, text) in BUILT_IN {
            add(&mut profiles, name, text)?;
        }
        for folder in folders {
            let folder = Path::new(folder);
            let io = |e| LibraryError::File(folder.to_owned(), e);
            let mut paths: Vec<PathBuf> =
                fs::read_dir(folder).map_err(io)?.flatten().map(|e| e.path()).collect();
            paths.retain(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml"));
            paths.sort();
            for path in paths {
                let io = |e| LibraryError::File(path.clone(), e);
                let text = telegen_config::read_text(&path, LARGEST).map_err(io)?;
                let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                add(&mut profiles, &stem, &text)?;
            }
        }
        Library::of(profiles, naming)
    }

    fn of(profiles: BTreeMap<String, Profile>, naming: Naming) -> Result<Library, LibraryError> {
        let (mut choices, mut by_descr, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        for (key, p) in &profiles {
            let wrong = |what: String| LibraryError::Profile(key.clone(), what);
            let regexes: Result<Vec<regex_lite::Regex>, LibraryError> = p
                .sys_descr
                .iter()
                .map(|text| regex_lite::Regex::new(text).map_err(|e| wrong(format!("{text}: {e}"))))
                .collect();
            let regexes = regexes?;
            for text in &p.sys_object_ids {
                let oid: Oid = text.parse().map_err(|e| wrong(format!("{text}: {e}")))?;
                choices.push((oid, regexes.clone(), key.clone()));
            }
            if p.sys_object_ids.is_empty() {
                by_descr.extend(regexes.into_iter().map(|r| (r, key.clone())));
            }
            for text in &p.sys_descr_alone {
                let regex = regex_lite::Regex::new(text).map_err(|e| wrong(format!("{text}: {e}")))?;
                by_descr.push((regex, key.clone()));
            }
            for text in &p.probes {
                probes.push((text.parse().map_err(|e| wrong(format!("{text}: {e}")))?, key.clone()));
            }
        }
        choices.sort_by(|a, b| (b.0.len(), !b.1.is_empty(), &b.2).cmp(&(a.0.len(), !a.1.is_empty(), &a.2)));
        let library = Library { profiles, choices, by_descr, probes, naming, plans: Mutex::default() };
        // What is wrong shows at the start, not when the device is met.
        for name in library.profiles.keys() {
            library.plan(name)?;
        }
        Ok(library)
    }

    /// Names of all profiles.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// A profile by file name or `name`.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name).or_else(|| self.profiles.values().find(|p| p.name == name))
    }

    /// The profile of a device.
    pub fn choose(&self, sys_object_id: &[u8], sys_descr: &str) -> &str {
        let fits = |regexes: &[regex_lite::Regex]| {
            regexes.is_empty() || regexes.iter().any(|r| r.is_match(sys_descr))
        };
        let by_oid =
            self.choices.iter().find(|(oid, descr, _)| sys_object_id.starts_with(oid) && fits(descr));
        if let Some((_, _, name)) = by_oid {
            return name;
        }
        self.by_descr.iter().find(|(r, _)| r.is_match(sys_descr)).map_or(GENERIC, |(_, n)| n)
    }

    /// Objects that tell what a device with this profile really is, each with the profile that it stands for; none for a
    /// profile that is sure.
    pub fn probes(&self, chosen: &str) -> &[(Oid, String)] {
        let asks = self.get(chosen).is_some_and(|p| p.ask_probes);
        if asks { &self.probes } else { &[] }
    }

    /// The plan of a profile; made once.
    pub fn plan(&self, name: &str) -> Result<Arc<Plan>, LibraryError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(name) {
            return Ok(plan.clone());
        }
        let wrong = |what: String| LibraryError::Profile(name.to_owned(), what);
        let profile = self.get(name).ok_or_else(|| wrong("no such profile".into()))?;
        let mut chain = Vec::new();
        self.chain(profile, &mut chain, 0).map_err(wrong)?;
        let plan = Arc::new(Plan::new(profile, &chain, self.naming).map_err(wrong)?);
        plans.insert(name.to_owned(), plan.clone());
        Ok(plan)
    }

    fn chain<'a>(&'a self, of: &'a Profile, out: &mut Vec<&'a Profile>, depth: usize) -> Result<(), String> {
        if depth > 8 {
            return Err("extends goes in a circle".into());
        }
        if out.iter().any(|p| std::ptr::eq(*p, of)) {
            return Ok(());
        }
        out.push(of);
        for name in &of.extends {
            let next = self.get(name).ok_or_else(|| format!("extends {name}: no such profile"))?;
            self.chain(next, out, depth + 1)?;
        }
        Ok(())
    }
}

/// The profiles of a file, which may hold several small ones; what is wrong as a text.
pub fn read(text: &str) -> Result<Vec<Profile>, String> {
    let wrong = |e: serde_saphyr::Error| e.to_string();
    match text.trim_start().starts_with("- ") || text.contains("\n- name:") {
        true => serde_saphyr::from_str(text).map_err(wrong),
        false => Ok(vec![serde_saphyr::from_str(text).map_err(wrong)?]),
    }
}

fn add(profiles: &mut BTreeMap<String, Profile>, stem: &str, text: &str) -> Result<(), LibraryError> {
    let mut all = read(text).map_err(|what| LibraryError::Profile(stem.to_owned(), what))?;
    let single = all.len() == 1;
    for mut profile in all.drain(..) {
        if profile.name.is_empty() {
            stem.clone_into(&mut profile.name);
        }
        let key = if single { stem.to_owned() } else { profile.name.clone() };
        profiles.insert(key, profile);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Names;

    #[test]
    fn no_two_profiles_claim_one_number_for_all_that_report_it() {
        let library = Library::load(&[], Names::Otel).unwrap();
        let mut plain: Vec<_> =
            library.choices.iter().filter(|c| c.1.is_empty()).map(|c| (&c.0, &c.2)).collect();
        plain.sort();
        for pair in plain.windows(2) {
            assert!(pair[0].0 != pair[1].0, "{} and {} claim {}", pair[0].1, pair[1].1, pair[0].0);
        }
    }

    #[test]
    fn a_profile_that_is_no_regular_file_or_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.yaml");
        let said = || {
            let folders = [folder.path().display().to_string()];
            Library::load(&folders, Naming::Otel).map(|_| ()).unwrap_err().to_string()
        };
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(said().contains("it is no regular file"), "{}", said());
        fs::remove_file(&path).unwrap();
        fs::write(&path, vec![b' '; 1 + usize::try_from(LARGEST).unwrap()]).unwrap();
        assert!(said().contains("larger than 4194304 bytes"), "{}", said());
    }
}
