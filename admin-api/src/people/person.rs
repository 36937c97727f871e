//! What a person is made of, what may change of them, and what cannot be.

use kernel::claims::SCOPES_BYTES_MAX;
use kernel::claims::SCOPES_MAX;
use kernel::claims::is_scope;
use kernel::claims::scopes_fit;
use kernel::secret::Secret;
use kernel::tier::Tier;

use super::names::address_spelled;
use super::names::spelled;
use super::roles::USER;
use crate::passwords::HashError;
use crate::passwords::policy::Weakness;
use crate::store::fault::DbError;
use crate::store::sql::Sql;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;

/// The longest user name, in characters.
pub const USERNAME_CHARS_MAX: usize = 50;

/// The longest e-mail address, in characters.
pub const EMAIL_CHARS_MAX: usize = 255;

/// The longest full name, in characters.
pub const FULL_NAME_CHARS_MAX: usize = 255;

/// A person to be added.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name to sign in with: 1 to [`USERNAME_CHARS_MAX`] characters, kept in normal form KC.
    pub username: String,
    /// The password: long enough, and none of those that are tried first.
    pub password: Secret,
    /// The e-mail address, which signs in as well.
    pub email: Option<String>,
    /// What to call them.
    pub full_name: Option<String>,
    /// The tier; one of the configured ones.
    pub tier: Tier,
    /// The role; one of the configured ones, `user` or `admin`.
    pub role: String,
    /// Scopes beyond those of the role.
    pub scopes: Vec<String>,
}

impl NewUser {
    /// A person of role `user` with nothing special about them.
    pub fn new(username: impl Into<String>, password: Secret, tier: Tier) -> Self {
        Self {
            username: username.into(),
            password,
            email: None,
            full_name: None,
            tier,
            role: USER.to_owned(),
            scopes: Vec::new(),
        }
    }
}

/// Why something was not done to a person.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Nobody has that name.
    #[error("no user `{0}`")]
    Unknown(String),
    /// Somebody has that name or address.
    #[error("`{0}` is taken, as a user name or an e-mail address")]
    Taken(String),
    /// A user name that cannot be one.
    #[error(
        "`{0}` is no user name: use 1 to {USERNAME_CHARS_MAX} characters, no control characters, \
         no space at either end"
    )]
    Username(String),
    /// An e-mail address that cannot be one.
    #[error("`{0}` is no e-mail address of at most {EMAIL_CHARS_MAX} characters")]
    Email(String),
    /// A password that cannot be set.
    #[error(transparent)]
    Password(#[from] Weakness),
    /// A tier that is not configured.
    #[error("no tier `{name}`; there are {known}")]
    Tier {
        /// What was asked for.
        name: Tier,
        /// What there is.
        known: String,
    },
    /// A role that is not configured.
    #[error("no role `{name}`; there are {known}")]
    Role {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A scope that cannot be one, or too many.
    #[error(
        "`{0}` cannot be added as a scope: at most {SCOPES_MAX} of visible ASCII characters, \
         without `\"` and `\\`"
    )]
    Scope(String),
    /// More scopes than a token can carry.
    #[error(
        "with those of the role these are too many scopes: a token carries {SCOPES_MAX}, of \
         {SCOPES_BYTES_MAX} bytes together"
    )]
    Scopes,
    /// A full name that cannot be one.
    #[error(
        "that is no full name: use 1 to {FULL_NAME_CHARS_MAX} characters, no control characters"
    )]
    FullName,
    /// They were changed by somebody else meanwhile.
    #[error("they were changed meanwhile; look again, and change what you then see")]
    Stale,
    /// Nobody would be left to manage the others.
    #[error("`{0}` is the last administrator; make somebody else one before")]
    LastAdministrator(String),
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Hash(#[from] HashError),
    /// The database.
    #[error("the database did not do it")]
    Database(#[from] DbError),
}

/// Somebody, by what is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By their id.
    Id(String),
    /// By their user name, to the letter.
    Name(String),
}

