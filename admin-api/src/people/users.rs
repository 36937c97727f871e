//! What an operator does to people.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::claims::SCOPES_BYTES_MAX;
use kernel::claims::SCOPES_MAX;
use kernel::claims::is_scope;
use kernel::claims::scopes_fit;
use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use uuid::Uuid;

use super::desk::Desk;
use super::logout::end_everything;
use super::names::address_spelled;
use super::names::spelled;
use super::roles::USER;
use crate::passwords::HashError;
use crate::passwords::policy::Weakness;
use crate::prefix::Prefix;
use crate::store::fault::DbError;
use crate::store::revocations;
use crate::store::sessions::End;
use crate::store::sql::Room;
use crate::store::sql::Tx;
use crate::store::unlocks;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;

/// The longest user name, in characters.
pub const USERNAME_CHARS_MAX: usize = 50;

/// The longest e-mail address, in characters.
pub const EMAIL_CHARS_MAX: usize = 255;

/// The longest full name, in characters.
pub const FULL_NAME_CHARS_MAX: usize = 255;

/// The longest list of people that is given at one time.
pub const LIST_MAX: u32 = 1000;

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
    /// A full name that cannot be one.
    #[error(
        "that is no full name: use 1 to {FULL_NAME_CHARS_MAX} characters, no control characters"
    )]
    FullName,
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
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Hash(#[from] HashError),
    /// The database.
    #[error("the database did not do it")]
    Database(#[from] DbError),
}

/// The people of this Doorward.
///
/// What is done here is in force at every edge within a tenth of a second, in this process and
/// in any other that has the same database open.
#[derive(Clone)]
pub struct Users {
    pub(super) desk: Arc<Desk>,
    tiers: Arc<BTreeSet<Tier>>,
}

impl Users {
    pub(crate) fn new(desk: Arc<Desk>, tiers: impl IntoIterator<Item = Tier>) -> Self {
        Self { desk, tiers: Arc::new(tiers.into_iter().collect()) }
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`UserError`], naming the first field that does not fit.
    pub async fn create(&self, new: NewUser) -> Result<User, UserError> {
        self.admit(new, None).await
    }

    /// Adds a person who comes by themselves, from `from`; `None`: whom an operator brings.
    ///
    /// # Errors
    /// As [`Users::create`].
    pub(crate) async fn admit(
        &self,
        new: NewUser,
        from: Option<Prefix>,
    ) -> Result<User, UserError> {
        self.check(&new)?;
        let names = [new.username.as_str(), new.email.as_deref().unwrap_or_default()];
        let password = self.desk.passwords.policy().accept(&new.password, &names)?;
        let hash = self.desk.passwords.hash(password, from).await?;
        let now = self.desk.clock.now();
        let user = User {
            id: Uuid::now_v7().to_string(),
            username: spelled(&new.username).into_owned(),
            email: new.email.map(|email| address_spelled(&email).into_owned()),
            full_name: new.full_name,
            tier: new.tier,
            role: new.role,
            scopes: new.scopes,
            is_active: true,
            is_verified: false,
            epoch: 0,
            last_login: None,
            created_at: now,
        };
        self.desk
            .database
            .write(move |tx| {
                tx.alone_in(Room::Names)?;
                // A name that is another's address, or the other way about, would let one person
                // stand where the other signs in.
                for text in [Some(&user.username), user.email.as_ref()].into_iter().flatten() {
                    if users::is_taken(tx, text)? {
                        return Err(UserError::Taken(text.clone()));
                    }
                }
                users::insert(tx, &user, Some(&hash))?;
                Ok(user)
            })
            .await
    }

    /// The person called `username`.
    ///
    /// # Errors
    /// [`UserError::Database`].
    pub async fn by_username(&self, username: &str) -> Result<Option<User>, UserError> {
        let username = username.to_owned();
        Ok(self.desk.database.read(move |sql| users::find(sql, By::Username, &username)).await?)
    }

    /// People in order of name, after the name `after` (empty: from the first), at most `limit`
    /// and at most [`LIST_MAX`].
    ///
    /// # Errors
    /// [`UserError::Database`].
    pub async fn list(&self, after: &str, limit: u32) -> Result<Vec<User>, UserError> {
        let after = after.to_owned();
        let limit = limit.min(LIST_MAX);
        Ok(self.desk.database.read(move |sql| users::list(sql, &after, limit)).await?)
    }

    /// Whether there is nobody at all.
    ///
    /// # Errors
    /// [`UserError::Database`].
    pub async fn is_empty(&self) -> Result<bool, UserError> {
        Ok(self.desk.database.read(users::is_empty).await?)
    }

    /// Gives a person another tier, for the tokens they hold as well.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn set_tier(&self, username: &str, tier: Tier) -> Result<User, UserError> {
        self.check_tier(&tier)?;
        self.change(username, move |user| user.tier = tier).await
    }

    /// Keeps a person out: no sign-in, no refresh, and no token they hold is taken any more.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn disable(&self, username: &str) -> Result<User, UserError> {
        self.change(username, |user| user.is_active = false).await
    }

    /// Lets a person in again; they have to sign in anew.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn enable(&self, username: &str) -> Result<User, UserError> {
        self.change(username, |user| user.is_active = true).await
    }

    /// Lets a person try again who failed to sign in too often, wherever they are.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn unlock(&self, username: &str) -> Result<User, UserError> {
        let username = username.to_owned();
        let now = self.desk.clock.now();
        let act = move |tx: &Tx<'_>| {
            let user = users::find(tx, By::Username, &username)?;
            let user = user.ok_or(UserError::Unknown(username))?;
            unlocks::add(tx, &user.id, now)?;
            Ok(user)
        };
        self.desk.database.write(act).await
    }

    /// Changes a person and writes down what edges must know of it, in one transaction.
    async fn change(
        &self,
        username: &str,
        change: impl FnOnce(&mut User) + Send + 'static,
    ) -> Result<User, UserError> {
        let username = username.to_owned();
        let now = self.desk.clock.now();
        let until = self.desk.issuer.all_until(now);
        let act = move |tx: &Tx<'_>| {
            let Some(before) = users::find(tx, By::Username, &username)? else {
                return Err(UserError::Unknown(username));
            };
            let mut user = before.clone();
            change(&mut user);
            if user == before {
                return Ok((user, None));
            }
            if before.is_active && !user.is_active {
                end_everything(tx, &mut user, End::Disabled, now, until)?;
            }
            users::update(tx, &user, now)?;
            // The last act of the transaction: who has seen it has seen the others.
            let seq = record_override(tx, &user, now, until)?;
            Ok((user, Some(seq)))
        };
        let (user, seq) = self.desk.database.write(act).await?;
        self.desk.progress.reaches(seq).await;
        Ok(user)
    }

    /// Checks everything but the password.
    pub(super) fn check(&self, new: &NewUser) -> Result<(), UserError> {
        if let Some(error) = check_names(&new.username, new.email.as_deref()).into_iter().next() {
            return Err(error);
        }
        if let Some(name) = &new.full_name {
            check_full_name(name)?;
        }
        self.check_tier(&new.tier)?;
        if !self.desk.roles.names().any(|name| name == new.role) {
            return Err(UserError::Role {
                name: new.role.clone(),
                known: list_of(self.desk.roles.names()),
            });
        }
        check_scopes(&new.scopes)?;
        let allowed = self.desk.roles.allowed(&new.role, &new.scopes);
        if scopes_fit(allowed.into_iter()) { Ok(()) } else { Err(UserError::Scopes) }
    }

    /// Checks that `tier` is one of the configured ones.
    pub(crate) fn check_tier(&self, tier: &Tier) -> Result<(), UserError> {
        if self.tiers.contains(tier) {
            return Ok(());
        }
        Err(UserError::Tier {
            name: tier.clone(),
            known: list_of(self.tiers.iter().map(Tier::as_str)),
        })
    }
}

