//! The first administrator: made when there is nobody yet.

use std::io;
use std::io::IsTerminal;
use std::path::PathBuf;

use admin_api::ADMIN;
use admin_api::AdminApi;
use admin_api::NewUser;
use admin_api::UserError;
use anyhow::Context;
use kernel::random;
use kernel::secret::Secret;
use kernel::secret::environment;
use kernel::tier::Tier;

use crate::data_dir::DataDir;

/// Where the first administrator's password comes from.
const PASSWORD_VARIABLE: &str = "DOORWARD_ADMIN_PASSWORD";

/// The file that a made-up password is left in where nobody watches.
const PASSWORD_FILE: &str = "admin-password";

/// How the operator comes by the first administrator's password.
pub(crate) enum Password {
    /// Somebody was there before; only they know.
    Theirs,
    /// It was in the environment.
    InEnvironment,
    /// It was made up, and is shown this once.
    Shown(Secret),
    /// It was made up, and lies here.
    InFile(PathBuf),
}

/// Sees to it that there is somebody who may manage the others.
///
/// # Errors
/// Where that fails, or the password in the environment is none.
pub(crate) async fn ensure(api: &AdminApi, data_dir: &DataDir) -> anyhow::Result<Password> {
    if !api.users().is_empty().await? {
        let file = data_dir.join(PASSWORD_FILE);
        return Ok(if file.is_file() { Password::InFile(file) } else { Password::Theirs });
    }
    let (password, found) = match environment(PASSWORD_VARIABLE) {
        Some(password) => (Secret::new(password), Password::InEnvironment),
        None => {
            let password = made_up()?;
            if io::stderr().is_terminal() {
                (password.clone(), Password::Shown(password))
            } else {
                // Kept first: an administrator whose password is lost is none.
                let path = data_dir.keep(PASSWORD_FILE, password.expose())?;
                (password, Password::InFile(path))
            }
        }
    };
    let tier = Tier::parse(ADMIN).context("the administrators' tier")?;
    let new = NewUser {
        email: Some("admin@localhost".to_owned()),
        role: ADMIN.to_owned(),
        ..NewUser::new(ADMIN, password, tier)
    };
    let created = api.users().create(new).await;
    if matches!(created, Err(UserError::Taken(_))) {
        // Another Doorward on the same database was faster; its administrator is the one.
        return Ok(Password::Theirs);
    }
    created.with_context(|| match found {
        Password::InEnvironment => format!(
            "the first administrator cannot be made (the password is that of {PASSWORD_VARIABLE})"
        ),
        _ => "the first administrator cannot be made".to_owned(),
    })?;
    Ok(found)
}

/// Twenty letters and digits of 32 that nobody confuses: 100 bits.
fn made_up() -> anyhow::Result<Secret> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes: [u8; 20] = random::bytes()?;
    let letter = |byte: u8| char::from(LETTERS[usize::from(byte % 32)]);
    let groups = bytes.chunks(5).map(|group| group.iter().map(|&b| letter(b)).collect::<String>());
    Ok(Secret::new(groups.collect::<Vec<_>>().join("-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_password_is_long_plain_and_never_the_same() {
        let (one, two) = (made_up().expect("made"), made_up().expect("made"));
        assert_eq!(one.expose().len(), 23);
        assert!(one.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        assert!(one != two);
    }
}
