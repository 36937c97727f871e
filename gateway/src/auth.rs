//! Authentication: from an `Authorization` header to an [`Identity`].
//!
//! A credential that is sent must hold, on public routes too: a malformed one is refused, never
//! taken for none (CVE-2026-25748). No other header says anything about who is calling.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use config::Access;
use http::HeaderMap;
use http::HeaderValue;
use kernel::bearer;
use kernel::bearer::MalformedCredential;
use kernel::claims::Claims;
use kernel::claims::TokenType;
use kernel::keys::LiveKeys;
use kernel::time::Timestamp;
use kernel::token::ForeignRefusal;
use kernel::token::InForce;
use kernel::token::Profile;
use kernel::token::TokenError;
use kernel::token::VerifiedToken;
use kernel::verified::VerifiedTokens;
use parking_lot::Mutex;

use crate::issuers::Issuers;
use crate::old_service::Word;

/// How long a made-up identity of test mode lasts, in seconds.
const TEST_IDENTITY_S: u64 = 600;

/// Whether a place needs a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Callers without a credential are welcome.
    Nothing,
    /// A token, whatever it may do.
    Token,
}

impl From<&Access> for Needs {
    fn from(access: &Access) -> Self {
        match access {
            Access::Public => Self::Nothing,
            Access::Token | Access::Scopes(_) => Self::Token,
        }
    }
}

/// Who a request says it is from, proved by a signature or said to be nobody.
#[derive(Clone, Debug)]
pub enum Identity {
    /// No credential was sent and none is needed.
    Anonymous,
    /// A token that is in force, with what a back end is told of it; whether it was revoked is the
    /// next question.
    Known(InForce, Arc<Known>),
}

/// A verified token, with what a back end is told of it made ready.
#[derive(Debug)]
pub struct Known {
    /// The token.
    pub token: Arc<VerifiedToken>,
    /// `X-User-Id`.
    pub user_id: HeaderValue,
    /// `X-Username`.
    pub username: HeaderValue,
    /// `X-User-Scopes`.
    pub scopes: HeaderValue,
    /// `X-Session-Id`.
    pub session: Option<HeaderValue>,
    /// What the service that Doorward replaces said of it last, where it runs beside.
    pub word: Word,
    /// Whose keys vouch for it: another issuer's, by its place, or ours.
    issuer: Option<usize>,
    /// The version of these keys.
    version: u64,
}

impl Known {
    fn new(token: VerifiedToken, issuer: Option<usize>, version: u64) -> Self {
        let claims = token.claims();
        Self {
            user_id: header_text(&claims.user_id),
            username: header_text(&claims.username),
            scopes: header_text(&claims.scopes.join(" ")),
            session: claims.session.as_deref().map(header_text),
            word: Word::default(),
            token: Arc::new(token),
            issuer,
            version,
        }
    }
}

/// Why a request is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No credential where one is needed.
    #[error("no credential")]
    Missing,
    /// One that is no bearer token.
    #[error(transparent)]
    Malformed(#[from] MalformedCredential),
    /// A token that does not hold.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// One of another issuer whose keys cannot be had.
    #[error("the keys of the token's issuer cannot be had just now")]
    NoKeys,
}

/// Why it is not told at once who is calling.
enum Unidentified {
    /// Nobody is.
    Refused(AuthError),
    /// A token of the other issuer at that place, good but for a key that is not known yet: worth
    /// looking for.
    KeyWanted(usize),
}

impl<E: Into<AuthError>> From<E> for Unidentified {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

/// Tells who is calling.
pub struct Authenticator {
    keys: Arc<LiveKeys>,
    issuers: Arc<Issuers>,
    profile: Profile,
    verified: VerifiedTokens<Known>,
    /// The version of the keys for which the cache was last emptied.
    cleared_for: AtomicU64,
    test_mode: Option<Mutex<Option<Arc<Known>>>>,
}

impl Authenticator {
    /// An authenticator that trusts `keys` under `profile`, and `issuers` beside, and keeps verified
    /// tokens in `cache_bytes`; in test mode, whoever sends no token is user 1, `test_user`.
    pub fn new(
        keys: Arc<LiveKeys>,
        issuers: Arc<Issuers>,
        profile: Profile,
        cache_bytes: usize,
        test_mode: bool,
    ) -> Self {
        let keys_version = keys.version();
        Self {
            keys,
            issuers,
            profile,
            verified: VerifiedTokens::new(cache_bytes),
            cleared_for: AtomicU64::new(keys_version),
            test_mode: test_mode.then(|| Mutex::new(None)),
        }
    }

