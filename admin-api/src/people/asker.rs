//! Who is asking, where only they may.

use kernel::secret::Secret;
use kernel::token::TokenError;
use kernel::token::VerifiedToken;

use super::desk::Desk;
use super::desk::OutOfOrder;
use super::standing::Standing;
use crate::store::fault::DbError;
use crate::store::users::User;

/// Somebody who has shown an access token that holds.
pub(crate) struct Asker {
    pub(crate) user: User,
    pub(crate) token: VerifiedToken,
}

/// Why an access token does not tell who is asking.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskerError {
    /// It is not ours, or does not hold yet.
    #[error("no access token of ours that holds")]
    Token,
    /// It has expired.
    #[error("an expired access token")]
    Expired,
    /// It was revoked, or its session, or its user may not come in.
    #[error("a revoked access token")]
    Revoked,
    /// Its user is not there any more.
    #[error("the token's user is gone")]
    Gone,
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

impl From<DbError> for AskerError {
    fn from(error: DbError) -> Self {
        Self::OutOfOrder(error.into())
    }
}

impl Desk {
    /// Whether `asker` may do what `scope` is for: it is in the token, and still allowed to its
    /// owner.
    pub(crate) fn holds(&self, asker: &Asker, scope: &str) -> bool {
        let allowed = self.roles.allowed(&asker.user.role, &asker.user.scopes).contains(scope);
        allowed && asker.token.claims().scopes.iter().any(|held| **held == *scope)
    }

    /// Who shows `access`: in force, not revoked, of a user who may come in.
    ///
    /// # Errors
    /// [`AskerError`].
    pub(crate) async fn asker(&self, access: &Secret) -> Result<Asker, AskerError> {
        let token = self.issuer.read_access(access).map_err(|_| AskerError::Token)?;
        let in_force = token.check_in_force(self.issuer.profile(), self.clock.now());
        in_force.map_err(|error| match error {
            TokenError::Expired => AskerError::Expired,
            _ => AskerError::Token,
        })?;
        let (standing, is_revoked, token) = self
            .database
            .read(move |sql| {
                let standing = Standing::of(sql, &token)?;
                let is_revoked = standing.is_revoked(&token);
                Ok((standing, is_revoked, token))
            })
            .await?;
        match standing.user {
            _ if is_revoked => Err(AskerError::Revoked),
            None => Err(AskerError::Gone),
            Some(_) if self.is_revoked_beside(access).await => Err(AskerError::Revoked),
            Some(user) => Ok(Asker { user, token }),
        }
    }
}
