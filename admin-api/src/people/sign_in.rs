//! Signing in with a password.

use kernel::secret::Secret;
use std::sync::Arc;

use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::desk::OutOfOrder;
use super::issue::Pair;
use super::names::address_spelled;
use super::throttle::Attempt;
use super::throttle::Throttled;
use crate::passwords::Verdict;
use crate::prefix::Prefix;
use crate::store::fault::DbError;
use crate::store::sessions;
use crate::store::sessions::Session;
use crate::store::sql::Sql;
use crate::store::sql::Tx;
use crate::store::unlocks;
use crate::store::users;
use crate::store::users::Credentials;
use crate::store::users::Identity;

/// What somebody says at the desk.
pub(crate) struct SignIn {
    /// A user name or an e-mail address.
    pub(crate) name: String,
    pub(crate) password: Secret,
    /// `None`: all that is allowed.
    pub(crate) scopes: Option<Vec<String>>,
    /// Where they say it from.
    pub(crate) from: Prefix,
    /// What their device has to show for itself.
    pub(crate) device: Option<Secret>,
}

/// What somebody gets who is signed in.
pub(crate) struct SignedIn {
    pub(crate) pair: Pair,
    /// What their device is to show next time.
    pub(crate) device: Secret,
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// Unknown, wrong, or inactive: nobody is told which.
    #[error("no such user, a wrong password, or a user who is not active")]
    Incorrect,
    /// The password was right, and is another by now.
    #[error("a password that was changed meanwhile")]
    Changed,
    /// Too many attempts, whether or not there is such a user.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for SignInError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl Desk {
    /// Signs somebody in: a new session and its tokens.
    ///
    /// Unknown people, wrong passwords and inactive users get one answer for one amount of work:
    /// one look-up, and one check of each kind of hash there is. Attempts are counted before.
    ///
    /// # Errors
    /// [`SignInError`].
    pub(crate) async fn sign_in(
        &self,
        said: SignIn,
        origin: Origin,
    ) -> Result<SignedIn, SignInError> {
        let now = self.clock.now();
        let name = said.name.clone();
        let (found, unlocks) = self.database.read(move |sql| look_up(sql, &name)).await?;
        let device = match (&said.device, &found) {
            (Some(proof), Some(found)) => {
                self.devices.known(proof.expose(), &found.user.id, now).map(str::to_owned)
            }
            _ => None,
        };
        let account = address_spelled(&said.name);
        let attempt =
            Attempt { account: &account, unlocks, from: said.from, device: device.as_deref() };
        let counted = self.throttle.sign_in(attempt, now).await?;
        let mut opened = self.check_and_open(&said, found, origin.clone()).await;
        if matches!(opened, Err(SignInError::Changed)) {
            // Two sign-ins at once of somebody whose hash was another system's: the first one
            // replaced it while the second was being checked.
            let name = said.name.clone();
            let (found, _) = self.database.read(move |sql| look_up(sql, &name)).await?;
            opened = self.check_and_open(&said, found, origin).await;
        }
        match opened {
            Ok((user, session)) => {
                self.throttle.forgive(counted, now).await;
                let pair = self.pair_of(&user, &session)?;
                let device = self.devices.proof(&user.id, device.as_deref(), now);
                tracing::info!(
                    user.id = %user.id, session.id = %session.id, "{} signed in", user.username
                );
                Ok(SignedIn { pair, device })
            }
            Err(error) => {
                if matches!(error, SignInError::OutOfOrder(_)) {
                    // Through no fault of whoever tried.
                    self.throttle.forgive(counted, now).await;
                }
                Err(error)
            }
        }
    }

    async fn check_and_open(
        &self,
        said: &SignIn,
        found: Option<Credentials>,
        origin: Origin,
    ) -> Result<(Identity, Session), SignInError> {
        // Of somebody inactive no password is right: opening a session takes longer than refusing.
        let stored = found.filter(|found| found.user.is_active).and_then(|found| found.hash);
        let verdict = self.passwords.check(said.password.clone(), stored.clone(), said.from).await;
        let rehashed = match verdict.map_err(OutOfOrder::from)? {
            Verdict::Right { rehashed } => rehashed,
            Verdict::Wrong => {
                let claimed = Actor { id: String::new(), name: said.name.clone() };
                self.notes.add(origin.did(Deed::SignInFailed, Some(claimed), self.clock.now()));
                return Err(SignInError::Incorrect);
            }
        };
        let scopes = said.scopes.clone();
        self.open_session(said.name.clone(), stored, rehashed, scopes, origin).await
    }

    /// The tokens of a session that has just begun.
    ///
    /// # Errors
    /// [`OutOfOrder::Key`].
    pub(super) fn pair_of(&self, user: &Identity, session: &Session) -> Result<Pair, OutOfOrder> {
        let scopes = self.roles.grant(user, session.asked_scopes.as_deref());
        Ok(self.issuer.pair(user, scopes, session, session.created_at)?)
    }

    async fn open_session(
        &self,
        name: String,
        stored: Option<Secret>,
        rehashed: Option<Secret>,
        asked_scopes: Option<Vec<String>>,
        origin: Origin,
    ) -> Result<(Identity, Session), SignInError> {
        let now = self.clock.now();
        let issuer = Arc::clone(&self.issuer);
        self.database
            .write(move |tx: &Tx<'_>| {
                // Read anew: hashing takes long enough for an administrator to come between.
                let user = match look_up(tx, &name)?.0.filter(|found| found.user.is_active) {
                    Some(found) if found.hash == stored => Identity::from(found.user),
                    Some(_) => return Err(SignInError::Changed),
                    None => return Err(SignInError::Incorrect),
                };
                let origin = origin.by(&user);
                // Of the user as it stands here.
                let session = issuer.begin(&user, asked_scopes, &origin, now);
                sessions::insert(tx, &session)?;
                users::signed_in(tx, &user.id, rehashed.as_ref(), now)?;
                note(tx, &origin, Deed::SignedIn, Actor::from(&user), None, now)?;
                Ok((user, session))
            })
            .await
    }
}

/// Whoever signs in as `name`, as it was typed or else in its one spelling, and how often they were
/// unlocked. What is asked of the database depends on what was typed alone.
fn look_up(sql: &Sql<'_>, name: &str) -> Result<(Option<Credentials>, u64), DbError> {
    let exact = users::credentials(sql, name)?;
    let spelled = address_spelled(name);
    let found = if spelled == name {
        exact
    } else {
        let other = users::credentials(sql, &spelled)?;
        exact.or(other)
    };
    let id = found.as_ref().map_or("", |found| &found.user.id);
    let unlocks = unlocks::times(sql, id)?;
    Ok((found, unlocks))
}
