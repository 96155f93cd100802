//! What cargo's configuration files say that advent has to know before it calls cargo.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::target::cargo_home;

/// Files that may include one another, one in the other.
const DEEPEST: usize = 8;

/// The configuration that counts in one folder.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Files, what counts first coming first, each with the folder that its paths start from.
    files: Vec<(PathBuf, Table)>,
    /// Files that count, there or not.
    paths: BTreeSet<PathBuf>,
}

impl Settings {
    pub fn of(folder: &Path) -> Self {
        let mut settings = Self::default();
        let mut homes: Vec<_> = folder.ancestors().map(|up| up.join(".cargo")).collect();
        let home = cargo_home().map(|home| folder.join(home));
        homes.retain(|candidate| home.as_ref() != Some(candidate));
        homes.extend(home);
        for home in homes {
            // Of the two names cargo takes the older.
            let file = [home.join("config"), home.join("config.toml")];
            settings.paths.extend(file.iter().cloned());
            if let Some(file) = file.iter().find(|file| file.is_file()) {
                settings.read(file, DEEPEST);
            }
        }
        settings
    }

    fn read(&mut self, file: &Path, deepest: usize) {
        self.paths.insert(file.to_owned());
        // A file that cannot be read or parsed is cargo's to complain of.
        let text = fs::read_to_string(file).unwrap_or_default();
        let Ok(table) = text.parse::<Table>() else { return };
        let folder = file.parent().unwrap_or(file);
        let included = match table.get("include") {
            Some(Value::Array(items)) => items.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        };
        let start = folder.parent().unwrap_or(folder).to_owned();
        self.files.push((start, table));
        if deepest == 0 {
            return;
        }
        // The last included counts before the others.
        for item in included.iter().rev() {
            let path = item.as_str().or_else(|| item.get("path").and_then(Value::as_str));
            if let Some(path) = path {
                self.read(&folder.join(path), deepest - 1);
            }
        }
    }

    /// A string of the table `[build]`, and the folder that it is relative to.
    fn build(&self, key: &str) -> Option<(&Path, &str)> {
        self.files.iter().find_map(|(folder, table)| {
            Some((folder.as_path(), table.get("build")?.get(key)?.as_str()?))
        })
    }

    /// A program that cargo would run: a path, or a name to look up; none if it is empty.
    /// `variables` are looked at first, as cargo does; `folder` is where cargo runs.
    pub fn program(&self, folder: &Path, variables: &[&str], key: &str) -> Option<PathBuf> {
        let set = variables.iter().find_map(std::env::var_os);
        let (folder, program) = if let Some(program) = &set {
            (folder, PathBuf::from(program))
        } else {
            let (folder, program) = self.build(key)?;
            (folder, PathBuf::from(program))
        };
        if program.as_os_str().is_empty() {
            return None;
        }
        let is_name = program.components().count() == 1 && !program.is_absolute();
        Some(if is_name { program } else { folder.join(program) })
    }

    /// The files that were looked at, there or not: what they say may change.
    pub fn paths(self) -> BTreeSet<PathBuf> {
        self.paths
    }

    /// Whether a profile's key is configured, here or by an environment variable.
    pub fn has_profile_key(&self, profile: &str, key: &str) -> bool {
        let variable = format!("CARGO_PROFILE_{profile}_{key}").to_uppercase().replace('-', "_");
        let has = |table: &Table| table.get("profile")?.get(profile)?.get(key).map(drop);
        std::env::var_os(variable).is_some()
            || self.files.iter().any(|(_, table)| has(table).is_some())
    }

    /// `build.target-dir`.
    pub fn target_folder(&self) -> Option<PathBuf> {
        self.build("target-dir").map(|(folder, path)| folder.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_nearest_file_counts_and_includes_come_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |path: &str| folder.path().join(path);
        let wrapper = || Settings::of(&path("a/b")).program(&path("a/b"), &[], "rustc-wrapper");
        let program = |text: &str| format!("[build]\nrustc-wrapper = \"{text}\"\n");
        fs::create_dir_all(path("a/b")).unwrap();
        write(&path("a/.cargo/config.toml"), &program("sccache"));
        assert_eq!(wrapper(), Some("sccache".into()));
        write(&path("a/.cargo/config.toml"), &program("bin/wrap"));
        assert_eq!(wrapper(), Some(path("a/bin/wrap")), "relative to the folder of .cargo");
        write(&path("a/b/.cargo/config.toml"), "include = [\"more.toml\", \"last.toml\"]\n");
        assert_eq!(wrapper(), Some(path("a/bin/wrap")), "an include that is not there");
        write(&path("a/b/.cargo/more.toml"), &program("first"));
        write(&path("a/b/.cargo/last.toml"), &program("last"));
        assert_eq!(wrapper(), Some("last".into()));
        write(
            &path("a/b/.cargo/config.toml"),
            &format!("include = \"last.toml\"\n{}", program("")),
        );
        assert_eq!(wrapper(), None, "set to nothing");
        write(&path("a/b/.cargo/config.toml"), "[build");
        assert_eq!(wrapper(), Some(path("a/bin/wrap")), "what is no TOML says nothing");
    }

    #[test]
    fn every_file_that_counts_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = |path: &str| folder.path().join(path);
        write(&path("a/.cargo/config.toml"), "include = [{ path = \"x.toml\", optional = true }]");
        write(&path(".cargo/config.toml"), "include = \"y.toml\"\n");
        write(&path(".cargo/y.toml"), "include = \"../z.toml\"\n");
        let paths = Settings::of(&path("a")).paths();
        for (file, counts) in [
            ("a/.cargo/config.toml", true),
            ("a/.cargo/x.toml", true),
            (".cargo/y.toml", true),
            (".cargo/../z.toml", true),
            (".cargo/x.toml", false),
        ] {
            assert_eq!(paths.contains(&path(file)), counts, "{file}: {paths:?}");
        }
    }

    #[test]
    fn the_target_folder_may_be_configured() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join(".cargo/config.toml"), "build.target-dir = \"out\"\n");
        let settings = Settings::of(folder.path());
        assert_eq!(settings.target_folder(), Some(folder.path().join("out")));
    }
}