/// Says how `user` stands now. Scopes are left to the tokens, which may carry fewer than allowed.
pub(super) fn record_override(
    tx: &Tx<'_>,
    user: &User,
    now: Timestamp,
    until: Timestamp,
) -> Result<u64, DbError> {
    let entry = Entry::UserOverride {
        user_id: user.id.clone(),
        tier: Some(user.tier.clone()),
        scopes: None,
        active: user.is_active,
        until,
    };
    revocations::record(tx, &entry, now)
}

/// What is wrong with a user name and an e-mail address, each for itself.
pub(crate) fn check_names(username: &str, email: Option<&str>) -> Vec<UserError> {
    let plain = |text: &str| !text.chars().any(char::is_control) && text.trim() == text;
    let is_name = |name: &str| (1..=USERNAME_CHARS_MAX).contains(&name.chars().count());
    let is_address = |email: &str| {
        let fits = (3..=EMAIL_CHARS_MAX).contains(&email.chars().count());
        let sides = email.rsplit_once('@');
        let has_sides =
            sides.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        fits && has_sides && !email.contains(char::is_whitespace)
    };
    // As they will be kept: normal forms may be longer than what they are made of.
    let (username, email) = (spelled(username), email.map(address_spelled));
    let no_name = (!is_name(&username) || !plain(&username))
        .then(|| UserError::Username(username.into_owned()));
    let no_address = email
        .filter(|email| !is_address(email) || !plain(email))
        .map(|email| UserError::Email(email.into_owned()));
    no_name.into_iter().chain(no_address).collect()
}

/// Checks what somebody is to be called.
///
/// # Errors
/// [`UserError::FullName`].
pub(crate) fn check_full_name(name: &str) -> Result<(), UserError> {
    let fits = (1..=FULL_NAME_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(UserError::FullName) }
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

fn list_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
