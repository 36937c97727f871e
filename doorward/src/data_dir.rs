//! The place on disk: the database, generated secrets, sockets, and who runs here now.
//!
//! Whatever is made here can be read by its owner alone.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::bail;
use kernel::secret::Secret;
use serde_json::Value;
use serde_json::json;

/// The longest file of ours that is read back, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A data directory that can be used.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

/// Leave to be the one Doorward that runs in a data directory; given back when dropped.
#[derive(Debug)]
pub(crate) struct Tenancy {
    facts: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens the directory, making it where only the last part of its path is missing.
    ///
    /// # Errors
    /// One clear text that names the directory.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the data directory `{}` cannot be used", path.display());
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("{}: create it, or name another with --data-dir", named())
                });
            }
        }
        if !path.is_dir() {
            bail!("{}: it is no directory; name another with --data-dir", named());
        }
        let absolute = path.canonicalize().with_context(named)?;
        let mode = fs::metadata(&absolute).with_context(named)?.permissions().mode();
        if mode & 0o022 != 0 {
            bail!(
                "{}: others than its owner may write to it, and so could choose its secrets; \
                 `chmod go-w` it, or name another with --data-dir",
                named()
            );
        }
        // Found out here, rather than by SQLite in its own words.
        // Under a name of this process: others look at the same time.
        let probe = absolute.join(format!(".writable.{}", std::process::id()));
        let written = private(&probe).and_then(|_| fs::remove_file(&probe));
        written.with_context(|| {
            format!(
                "{}: check who owns it, and that the disk is neither full nor read-only",
                named()
            )
        })?;
        Ok(Self(absolute))
    }

    /// The path of `name` in it; absolute.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The secret kept as `name`, made by `make` where there is none yet.
    ///
    /// # Errors
    /// One clear text that names the file.
    pub(crate) fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> anyhow::Result<Secret>,
    ) -> anyhow::Result<Secret> {
        let path = self.join(name);
        let named = || format!("the secret in `{}` cannot be used", path.display());
        match read(&path) {
            Ok(text) if text.trim().is_empty() => {
                bail!("{}: it is empty; remove the file to have a new one made", named())
            }
            Ok(text) => {
                let mode = fs::metadata(&path).with_context(named)?.permissions().mode();
                if mode & 0o077 != 0 {
                    bail!("{}: others can read it; make a new one, or `chmod 600` it", named());
                }
                return Ok(Secret::new(text.trim()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(named),
        }
        let secret = make()?;
        match self.keep_first(name, secret.expose()) {
            Ok(()) => Ok(secret),
            // Another process was faster, and its secret is the one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.secret(name, make_no_other)
            }
            Err(error) => Err(error).with_context(named),
        }
    }

    /// Writes `text` as `name`, whole, unless there is one.
    fn keep_first(&self, name: &str, text: &str) -> io::Result<()> {
        let fresh = self.join(&format!(".{name}.{}", std::process::id()));
        let mut file = private(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&fresh, self.join(name));
        fs::remove_file(&fresh)?;
        linked
    }

    /// Writes `text` as `name`, whole or not at all.
    ///
    /// # Errors
    /// One clear text that names the file.
    pub(crate) fn keep(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.join(name);
        let fresh = self.join(&format!(".{name}.new"));
        let write = || -> io::Result<()> {
            let mut file = private(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().with_context(|| format!("`{}` cannot be written", path.display()))?;
        Ok(path)
    }

    /// Takes the place of the one Doorward that runs here.
    ///
    /// # Errors
    /// Where another one does.
    pub(crate) fn move_in(&self) -> anyhow::Result<Tenancy> {
        let path = self.join("run.lock");
        let named = || format!("`{}` cannot be locked", path.display());
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(named)?;
        match lock.try_lock() {
            Ok(()) => Ok(Tenancy { facts: self.join(FACTS), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another Doorward runs in the data directory `{}`; stop it, or name another with \
                 --data-dir",
                self.0.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(named),
        }
    }

    /// Writes down where the running Doorward listens; `fleet` is where an admin API that runs apart
    /// does.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub(crate) fn publish(
        &self,
        public: &[SocketAddr],
        fleet: Option<SocketAddr>,
        ops: SocketAddr,
    ) -> anyhow::Result<()> {
        let public: Vec<String> = public.iter().map(SocketAddr::to_string).collect();
        let facts = json!({
            "public": public,
            "fleet": fleet.map(|address| address.to_string()),
            "ops": ops.to_string(),
            "pid": std::process::id(),
        });
        self.keep(FACTS, &facts.to_string()).map(|_| ())
    }
}

/// Where the ops listener of the Doorward that runs in `data_dir` is, if one wrote that down.
/// Changes nothing there.
pub(crate) fn ops(data_dir: &Path) -> Option<SocketAddr> {
    let facts: Value = serde_json::from_str(&read(&data_dir.join(FACTS)).ok()?).ok()?;
    facts["ops"].as_str()?.parse().ok()
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        // What it says is no longer so. Not being there is as good.
        let _ = fs::remove_file(&self.facts);
    }
}

fn make_no_other() -> anyhow::Result<Secret> {
    bail!("the secret that another process just made is gone again")
}

const FACTS: &str = "run.json";

/// A new, empty file that only its owner can read, in the place of what was there.
fn private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn read(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(&parent.path().join("data")).expect("made");
        let first = dir.secret("s", || Ok(Secret::new("made"))).expect("made");
        let again = dir.secret("s", || bail!("made twice")).expect("read");
        assert_eq!((first.expose(), again.expose()), ("made", "made"));
        assert_eq!(mode(&dir.join("s")), 0o600);
        assert_eq!(mode(&dir.0), 0o700);
    }

    #[test]
    fn an_empty_secret_is_no_secret() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(parent.path()).expect("opened");
        fs::write(dir.join("s"), "\n").expect("written");
        let error = dir.secret("s", || Ok(Secret::new("made"))).expect_err("empty");
        assert!(error.to_string().contains("it is empty"), "{error:#}");
    }

    #[test]
    fn a_place_or_a_secret_that_others_can_touch_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let open_to = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        };
        let dir = DataDir::open(parent.path()).expect("opened");
        dir.secret("s", || Ok(Secret::new("made"))).expect("made");
        open_to(&dir.join("s"), 0o640);
        let error = dir.secret("s", make_no_other).expect_err("readable by others");
        assert!(error.to_string().contains("others can read it"), "{error:#}");
        open_to(parent.path(), 0o777);
        let error = DataDir::open(parent.path()).expect_err("writable by others");
        assert!(error.to_string().contains("others than its owner may write"), "{error:#}");
    }

    #[test]
    fn of_two_that_make_a_secret_at_once_one_is_kept_and_both_have_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(parent.path()).expect("opened");
        let faster = dir.clone();
        let secret = dir.secret("s", move || {
            faster.secret("s", || Ok(Secret::new("first")))?;
            Ok(Secret::new("second"))
        });
        assert_eq!(secret.expect("made").expose(), "first");
    }

    #[test]
    fn two_tenants_do_not_live_in_one_place() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(parent.path()).expect("opened");
        let first = dir.move_in().expect("free");
        let error = dir.move_in().expect_err("taken");
        assert!(error.to_string().starts_with("another Doorward runs"), "{error:#}");
        drop(first);
        dir.move_in().expect("free again");
    }

    #[test]
    fn a_directory_whose_parent_is_missing_is_named() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("a/b");
        let error = format!("{:#}", DataDir::open(&path).expect_err("missing"));
        assert!(
            error.contains(&path.display().to_string()) && error.contains("--data-dir"),
            "{error}"
        );
    }
}
