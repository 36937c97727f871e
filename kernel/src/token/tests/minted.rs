//! What we sign, we read back.

use std::sync::Arc;

use proptest::prelude::*;

use crate::claims::CLAIM_BYTES_MAX;
use crate::claims::Claims;
use crate::claims::SCOPES_MAX;
use crate::keys::Algorithm;
use crate::specimen::ISSUER;
use crate::specimen::NOW;
use crate::specimen::NOW_S;
use crate::specimen::claims;
use crate::specimen::profile;
use crate::specimen::ring_of;
use crate::token::Profile;
use crate::token::TokenError;
use crate::token::TokenKey;
use crate::token::verify;

/// Anything but control characters; at most 4 bytes a character.
fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>().prop_filter("control", |c| !c.is_control()), 1..60)
        .prop_map(String::from_iter)
}

prop_compose! {
    fn any_claims()(
        user_id in name(),
        username in name(),
        tier in name(),
        scopes in prop::collection::vec("[!#-\\[\\]-~]{1,20}", 0..=SCOPES_MAX),
        aud in prop::option::of("[a-z]{1,9}"),
        (age_s, left_s) in (0_u64..1800, 1_u64..=1800),
        (jti, sid, ep) in (name(), name(), any::<u64>()),
    ) -> Claims {
        Claims {
            sub: user_id.clone(),
            user_id,
            username,
            tier,
            scope: scopes.join(" "),
            scopes,
            aud,
            iat: NOW_S - age_s,
            exp: NOW_S + left_s,
            jti,
            sid,
            ep,
            ..claims()
        }
    }
}

fn check_that_minted_tokens_read_back(algorithm: Algorithm) {
    let keys = ring_of(algorithm);
    proptest!(ProptestConfig::with_cases(128), |(claims in any_claims())| {
        let profile = Profile { audience: claims.aud.as_deref().map(Arc::from), ..profile() };
        let token = keys.signing().sign(&claims).unwrap();
        let verified = verify(&token, &keys, &profile, NOW).unwrap();
        let read = verified.claims();
        prop_assert_eq!(&*read.user_id, &claims.user_id);
        prop_assert_eq!(&*read.username, &claims.username);
        prop_assert_eq!(read.tier.as_deref(), Some(&*claims.tier));
        prop_assert!(read.scopes.iter().map(|s| &**s).eq(claims.scopes.iter().map(|s| &**s)));
        prop_assert_eq!(read.issuer.as_deref(), Some(ISSUER));
        let other = Profile { audience: Some(Arc::from("another audience")), ..profile };
        let refused = verify(&token, &keys, &other, NOW).map(|_| ());
        prop_assert_eq!(refused, Err(TokenError::Audience));
        prop_assert_eq!(read.issued_at_s, Some(claims.iat));
        prop_assert_eq!(read.not_before_s, None);
        prop_assert_eq!(read.expires_at_s, claims.exp);
        prop_assert_eq!(read.token_id.as_deref(), Some(&*claims.jti));
        prop_assert_eq!(read.session.as_deref(), Some(&*claims.sid));
        prop_assert_eq!(read.epoch, Some(claims.ep));
        prop_assert_eq!(&**verified.kid(), "k1");
        prop_assert_eq!(verified.key(), TokenKey::of_id(ISSUER, &claims.jti));
        prop_assert_eq!(verified.session_key(), Some(TokenKey::of_session(&claims.sid)));
        prop_assert_eq!(verified.user_key(), TokenKey::of_user(&claims.user_id));
    });
}

#[test]
fn a_token_minted_with_hs256_reads_back() {
    check_that_minted_tokens_read_back(Algorithm::HS256);
}

#[test]
fn a_token_minted_with_rs256_reads_back() {
    check_that_minted_tokens_read_back(Algorithm::RS256);
}

#[test]
fn a_token_minted_with_ps256_reads_back() {
    check_that_minted_tokens_read_back(Algorithm::PS256);
}

#[test]
fn a_token_minted_with_es256_reads_back() {
    check_that_minted_tokens_read_back(Algorithm::ES256);
}

#[test]
fn a_token_minted_with_eddsa_reads_back() {
    check_that_minted_tokens_read_back(Algorithm::EdDSA);
}

#[test]
fn a_user_without_scopes_and_with_the_longest_of_names_reads_back() {
    let long = "n".repeat(CLAIM_BYTES_MAX);
    let claims = Claims {
        sub: long.clone(),
        user_id: long.clone(),
        username: long,
        scopes: Vec::new(),
        scope: String::new(),
        ..claims()
    };
    let keys = ring_of(Algorithm::HS256);
    let token = keys.signing().sign(&claims).unwrap();
    let verified = verify(&token, &keys, &profile(), NOW).unwrap();
    assert_eq!(*verified.claims().user_id, *claims.user_id);
    assert!(verified.claims().scopes.is_empty());
}
