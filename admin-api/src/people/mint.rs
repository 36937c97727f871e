//! An access token made by an operator, without a session.

use std::time::Duration;

use kernel::keys::KeyError;
use kernel::secret::Secret;
use kernel::tier::Tier;
use uuid::Uuid;

use super::desk::Desk;
use super::issue::Bearer;
use super::users::UserError;
use super::users::check_scopes;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::Identity;

/// The token an operator wants.
#[derive(Clone, Debug)]
pub struct Mint {
    /// Whose it is to be.
    pub username: String,
    /// The tier it is to name; `None`: the user's own.
    pub tier: Option<Tier>,
    /// The scopes it is to carry; `None`: all that the user is allowed.
    pub scopes: Option<Vec<String>>,
    /// How long it is to live: a second at least, `auth.lifetime_max` at most.
    pub ttl: Duration,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The user, or the scopes.
    #[error(transparent)]
    User(#[from] UserError),
    /// The user may not come in.
    #[error("`{0}` is disabled, so the token would be refused")]
    Disabled(String),
    /// No verifier would take it.
    #[error("a token cannot live for {}s; use 1s to {}s", ttl.as_secs(), longest.as_secs())]
    Ttl {
        /// What was asked for.
        ttl: Duration,
        /// The longest that is taken.
        longest: Duration,
    },
    /// The key cannot sign.
    #[error("the token could not be signed")]
    Key(#[from] KeyError),
}

impl Desk {
    /// Makes an access token without a session: nobody can refresh it, and it is revoked alone or
    /// with all of its user's.
    ///
    /// # Errors
    /// [`MintError`].
    pub(crate) async fn mint(&self, mint: Mint) -> Result<Secret, MintError> {
        let longest = self.issuer.profile().lifetime_max;
        if mint.ttl < Duration::from_secs(1) || mint.ttl > longest {
            return Err(MintError::Ttl { ttl: mint.ttl, longest });
        }
        if let Some(scopes) = &mint.scopes {
            check_scopes(scopes)?;
        }
        let username = mint.username.clone();
        let found = self
            .database
            .read(move |sql| users::find(sql, By::Username, &username))
            .await
            .map_err(UserError::from)?;
        let user = found.ok_or_else(|| UserError::Unknown(mint.username.clone()))?;
        if !user.is_active {
            return Err(MintError::Disabled(mint.username));
        }
        let user = Identity::from(user);
        let scopes = mint.scopes.unwrap_or_else(|| self.roles.grant(&user, None));
        let bearer = Bearer {
            tier: mint.tier.as_ref().unwrap_or(&user.tier),
            user: &user,
            scopes,
            session: &Uuid::now_v7().to_string(),
        };
        Ok(self.issuer.access(bearer, mint.ttl, self.clock.now())?)
    }
}
