//! One's own password: changed by who knows it, or set anew by who reads one's mail.

use std::sync::Arc;
use std::time::Duration;

use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::time::Timestamp;

use super::asker::Asker;
use super::asker::AskerError;
use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::desk::OutOfOrder;
use super::names::address_spelled;
use super::post::PostFull;
use super::sign_in::SignedIn;
use super::throttle::Throttled;
use crate::passwords::HashError;
use crate::passwords::Verdict;
use crate::passwords::policy::Weakness;
use crate::prefix::Prefix;
use crate::store::fault::DbError;
use crate::store::oauth_accounts;
use crate::store::password_resets;
use crate::store::password_resets::Reset;
use crate::store::revocations;
use crate::store::sessions;
use crate::store::sessions::End;
use crate::store::sessions::Session;
use crate::store::sql::Tx;
use crate::store::unlocks;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::Identity;
use crate::store::users::User;
use crate::store::values::hashed;

/// Why a password is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Whoever asks is not known.
    #[error(transparent)]
    Asker(#[from] AskerError),
    /// The new one cannot be set.
    #[error(transparent)]
    Weak(#[from] Weakness),
    /// The present one is another.
    #[error("not the present password")]
    Incorrect,
    /// A token that is not ours, was used, has expired, or is of an address that is theirs no more.
    #[error("a reset token that does not hold")]
    Token,
    /// Too many attempts.
    #[error("too many attempts")]
    Throttled(Duration),
    /// Nothing can be mailed.
    #[error("no mail is configured, or no address for links")]
    NoPost,
    /// Too many are waiting for their mail.
    #[error(transparent)]
    PostFull(#[from] PostFull),
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for PasswordError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl From<HashError> for PasswordError {
    fn from(error: HashError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl From<Throttled> for PasswordError {
    fn from(throttled: Throttled) -> Self {
        match throttled {
            Throttled::For(wait) => Self::Throttled(wait),
            Throttled::Uncounted(error) => Self::OutOfOrder(error.into()),
        }
    }
}

/// Who wants which password instead of which.
pub(crate) struct Change {
    pub(crate) access: Secret,
    pub(crate) current: Secret,
    pub(crate) new: Secret,
    pub(crate) from: Prefix,
    /// What the device has to show for itself.
    pub(crate) device: Option<Secret>,
}

impl Desk {
    /// Changes the password of whoever shows an access token and knows the present one: all
    /// sessions end, and a new one begins with the scopes of the one at hand.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub(crate) async fn change_password(
        &self,
        change: Change,
        origin: Origin,
    ) -> Result<SignedIn, PasswordError> {
        let now = self.clock.now();
        let Asker { user, token } = self.asker(&change.access).await?;
        let new = self.passwords.policy().accept(&change.new, &names_of(&user))?;
        let counted = self.throttle.change(&user.id, now).await?;
        let id = user.id.clone();
        let stored = self.database.read(move |sql| users::hash_of(sql, &id)).await?;
        let verdict = self.passwords.check(change.current, stored.clone(), change.from).await;
        let hashed = match verdict {
            Ok(Verdict::Wrong) => {
                let owner = Actor::from(&user);
                self.notes.add(origin.by(&user).did(Deed::PasswordChangeFailed, Some(owner), now));
                return Err(PasswordError::Incorrect);
            }
            Ok(Verdict::Right { .. }) => self.passwords.hash(new, Some(change.from)).await,
            Err(error) => Err(error),
        };
        self.throttle.forgive(counted, now).await;
        let hashed = hashed?;
        let claims = token.claims();
        let session = claims.session.as_deref().map(str::to_owned);
        let scopes = claims.scopes.iter().map(ToString::to_string).collect();
        let issuer = Arc::clone(&self.issuer);
        let until = issuer.all_until(now);
        let known = change.device.as_ref();
        let known = known.and_then(|proof| self.devices.known(proof.expose(), &user.id, now));
        let device = self.devices.proof(&user.id, known, now);
        let act = move |tx: &Tx<'_>| {
            let begin = |user: &User| {
                let asked = asked_scopes(tx, session.as_deref(), scopes)?;
                Ok(Some(issuer.begin(&Identity::from(user.clone()), asked, now)))
            };
            let is_still = |_: &User| Ok(users::hash_of(tx, &user.id)? == stored);
            let noted = (&origin.by(&user), Deed::PasswordChanged);
            set(tx, &user.id, &hashed, is_still, begin, (now, until), noted)
        };
        let Some((user, session, seq)) = self.database.write(act).await? else {
            return Err(PasswordError::Incorrect);
        };
        self.progress.reaches(Some(seq)).await;
        let session = session.expect("`begin` above gives one");
        let pair = self.pair_of(&Identity::from(user.clone()), &session)?;
        tracing::info!(user.id = %user.id, "{} changed the password", user.username);
        Ok(SignedIn { pair, device })
    }

    /// Has a token mailed to whoever has `address`. Nobody learns whether anybody has.
    ///
    /// # Errors
    /// [`PasswordError`], none of which depends on `address`.
    pub(crate) async fn mail_reset(
        &self,
        address: &str,
        from: Prefix,
    ) -> Result<(), PasswordError> {
        let now = self.clock.now();
        let post = self.post.as_ref().ok_or(PasswordError::NoPost)?;
        // Not forgiven: each of these is a mail to somebody, asked for by anybody.
        let _counted = self.throttle.stranger(from, now).await?;
        let address = address_spelled(address);
        match self.throttle.mail(&address, now).await {
            Ok(_counted) => Ok(post.reset(&address)?),
            Err(Throttled::For(_)) => Ok(()),
            Err(error @ Throttled::Uncounted(_)) => Err(error.into()),
        }
    }

    /// Sets a new password by a mailed token: all sessions end, and the address is known to be
    /// theirs.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub(crate) async fn reset_password(
        &self,
        token: &Secret,
        new: &Secret,
        from: Prefix,
        origin: Origin,
    ) -> Result<(), PasswordError> {
        let now = self.clock.now();
        let counted = self.throttle.stranger(from, now).await?;
        let token_hash = hashed(token);
        let looked_up = token_hash.clone();
        let found = self.database.read(move |sql| {
            let Some(reset) = password_resets::find(sql, &looked_up)? else { return Ok(None) };
            let user = users::find(sql, By::Id, &reset.user_id)?;
            Ok(user.filter(|user| holds(&reset, user, now)))
        });
        let user = found.await?.ok_or(PasswordError::Token)?;
        let new = self.passwords.policy().accept(new, &names_of(&user))?;
        let hashed = self.passwords.hash(new, Some(from)).await?;
        let until = self.issuer.all_until(now);
        let act = move |tx: &Tx<'_>| {
            let is_still = |user: &User| {
                let reset = password_resets::find(tx, &token_hash)?;
                Ok(reset.is_some_and(|reset| holds(&reset, user, now)))
            };
            let noted = (&origin.by(&user), Deed::PasswordReset);
            set(tx, &user.id, &hashed, is_still, |_| Ok(None), (now, until), noted)
        };
        let (user, _, seq) = self.database.write(act).await?.ok_or(PasswordError::Token)?;
        self.progress.reaches(Some(seq)).await;
        self.throttle.forgive(counted, now).await;
        tracing::info!(user.id = %user.id, "{} set a new password by mail", user.username);
        Ok(())
    }
}

fn names_of(user: &User) -> [&str; 2] {
    [&user.username, user.email.as_deref().unwrap_or_default()]
}

fn holds(reset: &Reset, user: &User, now: Timestamp) -> bool {
    let is_theirs = user.email.as_deref() == Some(&reset.email);
    reset.user_id == user.id && user.is_active && is_theirs && now < reset.expires_at
}

/// The scopes that a session was begun with; those of a token that has no session.
fn asked_scopes(
    tx: &Tx<'_>,
    session: Option<&str>,
    of_token: Vec<String>,
) -> Result<Option<Vec<String>>, DbError> {
    let found = match session {
        Some(id) => sessions::find(tx, id)?,
        None => None,
    };
    Ok(found.map_or(Some(of_token), |session| session.asked_scopes))
}

/// Sets a password, if all is still as it was: ends all sessions, refuses all tokens, and begins
/// the session that `begin` gives. `None` where it is not.
fn set(
    tx: &Tx<'_>,
    user_id: &str,
    hashed: &Secret,
    is_still: impl FnOnce(&User) -> Result<bool, DbError>,
    begin: impl FnOnce(&User) -> Result<Option<Session>, DbError>,
    (now, until): (Timestamp, Timestamp),
    (origin, deed): (&Origin, Deed),
) -> Result<Option<(User, Option<Session>, u64)>, DbError> {
    let Some(mut user) = users::find(tx, By::Id, user_id)?.filter(|user| user.is_active) else {
        return Ok(None);
    };
    if !is_still(&user)? {
        return Ok(None);
    }
    user.epoch += 1;
    users::set_password(tx, user_id, hashed, now)?;
    users::update(tx, &user, now)?;
    sessions::end_all(tx, user_id, End::Password, now)?;
    let session = begin(&user)?;
    match &session {
        Some(session) => sessions::insert(tx, session)?,
        // By mail: whoever reads it has the address, and may have failed to sign in often.
        None => {
            if !user.is_verified {
                // Nobody knew whose the address was: whoever had the account till now may have
                // linked accounts of their own, to come back by.
                oauth_accounts::delete_all(tx, user_id)?;
            }
            users::verify(tx, user_id, now)?;
            unlocks::add(tx, user_id, now)?;
        }
    }
    password_resets::forget_of(tx, user_id)?;
    note(tx, origin, deed, Actor::from(&user), None, now)?;
    let entry = Entry::UserEpoch { user_id: user.id.clone(), min_epoch: user.epoch, until };
    let seq = revocations::record(tx, &entry, now)?;
    Ok(Some((user, session, seq)))
}
