//! Makes tokens, and reads those that come back.

use std::sync::Arc;
use std::time::Duration;

use kernel::claims::Claims;
use kernel::claims::RefreshClaims;
use kernel::claims::TokenType;
use kernel::keys::KeyError;
use kernel::keys::LiveKeys;
use kernel::revocation::Entry;
use kernel::secret::Secret;
use kernel::tier::Tier;
use kernel::time::Timestamp;
use kernel::token::Profile;
use kernel::token::RefreshError;
use kernel::token::TokenError;
use kernel::token::VerifiedToken;
use kernel::token::verify_even_if_expired;
use kernel::token::verify_refresh;
use uuid::Uuid;

use super::audit::Origin;
use crate::store::refresh_keys::RefreshKeys;
use crate::store::sessions::Rotation;
use crate::store::sessions::Session;
use crate::store::users::Identity;

/// The longest that a session lives, however often it is refreshed; a longer `refresh_ttl` wins.
const SESSION_LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An end that no token outlives: 9999-12-31T23:59:59Z.
const NEVER: Timestamp = Timestamp::from_secs(253_402_300_799);

/// Both tokens of a session, for its owner.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) access: Secret,
    pub(crate) refresh: Secret,
    pub(crate) access_ttl: Duration,
    /// What the access token may be used for.
    pub(crate) scope: String,
}

/// What an access token says of whom.
pub(crate) struct Bearer<'a> {
    pub(crate) user: &'a Identity,
    pub(crate) tier: &'a Tier,
    pub(crate) scopes: Vec<String>,
    pub(crate) session: &'a str,
}

/// Signs access tokens with the keys that gateways know, refresh tokens with those they do not.
pub(crate) struct Issuer {
    profile: Profile,
    access_ttl: Duration,
    refresh_ttl: Duration,
    keeps_refresh_token: bool,
    keys: Arc<LiveKeys>,
    refresh_keys: RefreshKeys,
}

impl Issuer {
    /// As the configuration says.
    pub(crate) fn new(auth: &config::Auth, keys: Arc<LiveKeys>, refresh_keys: RefreshKeys) -> Self {
        Self {
            profile: Profile {
                issuer: auth.issuer.as_str().into(),
                audience: auth.audience.as_deref().map(Arc::from),
                leeway: auth.leeway,
                lifetime_max: auth.lifetime_max,
                accept_legacy: auth.accept_legacy,
            },
            access_ttl: auth.access_ttl,
            refresh_ttl: auth.refresh_ttl,
            keeps_refresh_token: auth.keep_refresh_token,
            keys,
            refresh_keys,
        }
    }

    /// The keys that sign and verify access tokens.
    pub(crate) fn keys(&self) -> &LiveKeys {
        &self.keys
    }

    /// What our tokens look like.
    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// A session of `user` that begins `now`, where `origin` says.
    pub(crate) fn begin(
        &self,
        user: &Identity,
        asked_scopes: Option<Vec<String>>,
        origin: &Origin,
        now: Timestamp,
    ) -> Session {
        let absolute_until = now.plus(SESSION_LIFE_MAX.max(self.refresh_ttl));
        Session {
            id: Uuid::now_v7().to_string(),
            user_id: user.id.clone(),
            generation: 0,
            rotated_at: now,
            expires_at: now.plus(self.refresh_ttl),
            absolute_until,
            access_until: self.access_until(now),
            epoch: user.epoch,
            kid: self.refresh_keys.ring().signing().kid().to_owned(),
            asked_scopes,
            created_at: now,
            ended_at: None,
            client: origin.client.map(|client| client.to_string()),
            user_agent: origin.user_agent.as_ref().map(|agent| agent.as_str().to_owned()),
        }
    }

    /// What becomes of the session of `shown`, if it is refreshed `now`.
    pub(crate) fn rotation(&self, shown: &RefreshClaims, now: Timestamp) -> Rotation {
        Rotation {
            session_id: shown.sid.clone(),
            from: shown.generation,
            epoch: shown.ep,
            at: now,
            expires_at: now.plus(self.refresh_ttl),
            access_until: self.access_until(now),
            kid: self.refresh_keys.ring().signing().kid().to_owned(),
        }
    }

    /// Whether a refresh gives the same refresh token again.
    pub(crate) fn keeps_refresh_token(&self) -> bool {
        self.keeps_refresh_token
    }

