//! One's own password: changed by who knows it, or set anew by who reads one's mail.

use kernel::secret::Secret;
use kernel::time::Timestamp;
use std::sync::Arc;

use super::asker::Asker;
use super::asker::AskerError;
use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::desk::OutOfOrder;
use super::logout::end_everything;
use super::names::address_spelled;
use super::post::Errand;
use super::post::PostFull;
use super::sign_in::SignedIn;
use super::throttle::Throttled;
use crate::passwords::HashError;
use crate::passwords::Verdict;
use crate::passwords::policy::Weakness;
use crate::prefix::Prefix;
use crate::store::fault::DbError;
use crate::store::mailed_tokens;
use crate::store::mailed_tokens::Purpose;
use crate::store::oauth_accounts;
use crate::store::sessions;
use crate::store::sessions::End;
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
    #[error(transparent)]
    Throttled(#[from] Throttled),
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
        let policy = self.passwords.policy();
        let new = policy.accept(&change.new, &user.username, user.email.as_deref())?;
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
        let expires_at_s = claims.expires_at_s;
        let session = claims.session.as_deref().map(str::to_owned);
        let scopes = claims.scopes.iter().map(ToString::to_string).collect();
        let issuer = Arc::clone(&self.issuer);
        let until = issuer.all_until(now);
        let known = change.device.as_ref();
        let known = known.and_then(|proof| self.devices.known(proof.expose(), &user.id, now));
        let device = self.devices.proof(&user.id, known, now);
        let act = move |tx: &Tx<'_>| {
            let is_still = |user: &mut User| Ok(users::hash_of(tx, &user.id)? == stored);
            let origin = origin.by(&user);
            let noted = (&origin, Deed::PasswordChanged);
            let done = set(tx, &user.id, &hashed, is_still, (now, until), noted)?;
            let (user, seq) = done.ok_or(PasswordError::Incorrect)?;
            let asked = asked_scopes(tx, session.as_deref(), scopes)?;
            let user = Identity::from(user);
            let session = issuer.begin(&user, asked, &origin, now);
            sessions::insert(tx, &session)?;
            Ok::<_, PasswordError>(((user, session), Some(seq)))
        };
        let (user, session) = self.write_seen(act).await?;
        self.tell_old_service(&change.access, expires_at_s);
        let pair = self.pair_of(&user, &session)?;
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
        let post = self.post.as_ref().filter(|post| post.is_for(Purpose::ResetPassword));
        let post = post.ok_or(PasswordError::NoPost)?;
        // Not forgiven: each of these is a mail to somebody, asked for by anybody.
        let _counted = self.throttle.stranger(from, now).await?;
        let address = address_spelled(address);
        match self.throttle.mail(&address, now).await {
            Ok(_counted) => Ok(post.take(Errand::ResetPassword { address: address.into_owned() })?),
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
        let done = self.reset(token, new, from, origin).await;
        if !matches!(done, Err(PasswordError::Token)) {
            // What is counted are tokens that do not hold, and nothing that comes after.
            self.throttle.forgive(counted, now).await;
        }
        done
    }

    async fn reset(
        &self,
        token: &Secret,
        new: &Secret,
        from: Prefix,
        origin: Origin,
    ) -> Result<(), PasswordError> {
        let now = self.clock.now();
        let token_hash = hashed(token);
        let looked_up = token_hash.clone();
        let found = self.database.read(move |sql| {
            let found = mailed_tokens::find(sql, Purpose::ResetPassword, &looked_up)?;
            let Some(mailed) = found else { return Ok(None) };
            let user = users::find(sql, By::Id, &mailed.user_id)?;
            Ok(user.filter(|user| mailed.is_good_for(user, now)))
        });
        let user = found.await?.ok_or(PasswordError::Token)?;
        let policy = self.passwords.policy();
        let new = policy.accept(new, &user.username, user.email.as_deref())?;
        let hashed = self.passwords.hash(new, Some(from)).await?;
        let until = self.issuer.all_until(now);
        let act = move |tx: &Tx<'_>| {
            let redeem = |user: &mut User| {
                let mailed = mailed_tokens::find(tx, Purpose::ResetPassword, &token_hash)?;
                if !mailed.is_some_and(|mailed| mailed.is_good_for(user, now)) {
                    return Ok(false);
                }
                if !user.is_verified {
                    // Nobody knew whose the address was: whoever had the account till now may have
                    // linked accounts of their own, to come back by.
                    for account in oauth_accounts::of_user(tx, &user.id)? {
                        oauth_accounts::delete(tx, &account, now)?;
                    }
                }
                // Whoever reads the mail has the address, and may have failed to sign in often.
                user.is_verified = true;
                unlocks::add(tx, &user.id, now)?;
                Ok(true)
            };
            let noted = (&origin.by(&user), Deed::PasswordReset);
            let done = set(tx, &user.id, &hashed, redeem, (now, until), noted)?;
            let (user, seq) = done.ok_or(PasswordError::Token)?;
            Ok::<_, PasswordError>((user, Some(seq)))
        };
        let user = self.write_seen(act).await?;
        tracing::info!(user.id = %user.id, "{} set a new password by mail", user.username);
        Ok(())
    }
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

/// Sets a password, if `allows` says so of the user as they stand: ends all sessions, and refuses
/// all tokens. Gives the user and the number of the revocation; `None` where it does not.
fn set(
    tx: &Tx<'_>,
    user_id: &str,
    hashed: &Secret,
    allows: impl FnOnce(&mut User) -> Result<bool, DbError>,
    (now, until): (Timestamp, Timestamp),
    (origin, deed): (&Origin, Deed),
) -> Result<Option<(User, u64)>, DbError> {
    let Some(mut user) = users::find(tx, By::Id, user_id)?.filter(|user| user.is_active) else {
        return Ok(None);
    };
    if !allows(&mut user)? {
        return Ok(None);
    }
    users::set_password(tx, user_id, hashed, now)?;
    mailed_tokens::forget_of(tx, Purpose::ResetPassword, user_id)?;
    note(tx, origin, deed, Actor::from(&user), None, now)?;
    let seq = end_everything(tx, &mut user, End::Password, now, until)?;
    Ok(Some((user, seq)))
}
