//! When a token holds.

use std::time::Duration;

use proptest::prelude::*;

use super::support::ABSENT;
use super::support::legacy;
use super::support::legacy_profile;
use super::support::payload;
use super::support::read_under;
use super::support::refusal;
use crate::keys::Algorithm;
use crate::specimen::NOW_S;
use crate::specimen::profile;
use crate::specimen::ring_of;
use crate::specimen::token_saying;
use crate::time::Timestamp;
use crate::token::NUMERIC_DATE_MAX;
use crate::token::Profile;
use crate::token::TokenError;
use crate::token::verify;
use crate::token::verify_even_if_expired;

fn at(now: Timestamp, profile: &Profile, changes: &[(&str, &str)]) -> Option<TokenError> {
    let token = token_saying(&payload(changes));
    verify(&token, &ring_of(Algorithm::HS256), profile, now).err()
}

fn at_s(now_s: u64, profile: &Profile, changes: &[(&str, &str)]) -> Option<TokenError> {
    at(Timestamp::from_secs(now_s), profile, changes)
}

fn lenient(leeway_s: u64) -> Profile {
    Profile { leeway: Duration::from_secs(leeway_s), ..profile() }
}

#[test]
fn a_time_of_another_json_type_is_refused_never_absent() {
    // CVE-2026-25537: such a time counted as absent, and the token held for ever.
    for name in ["exp", "nbf", "iat"] {
        for json in [
            r#""1800000100""#,
            r#""""#,
            "1800000100.0",
            "1800000100.5",
            "1.8e9",
            "1e400",
            "-1",
            "-0",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "null",
            "true",
            "[]",
            "[1800000100]",
            "{}",
        ] {
            assert_eq!(refusal(&[(name, json)]), Some(TokenError::Claims), "{name}: {json}");
        }
    }
}

#[test]
fn a_token_without_an_expiry_is_refused() {
    assert_eq!(refusal(&[("exp", ABSENT)]), Some(TokenError::Claims));
    let forever = read_under(&legacy_profile(), &legacy(&[("exp", ABSENT)]));
    assert_eq!(forever.err(), Some(TokenError::Claims));
    assert_eq!(refusal(&[("exp", "0")]), Some(TokenError::Expired));
}

#[test]
fn the_largest_time_is_read_and_bounded_by_the_cap() {
    let most = NUMERIC_DATE_MAX.to_string();
    assert_eq!(refusal(&[("exp", &most)]), Some(TokenError::Lifetime));
    assert_eq!(refusal(&[("nbf", &most)]), Some(TokenError::NotYet));
    let most_patient = Profile {
        leeway: Duration::from_secs(u64::MAX),
        lifetime_max: Duration::from_secs(u64::MAX),
        ..profile()
    };
    assert_eq!(at_s(NOW_S, &most_patient, &[("exp", &most), ("nbf", &most)]), None);
    assert_eq!(at(Timestamp::from_millis(u64::MAX), &most_patient, &[]), None);
}

#[test]
fn a_token_holds_until_the_second_of_its_expiry() {
    let exp_s = NOW_S + 1800;
    assert_eq!(at_s(exp_s - 1, &profile(), &[]), None);
    assert_eq!(at(Timestamp::from_millis(exp_s * 1000 - 1), &profile(), &[]), None);
    assert_eq!(at_s(exp_s, &profile(), &[]), Some(TokenError::Expired));
    assert_eq!(at_s(exp_s + 1, &profile(), &[]), Some(TokenError::Expired));
}

#[test]
fn a_token_holds_from_the_second_of_its_beginning() {
    let nbf = [("nbf", "1800000010")];
    assert_eq!(at_s(NOW_S + 9, &profile(), &nbf), Some(TokenError::NotYet));
    let just_before = Timestamp::from_millis((NOW_S + 10) * 1000 - 1);
    assert_eq!(at(just_before, &profile(), &nbf), Some(TokenError::NotYet));
    assert_eq!(at_s(NOW_S + 10, &profile(), &nbf), None);
}

