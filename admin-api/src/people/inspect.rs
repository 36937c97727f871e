//! What a token is worth here and now, for those who may ask.

use kernel::claims::RefreshClaims;
use kernel::secret::Secret;
use kernel::token::TokenError;
use kernel::token::VerifiedToken;
use kernel::token::said_by;
use serde_json::Value;

use super::desk::Desk;
use super::standing::Standing;
use crate::store::fault::DbError;
use crate::store::sessions;
use crate::store::sql::Sql;
use crate::store::users;
use crate::store::users::By;
use crate::store::users::User;

/// What we make of a token.
pub(crate) enum Look {
    /// An access token of ours, and its owner, or why it is not in force.
    Access(Box<VerifiedToken>, Result<Box<User>, NotInForce>),
    /// A refresh token of ours; the same.
    Refresh(RefreshClaims, Option<NotInForce>),
    /// None that we can vouch for.
    Other(TokenError),
}

/// Why a token of ours is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotInForce {
    #[error("it is not in force: {0}")]
    Time(TokenError),
    #[error("it was revoked, or its session or user may not come in")]
    Revoked,
    #[error("its user is gone")]
    Gone,
    #[error("another one was issued in its place, or its session is over")]
    Spent,
}

/// A token, laid open for an operator; nothing in it is a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// What it is.
    pub kind: &'static str,
    /// Whether it is taken here and now.
    pub is_in_force: bool,
    /// Why, in words.
    pub standing: String,
    /// Its header, as it says.
    pub header: Value,
    /// Its claims, as it says.
    pub claims: Value,
}

impl Desk {
    /// Looks at a token.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn look_at(&self, token: &Secret) -> Result<Look, DbError> {
        let now = self.clock.now();
        if let Ok(claims) = self.issuer.read_refresh(token, now) {
            let shown = claims.clone();
            let fault = self.database.read(move |sql| fault_of_refresh(sql, &shown)).await?;
            return Ok(Look::Refresh(claims, fault));
        }
        let shown = token;
        let token = match self.issuer.read_access(shown) {
            Ok(token) => token,
            Err(error) => return Ok(Look::Other(error)),
        };
        if let Err(error) = token.check_in_force(self.issuer.profile(), now) {
            return Ok(Look::Access(Box::new(token), Err(NotInForce::Time(error))));
        }
        let looked = self.database.read(move |sql| {
            let standing = Standing::of(sql, &token)?;
            let is_revoked = standing.is_revoked(&token);
            let owner = match standing.user {
                _ if is_revoked => Err(NotInForce::Revoked),
                None => Err(NotInForce::Gone),
                Some(user) => Ok(Box::new(user)),
            };
            Ok((Box::new(token), owner))
        });
        let (token, mut owner) = looked.await?;
        if owner.is_ok() && self.is_revoked_beside(shown).await {
            owner = Err(NotInForce::Revoked);
        }
        Ok(Look::Access(token, owner))
    }

    /// Lays a token open.
    ///
    /// # Errors
    /// [`DbError`].
    pub(crate) async fn inspect(&self, token: &Secret) -> Result<Inspection, DbError> {
        let Some((header, claims)) = said_by(token.expose()) else {
            return Ok(Inspection {
                kind: "no token",
                is_in_force: false,
                standing: "it is no compact JWS".to_owned(),
                header: Value::Null,
                claims: Value::Null,
            });
        };
        let (kind, fault) = match self.look_at(token).await? {
            Look::Access(_, owner) => ("access token", owner.err().map(|fault| fault.to_string())),
            Look::Refresh(_, fault) => ("refresh token", fault.map(|fault| fault.to_string())),
            Look::Other(error) => {
                let (kind, why) = self.not_ours(&claims, error);
                (kind, Some(why))
            }
        };
        Ok(Inspection {
            kind,
            is_in_force: fault.is_none(),
            standing: fault.unwrap_or_else(|| "in force".to_owned()),
            header,
            claims,
        })
    }

    fn not_ours(&self, claims: &Value, error: TokenError) -> (&'static str, String) {
        match claims["iss"].as_str() {
            Some(issuer) if self.other_issuers.iter().any(|known| known == issuer) => (
                "token of another issuer",
                "gateways verify it with the keys of its issuer; here nobody vouches for what it says"
                    .to_owned(),
            ),
            Some(issuer) if issuer != &*self.issuer.profile().issuer => (
                "token of an unknown issuer",
                format!("`{issuer}` is neither ours nor in `[[issuers]]`"),
            ),
            _ => ("unverified token", format!("it does not hold here: {error}")),
        }
    }
}

fn fault_of_refresh(sql: &Sql<'_>, shown: &RefreshClaims) -> Result<Option<NotInForce>, DbError> {
    let user = users::find(sql, By::Id, &shown.sub)?;
    let session = sessions::find(sql, &shown.sid)?;
    Ok(match (user, session) {
        (None, _) => Some(NotInForce::Gone),
        (Some(user), _) if !user.is_active || user.epoch != shown.ep => Some(NotInForce::Revoked),
        (_, Some(session))
            if session.ended_at.is_none() && session.generation == shown.generation =>
        {
            None
        }
        _ => Some(NotInForce::Spent),
    })
}