impl Who {
    /// The person.
    ///
    /// # Errors
    /// [`UserError::Unknown`], [`UserError::Database`].
    pub(crate) fn find(&self, sql: &Sql<'_>) -> Result<User, UserError> {
        let (by, value) = match self {
            Self::Id(id) => (By::Id, id),
            Self::Name(name) => (By::Username, name),
        };
        users::find(sql, by, value)?.ok_or_else(|| UserError::Unknown(value.clone()))
    }
}

/// What is to change of a person; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// The e-mail address, or that there is none. A new one is not known to be theirs, unless
    /// `is_verified` says so.
    pub email: Option<Option<String>>,
    /// What to call them, or that nothing is known.
    pub full_name: Option<Option<String>>,
    /// The tier; one of the configured ones.
    pub tier: Option<Tier>,
    /// The role; one of the configured ones, `user` or `admin`.
    pub role: Option<String>,
    /// Scopes beyond those of the role.
    pub scopes: Option<Vec<String>>,
    /// Whether they may come in.
    pub is_active: Option<bool>,
    /// Whether the address is known to be theirs.
    pub is_verified: Option<bool>,
}

impl UserChange {
    /// The person as they are to be.
    pub(super) fn of(self, before: &User) -> User {
        let spelled = |email: String| address_spelled(&email).into_owned();
        let email = self.email.map(|email| email.map(spelled));
        let email = email.unwrap_or_else(|| before.email.clone());
        let is_verified = self.is_verified.unwrap_or(before.is_verified && email == before.email);
        User {
            email,
            full_name: self.full_name.unwrap_or_else(|| before.full_name.clone()),
            tier: self.tier.unwrap_or_else(|| before.tier.clone()),
            role: self.role.unwrap_or_else(|| before.role.clone()),
            scopes: self.scopes.unwrap_or_else(|| before.scopes.clone()),
            is_active: self.is_active.unwrap_or(before.is_active),
            is_verified,
            ..before.clone()
        }
    }
}

/// What is wrong with a user name and an e-mail address, each for itself.
pub(crate) fn check_names(username: &str, email: Option<&str>) -> Vec<UserError> {
    // As it will be kept: a normal form may be longer than what it is made of.
    let username = spelled(username);
    let is_name = (1..=USERNAME_CHARS_MAX).contains(&username.chars().count());
    let no_name =
        (!is_name || !is_plain(&username)).then(|| UserError::Username(username.into_owned()));
    let no_address = email.and_then(|email| check_email(email).err());
    no_name.into_iter().chain(no_address).collect()
}

/// Checks that `email` looks like an address: more can only be known by writing to it.
///
/// # Errors
/// [`UserError::Email`].
pub(super) fn check_email(email: &str) -> Result<(), UserError> {
    let email = address_spelled(email);
    let fits = (3..=EMAIL_CHARS_MAX).contains(&email.chars().count());
    let sides = email.rsplit_once('@');
    let has_both = sides.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if fits && has_both && is_plain(&email) && !email.contains(char::is_whitespace) {
        return Ok(());
    }
    Err(UserError::Email(email.into_owned()))
}

/// Checks what somebody is to be called.
///
/// # Errors
/// [`UserError::FullName`].
pub(crate) fn check_full_name(name: &str) -> Result<(), UserError> {
    let fits = (1..=FULL_NAME_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(UserError::FullName) }
}

/// Whether `text` is something that can be shown and typed as it stands.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.trim() == text
}

/// Checks that `scopes` can be carried by a token (RFC 6749 §3.3).
pub(crate) fn check_scopes(scopes: &[String]) -> Result<(), UserError> {
    if let Some(scope) = scopes.iter().find(|scope| !is_scope(scope)) {
        return Err(UserError::Scope(scope.clone()));
    }
    if !scopes_fit(scopes.iter().map(String::as_str)) {
        return Err(UserError::Scopes);
    }
    Ok(())
}