#[test]
fn leeway_is_granted_on_both_sides_to_the_second() {
    let exp_s = NOW_S + 1800;
    assert_eq!(at_s(exp_s + 29, &lenient(30), &[]), None);
    assert_eq!(at_s(exp_s + 30, &lenient(30), &[]), Some(TokenError::Expired));
    let nbf = [("nbf", "1800000100")];
    assert_eq!(at_s(NOW_S + 70, &lenient(30), &nbf), None);
    assert_eq!(at_s(NOW_S + 69, &lenient(30), &nbf), Some(TokenError::NotYet));
}

#[test]
fn a_token_may_go_on_for_the_cap_and_no_second_longer() {
    let cap_s = profile().lifetime_max.as_secs();
    let until = |exp_s: u64| exp_s.to_string();
    for (profile, furthest_s) in [(profile(), NOW_S + cap_s), (lenient(30), NOW_S + cap_s + 30)] {
        // Issued ahead of our clock, so that its life alone is within the cap.
        let refusal = |exp_s: u64| {
            let (iat, exp) = (until(exp_s - cap_s), until(exp_s));
            at_s(NOW_S, &profile, &[("iat", &iat), ("exp", &exp)])
        };
        assert_eq!(refusal(furthest_s), None);
        assert_eq!(refusal(furthest_s + 1), Some(TokenError::Lifetime));
    }
    let patient = Profile { accept_legacy: true, ..profile() };
    for (exp_s, expected) in
        [(NOW_S + cap_s, None), (NOW_S + cap_s + 1, Some(TokenError::Lifetime))]
    {
        let payload = legacy(&[("exp", &until(exp_s))]);
        assert_eq!(read_under(&patient, &payload).err(), expected, "{exp_s}");
    }
}

#[test]
fn a_token_that_lives_too_long_is_not_let_in_towards_its_end_either() {
    let cap_s = profile().lifetime_max.as_secs();
    for leeway_s in [0, 30] {
        let refusal = |life_s: u64| {
            let exp = (NOW_S + life_s).to_string();
            at_s(NOW_S + life_s - 1, &lenient(leeway_s), &[("exp", &exp)])
        };
        assert_eq!(refusal(cap_s), None);
        assert_eq!(refusal(cap_s + 1), Some(TokenError::Lifetime));
    }
}

#[test]
fn who_logs_out_may_be_late_but_must_hold_a_good_token() {
    let keys = ring_of(Algorithm::HS256);
    let expired = token_saying(&payload(&[("iat", "1000"), ("exp", "1001")]));
    assert!(verify_even_if_expired(&expired, &keys, &profile()).is_ok());
    let other = token_saying(&payload(&[("iss", r#""https://other.example""#)]));
    let refusal = verify_even_if_expired(&other, &keys, &profile()).err();
    assert_eq!(refusal, Some(TokenError::Issuer));
    let untimed = token_saying(&payload(&[("exp", ABSENT)]));
    let refusal = verify_even_if_expired(&untimed, &keys, &profile()).err();
    assert_eq!(refusal, Some(TokenError::Claims));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// In whole numbers without a bound, where nothing saturates.
    #[test]
    fn a_token_is_in_force_exactly_as_arithmetic_says(
        (iat, nbf, exp) in (0_i64..400, 0_i64..400, 0_i64..400),
        (now, leeway, cap) in (0_i64..400, 0_i64..40, 0_i64..400),
    ) {
        let profile = Profile {
            leeway: Duration::from_secs(leeway as u64),
            lifetime_max: Duration::from_secs(cap as u64),
            ..profile()
        };
        let texts = [iat, nbf, exp].map(|s| s.to_string());
        let times = [("iat", &*texts[0]), ("nbf", &*texts[1]), ("exp", &*texts[2])];
        let holds = now - leeway < exp
            && nbf <= now + leeway
            && exp - now <= cap + leeway
            && exp - iat <= cap;
        prop_assert_eq!(at_s(now as u64, &profile, &times).is_none(), holds);
    }
}
