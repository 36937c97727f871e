//! Whose an e-mail address is: theirs who read what is mailed to it.

use kernel::secret::Secret;

use super::asker::AskerError;
use super::audit::Actor;
use super::audit::Deed;
use super::audit::Origin;
use super::audit::note;
use super::desk::Desk;
use super::desk::OutOfOrder;
use super::post::Errand;
use super::post::Post;
use super::post::PostFull;
use super::throttle::Throttled;
use crate::prefix::Prefix;
use crate::store::fault::DbError;
use crate::store::mailed_tokens;
use crate::store::mailed_tokens::Purpose;
use crate::store::sql::Tx;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;
use crate::store::values::hashed;

/// Why an address is not verified, or no mail is on its way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmailError {
    /// Whoever asks is not known.
    #[error(transparent)]
    Asker(#[from] AskerError),
    /// A token that is not ours, was used, has expired, or is of an address that is theirs no more.
    #[error("a verification token that does not hold")]
    Token,
    /// Too many mails, or tokens that do not hold.
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

impl From<DbError> for EmailError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl Desk {
    /// Has a token mailed to the address of whoever shows an access token, unless it is known to
    /// be theirs, or they have none.
    ///
    /// # Errors
    /// [`EmailError`], but [`EmailError::Token`].
    pub(crate) async fn mail_verification(
        &self,
        access: &Secret,
        from: Prefix,
    ) -> Result<(), EmailError> {
        let user = self.asker(access).await?.user;
        let post = self.verifying_post().ok_or(EmailError::NoPost)?;
        // Not forgiven: each of these is a mail to an address that may be anybody's.
        let _counted = self.throttle.stranger(from, self.clock.now()).await?;
        self.mail_verification_by(post, &user).await
    }

    /// The same for somebody who has just registered, where that can be: whatever becomes of it,
    /// they are registered.
    pub(crate) async fn mail_first_verification(&self, user: &User) {
        let Some(post) = self.verifying_post() else { return };
        if let Err(error) = self.mail_verification_by(post, user).await {
            tracing::warn!(user.id = %user.id, "an address stays unverified for now: {error}");
        }
    }

    fn verifying_post(&self) -> Option<&Post> {
        self.post.as_ref().filter(|post| post.is_for(Purpose::VerifyEmail))
    }

    async fn mail_verification_by(&self, post: &Post, user: &User) -> Result<(), EmailError> {
        let Some(address) = user.email.as_ref().filter(|_| !user.is_verified) else {
            return Ok(());
        };
        let _counted = self.throttle.mail(address, self.clock.now()).await?;
        Ok(post.take(Errand::VerifyEmail { user_id: user.id.clone() })?)
    }

    /// Takes the address of whoever shows an access token for verified, by a token that was mailed
    /// to it.
    ///
    /// Neither is enough: somebody may have registered with another's address, whose owner must not
    /// confirm that account by opening a link that they did not ask for.
    ///
    /// # Errors
    /// [`EmailError`].
    pub(crate) async fn verify_email(
        &self,
        access: &Secret,
        token: &Secret,
        from: Prefix,
        origin: Origin,
    ) -> Result<(), EmailError> {
        let now = self.clock.now();
        let user = self.asker(access).await?.user;
        let counted = self.throttle.stranger(from, now).await?;
        let done = self.redeem_verification(user.id, token, origin).await;
        if !matches!(done, Err(EmailError::Token)) {
            // What is counted are tokens that do not hold.
            self.throttle.forgive(counted, now).await;
        }
        done
    }

    async fn redeem_verification(
        &self,
        user_id: String,
        token: &Secret,
        origin: Origin,
    ) -> Result<(), EmailError> {
        let now = self.clock.now();
        let purpose = Purpose::VerifyEmail;
        let token_hash = hashed(token);
        let act = move |tx: &Tx<'_>| {
            // Held first, as everywhere: the person before other rows.
            let user = users::find(tx, By::Id, &user_id)?;
            let mailed = mailed_tokens::find(tx, purpose, &token_hash)?;
            let (Some(mut user), Some(mailed)) = (user, mailed) else {
                return Err(EmailError::Token);
            };
            if !mailed.is_good_for(&user, now) {
                return Err(EmailError::Token);
            }
            user.is_verified = true;
            users::update(tx, &mut user, now)?;
            mailed_tokens::forget_of(tx, purpose, &user.id)?;
            note(tx, &origin.by(&user), Deed::EmailVerified, Actor::from(&user), None, now)?;
            Ok(user)
        };
        let user = self.database.write(act).await?;
        tracing::info!(user.id = %user.id, "{} verified the address by mail", user.username);
        Ok(())
    }
}