    /// Until when an access token made `now` is accepted anywhere.
    pub(crate) fn access_until(&self, now: Timestamp) -> Timestamp {
        now.plus(self.access_ttl).plus(self.profile.leeway)
    }

    /// From when a token with this `exp`, in seconds, is refused for its age everywhere.
    pub(crate) fn refused_from(&self, expires_at_s: u64) -> Timestamp {
        Timestamp::from_secs(expires_at_s).plus(self.profile.leeway)
    }

    /// What refuses `token` alone, until it is refused for its age.
    pub(crate) fn refusal(&self, token: &VerifiedToken) -> Entry {
        Entry::Token { key: token.key(), until: self.refused_from(token.claims().expires_at_s) }
    }

    /// Until when any token that was ever made, whatever made it, is accepted anywhere.
    pub(crate) fn all_until(&self, now: Timestamp) -> Timestamp {
        // A token of the replaced system does not say how long it was to live: one that is refused
        // today as too long-lived begins to be accepted when the rest of it is short enough.
        if self.profile.accept_legacy {
            return NEVER;
        }
        now.plus(self.profile.lifetime_max).plus(self.profile.leeway)
    }

    /// Both tokens of a session as it stands.
    ///
    /// # Errors
    /// [`KeyError`] when a key cannot sign.
    pub(crate) fn pair(
        &self,
        user: &Identity,
        scopes: Vec<String>,
        session: &Session,
        now: Timestamp,
    ) -> Result<Pair, KeyError> {
        let scope = scopes.join(" ");
        let bearer = Bearer { user, tier: &user.tier, scopes, session: &session.id };
        Ok(Pair {
            scope,
            access: self.access(bearer, self.access_ttl, now)?,
            refresh: self.refresh(session)?,
            access_ttl: self.access_ttl,
        })
    }

    /// An access token.
    ///
    /// # Errors
    /// [`KeyError`] when the key cannot sign.
    pub(crate) fn access(
        &self,
        bearer: Bearer<'_>,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Secret, KeyError> {
        let user = bearer.user;
        let claims = Claims {
            sub: user.id.clone(),
            user_id: user.id.clone(),
            username: user.username.clone(),
            tier: bearer.tier.to_string(),
            scope: bearer.scopes.join(" "),
            scopes: bearer.scopes,
            token_type: TokenType::Access,
            iss: self.profile.issuer.to_string(),
            aud: self.profile.audience.as_deref().map(str::to_owned),
            iat: now.as_secs(),
            exp: now.as_secs().saturating_add(ttl.as_secs()),
            jti: Uuid::now_v7().to_string(),
            sid: bearer.session.to_owned(),
            ep: user.epoch,
        };
        self.keys.ring().signing().sign(&claims).map(Secret::new)
    }

    /// The refresh token of a session's generation: made of its row and nothing else, so that
    /// racing refreshes get the same.
    fn refresh(&self, session: &Session) -> Result<Secret, KeyError> {
        let claims = RefreshClaims {
            iss: self.profile.issuer.to_string(),
            sub: session.user_id.clone(),
            sid: session.id.clone(),
            generation: session.generation,
            ep: session.epoch,
            iat: session.rotated_at.as_secs(),
            exp: session.expires_at.as_secs(),
            token_type: TokenType::Refresh,
        };
        let key = self.refresh_keys.signing(&session.kid);
        key.sign(&claims).map(Secret::new)
    }

    /// Reads a refresh token of ours that is in force.
    ///
    /// # Errors
    /// [`RefreshError::WrongType`] for an access token of ours, else [`RefreshError::Invalid`].
    pub(crate) fn read_refresh(
        &self,
        token: &Secret,
        now: Timestamp,
    ) -> Result<RefreshClaims, RefreshError> {
        let token = token.expose();
        verify_refresh(token, self.refresh_keys.ring(), &self.profile, now).map_err(|error| {
            // Only the other ring can tell whether it is one of our access tokens.
            match verify_refresh(token, &self.keys.ring(), &self.profile, now) {
                Err(RefreshError::WrongType) => RefreshError::WrongType,
                Err(RefreshError::Invalid) | Ok(_) => error,
            }
        })
    }

    /// Reads an access token, in force or expired.
    ///
    /// # Errors
    /// [`TokenError`], but none of time.
    pub(crate) fn read_access(&self, token: &Secret) -> Result<VerifiedToken, TokenError> {
        verify_even_if_expired(token.expose(), &self.keys.ring(), &self.profile)
    }
}
