//! Signing in with a password.

use std::sync::Arc;

use kernel::secret::Secret;

use super::desk::Desk;
use super::desk::OutOfOrder;
use super::issue::Pair;
use crate::passwords::Verdict;
use crate::prefix::Prefix;
use crate::store::fault::DbError;
use crate::store::sessions;
use crate::store::sessions::Session;
use crate::store::sql::Tx;
use crate::store::users;
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
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// Unknown, wrong, or inactive: nobody is told which.
    #[error("no such user, a wrong password, or a user who is not active")]
    Incorrect,
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
    /// one look-up, and one check of each kind of hash there is.
    ///
    /// # Errors
    /// [`SignInError`].
    pub(crate) async fn sign_in(&self, said: SignIn) -> Result<Pair, SignInError> {
        let name = said.name.clone();
        let found = self.database.read(move |sql| users::credentials(sql, &name)).await?;
        // Of somebody inactive no password is right: opening a session takes longer than refusing.
        let stored = found.filter(|found| found.user.is_active).and_then(|found| found.hash);
        let verdict = self.passwords.check(said.password, stored.clone(), said.from).await;
        let rehashed = match verdict.map_err(OutOfOrder::from)? {
            Verdict::Right { rehashed } => rehashed,
            Verdict::Wrong => return Err(SignInError::Incorrect),
        };
        let (user, session) = self.open_session(said.name, stored, rehashed, said.scopes).await?;
        let scopes = self.roles.grant(&user, session.asked_scopes.as_deref());
        let pair = self
            .issuer
            .pair(&user, scopes, &session, session.created_at)
            .map_err(OutOfOrder::from)?;
        tracing::info!(user.id = %user.id, session.id = %session.id, "{} signed in", user.username);
        Ok(pair)
    }

    async fn open_session(
        &self,
        name: String,
        stored: Option<Secret>,
        rehashed: Option<Secret>,
        asked_scopes: Option<Vec<String>>,
    ) -> Result<(Identity, Session), SignInError> {
        let now = self.clock.now();
        let begin = {
            // The session is made inside the transaction, of the user as it stands there.
            let issuer = Arc::clone(&self.issuer);
            move |user: &Identity| issuer.begin(user, asked_scopes, now)
        };
        self.database
            .write(move |tx: &Tx<'_>| {
                // Read anew: hashing takes long enough for an administrator to come between.
                let user = match users::credentials(tx, &name)? {
                    Some(found) if found.user.is_active && found.hash == stored => {
                        Identity::from(found.user)
                    }
                    _ => return Err(SignInError::Incorrect),
                };
                let session = begin(&user);
                sessions::insert(tx, &session)?;
                users::signed_in(tx, &user.id, rehashed.as_ref(), now)?;
                Ok((user, session))
            })
            .await
    }
}
