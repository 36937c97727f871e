//! Tokens whose answers tell one set from another.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use super::START;
use crate::claims::Claims;
use crate::claims::TokenType;
use crate::keys::Key;
use crate::keys::KeyRing;
use crate::keys::SigningKey;
use crate::revocation::RevocationError;
use crate::revocation::RevocationSet;
use crate::secret::Secret;
use crate::token::InForce;
use crate::token::Profile;
use crate::token::verify;

pub(super) const ISSUER: &str = "https://door.example";

pub(super) const USERS: [&str; 2] = ["u1", "u2"];
pub(super) const SESSIONS: [&str; 3] = ["s1", "s2", "s3"];
pub(super) const TOKENS: [&str; 3] = ["t1", "t2", "t3"];
pub(super) const KIDS: [&str; 2] = ["k1", "k2"];
pub(super) const EPOCHS: [u64; 3] = [0, 1, 2];

/// What a set says of a token: refused, or the tier and the scopes that count.
pub(super) type Answer = Result<(String, Vec<String>), RevocationError>;

/// Every token that the suite's entries can tell apart.
static WITNESSES: LazyLock<Vec<InForce>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for kid in KIDS {
        let keys = ring_of(kid);
        for user in USERS {
            for sid in SESSIONS {
                for jti in TOKENS {
                    all.extend(EPOCHS.map(|epoch| token(&keys, user, sid, jti, epoch)));
                }
            }
        }
    }
    all
});

/// What `set` says of each of them.
pub(super) fn answers(set: &RevocationSet) -> Vec<Answer> {
    WITNESSES.iter().map(|token| answer(set, token)).collect()
}

/// What `set` says of a token of the latest epoch that only its user and its session name.
pub(super) fn answer_to(set: &RevocationSet, user: &str, sid: &str) -> Answer {
    let is_asked = |token: &&InForce| {
        let claims = token.claims();
        *claims.user_id == *user
            && claims.session.as_deref() == Some(sid)
            && claims.epoch == EPOCHS.last().copied()
    };
    answer(set, WITNESSES.iter().find(is_asked).expect("a witness in each session of each user"))
}

fn answer(set: &RevocationSet, token: &InForce) -> Answer {
    let caller = set.check(token.clone())?;
    let scopes = caller.scopes().iter().map(|scope| scope.to_string()).collect();
    Ok((caller.tier().unwrap_or_default().to_owned(), scopes))
}

fn ring_of(kid: &str) -> KeyRing {
    let secret = Secret::new("for the suite only: thirty-two bytes");
    let key = SigningKey::hs256(kid, &secret).expect("the secret is long enough");
    KeyRing::new(vec![Key::Signing(Box::new(key))]).expect("one key makes a ring")
}

fn token(keys: &KeyRing, user: &str, sid: &str, jti: &str, epoch: u64) -> InForce {
    let claims = Claims {
        sub: user.to_owned(),
        user_id: user.to_owned(),
        username: user.to_owned(),
        tier: "free".to_owned(),
        scopes: vec!["own".to_owned()],
        scope: "own".to_owned(),
        token_type: TokenType::Access,
        iss: ISSUER.to_owned(),
        aud: None,
        iat: START.as_secs(),
        exp: START.as_secs() + 1800,
        jti: jti.to_owned(),
        sid: sid.to_owned(),
        ep: epoch,
    };
    let profile = Profile {
        issuer: Arc::from(ISSUER),
        audience: None,
        leeway: Duration::ZERO,
        lifetime_max: Duration::from_secs(3600),
        accept_legacy: false,
    };
    let text = keys.signing().sign(&claims).expect("claims of the suite can be signed");
    let verified = verify(&text, keys, &profile, START).expect("a token made here holds here");
    Arc::new(verified).in_force(&profile, START).expect("it is in force, too")
}