    /// Tells who sent `headers`; waits for nothing, but where the keys of another issuer have to be
    /// looked for.
    ///
    /// # Errors
    /// [`AuthError::Missing`] where a token is needed and none came; the rest wherever one came.
    pub async fn identify(
        &self,
        needs: Needs,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Identity, AuthError> {
        match self.identify_at_once(needs, headers, now) {
            Ok(identity) => Ok(identity),
            Err(Unidentified::Refused(error)) => Err(error),
            Err(Unidentified::KeyWanted(issuer)) => {
                // On the heap: all others' requests are the smaller for it.
                Box::pin(self.identify_with_new_keys(issuer, needs, headers, now)).await
            }
        }
    }

    fn identify_at_once(
        &self,
        needs: Needs,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Identity, Unidentified> {
        match (bearer::token(headers)?, needs) {
            (Some(token), _) => self.in_force(self.known(token, now)?, now),
            (None, Needs::Nothing) => Ok(Identity::Anonymous),
            (None, Needs::Token) => match &self.test_mode {
                Some(kept) => self.in_force(self.test_user(&mut kept.lock(), now)?, now),
                None => Err(AuthError::Missing.into()),
            },
        }
    }

    /// The same, after a look for the keys of the other issuer at place `issuer`.
    async fn identify_with_new_keys(
        &self,
        issuer: usize,
        needs: Needs,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Identity, AuthError> {
        let Some(issuer) = self.issuers.all().get(issuer) else { return Err(AuthError::NoKeys) };
        if issuer.look_for_keys().await {
            match self.identify_at_once(needs, headers, now) {
                Ok(identity) => return Ok(identity),
                Err(Unidentified::Refused(error)) => return Err(error),
                Err(Unidentified::KeyWanted(_)) => {}
            }
        }
        Err(if issuer.has_keys() { TokenError::UnknownKey.into() } else { AuthError::NoKeys })
    }

    /// The other issuers.
    pub fn issuers(&self) -> &Arc<Issuers> {
        &self.issuers
    }

    /// How many verified tokens are kept, and in how many bytes.
    pub fn cached(&self) -> (usize, usize) {
        (self.verified.len(), self.verified.bytes())
    }

    fn in_force(&self, known: Arc<Known>, now: Timestamp) -> Result<Identity, Unidentified> {
        Ok(Identity::Known(known.token.in_force(&self.profile, now)?, known))
    }

    fn known(&self, token: &str, now: Timestamp) -> Result<Arc<Known>, Unidentified> {
        // What other keys vouched for is verified anew: they may be gone.
        if let Some(known) = self.verified.get(token)
            && self.version_of(known.issuer) == Some(known.version)
        {
            return Ok(known);
        }
        let known = Arc::new(self.verify(token, now)?);
        let expires_at_s = known.token.claims().expires_at_s;
        self.verified.keep(token, Arc::clone(&known), expires_at_s, now);
        Ok(known)
    }

    fn version_of(&self, issuer: Option<usize>) -> Option<u64> {
        match issuer {
            None => Some(self.keys.version()),
            Some(at) => Some(self.issuers.all().get(at)?.version()),
        }
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Known, Unidentified> {
        let theirs = self.issuers.of(token).and_then(|at| Some((at, self.issuers.all().get(at)?)));
        if let Some((at, issuer)) = theirs {
            let verified = issuer.verify(token, &self.profile, now);
            let (verified, version) = verified.map_err(|refusal| match refusal {
                ForeignRefusal::UnknownKid => Unidentified::KeyWanted(at),
                ForeignRefusal::Token(error) => error.into(),
            })?;
            return Ok(Known::new(verified, Some(at), version));
        }
        let (keys, version) = self.keys.versioned();
        let verified = kernel::token::verify(token, &keys, &self.profile, now)?;
        self.make_room_for(version);
        Ok(Known::new(verified, None, version))
    }

    /// Forgets what earlier keys vouched for, once: it would only take up room.
    fn make_room_for(&self, version: u64) {
        if self.cleared_for.fetch_max(version, Ordering::Relaxed) < version {
            self.verified.clear();
        }
    }

    fn test_user(
        &self,
        kept: &mut Option<Arc<Known>>,
        now: Timestamp,
    ) -> Result<Arc<Known>, TokenError> {
        let (keys, version) = self.keys.versioned();
        if let Some(known) = kept
            && known.version == version
            && known.token.check_in_force(&self.profile, now).is_ok()
        {
            return Ok(Arc::clone(known));
        }
        let claims = test_claims(&self.profile, now);
        let token = keys.signing().sign(&claims).map_err(|_| TokenError::UnknownKey)?;
        let verified = kernel::token::verify(&token, &keys, &self.profile, now)?;
        Ok(Arc::clone(kept.insert(Arc::new(Known::new(verified, None, version)))))
    }
}

fn test_claims(profile: &Profile, now: Timestamp) -> Claims {
    Claims {
        sub: "1".to_owned(),
        user_id: "1".to_owned(),
        username: "test_user".to_owned(),
        tier: "free".to_owned(),
        scopes: Vec::new(),
        scope: String::new(),
        token_type: TokenType::Access,
        iss: profile.issuer.to_string(),
        aud: profile.audience.as_deref().map(str::to_owned),
        iat: now.as_secs(),
        exp: now.as_secs() + TEST_IDENTITY_S.min(profile.lifetime_max.as_secs()),
        jti: "test_user".to_owned(),
        sid: "test_user".to_owned(),
        // No administrator's word about user 1 of the real system is meant for this one.
        ep: u64::MAX,
    }
}

/// A text as a header value: visible ASCII and spaces as they are, all else percent-encoded, `%`
/// too, so that no two texts look alike.
///
/// Claims hold no control characters, so nothing can break out of the header's line.
pub fn header_text(text: &str) -> HeaderValue {
    let plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'%';
    if text.bytes().all(plain)
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::try_from(encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outside_ascii_is_percent_encoded() {
        assert_eq!(header_text("zoë 100%"), "zo%C3%AB 100%25");
        assert_eq!(header_text("ann b"), "ann b");
        assert_eq!(header_text("zo%C3%AB"), "zo%25C3%25AB");
    }
}
