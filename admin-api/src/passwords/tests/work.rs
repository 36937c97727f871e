//! How much is done, for whom.

use argon2::Algorithm;
use argon2::Argon2;
use argon2::Params;
use argon2::Version;
use argon2::password_hash::PasswordHasher;

use super::*;

const BCRYPT_4: &str = "$2b$04$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6";
const BCRYPT_SHA256_4: &str =
    "$bcrypt-sha256$v=2,t=2b,r=4$fb/rUo3.Evu.z12H/yWwFe$kiF7.X5.1opHImaE5atdySjuKqhcKPu";

async fn hashes(passwords: &Passwords, password: &str, stored: Option<&str>) -> u64 {
    let before = passwords.done();
    assert!(matches!(check(passwords, password, stored).await, Verdict::Wrong));
    passwords.done() - before
}

#[test]
fn a_hash_is_argon2id_with_19_mib_two_passes_and_one_lane() {
    let hash = hashed(b"correct horse");
    assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(hash.expose().starts_with(ours::PREFIX));
}

#[tokio::test]
async fn a_right_password_is_right_and_is_not_hashed_again() {
    let passwords = passwords();
    let stored = hashed(b"correct horse");
    let right = check(&passwords, "correct horse", Some(stored.expose())).await;
    assert!(matches!(right, Verdict::Right { rehashed: None }));
    assert_eq!(passwords.done(), 1);
}

#[tokio::test]
async fn a_password_hashed_more_cheaply_is_hashed_anew() {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let stored = argon2.hash_password_with_salt(b"correct horse", b"0123456789abcdef").unwrap();
    is_taken_over(&passwords(), "correct horse", &stored.to_string()).await;
}

#[tokio::test]
async fn nobody_has_a_password() {
    assert!(matches!(verdict("", None).await, Verdict::Wrong));
}

#[tokio::test]
async fn nobody_is_told_apart_by_the_kind_of_their_hash() {
    let passwords = passwords();
    passwords.table_has(&[Secret::new(BCRYPT_4), Secret::new(BCRYPT_SHA256_4)]).unwrap();
    let ours = hashed(b"correct horse");
    for stored in [
        None,
        Some(BCRYPT_4),
        Some(BCRYPT_SHA256_4),
        Some(ours.expose()),
        Some("$2b$31$4F281jDUMLKuRHzOT2XvO.8REmmq8R6XIYZh0QYOzOU6j72mtdcV6"),
        Some("no hash"),
    ] {
        // One of argon2id and one of bcrypt, whosever they are.
        assert_eq!(hashes(&passwords, "wrong", stored).await, 2, "{stored:?}");
    }
}

#[tokio::test]
async fn a_kind_that_nobody_told_of_counts_from_the_first_of_its_people_on() {
    let passwords = passwords();
    assert_eq!(hashes(&passwords, "wrong", None).await, 1);
    assert_eq!(hashes(&passwords, "wrong", Some(BCRYPT_4)).await, 2);
    assert_eq!(hashes(&passwords, "wrong", None).await, 2);
    passwords.table_has(&[]).unwrap();
    assert_eq!(hashes(&passwords, "wrong", None).await, 1);
}

#[tokio::test]
async fn how_often_is_tried_depends_on_what_was_typed_and_not_on_whom() {
    let passwords = passwords();
    let ours = hashed(b"correct horse");
    for stored in [None, Some(ours.expose())] {
        assert_eq!(hashes(&passwords, "plain", stored).await, 1);
        assert_eq!(hashes(&passwords, "u\u{308}", stored).await, 2);
        assert_eq!(hashes(&passwords, "\u{fc}", stored).await, 1);
    }
}

#[tokio::test]
async fn a_password_of_1024_bytes_is_the_longest() {
    let longest = "a".repeat(PASSWORD_BYTES_MAX);
    let stored = hashed(longest.as_bytes());
    let right = verdict(&longest, Some(stored.expose())).await;
    assert!(matches!(right, Verdict::Right { .. }));
    let longer = format!("{longest}a");
    assert!(matches!(verdict(&longer, Some(stored.expose())).await, Verdict::Wrong));
}

#[tokio::test]
async fn one_address_cannot_fill_the_queue() {
    let passwords =
        Arc::new(Passwords::start(config::Hashing { threads: 1, queue_max: 64 }, POLICY).unwrap());
    let (gate, closed) = std::sync::mpsc::channel();
    let busy = Arc::clone(&passwords);
    let (begun, begins) = tokio::sync::oneshot::channel();
    let busy = tokio::spawn(async move { busy.occupy(begun, closed).await });
    begins.await.unwrap();
    let of = |host: u8| Prefix::of(Some([192, 0, 2, host].into()));
    let ask = |host| {
        let passwords = Arc::clone(&passwords);
        tokio::spawn(async move { passwords.check(Secret::new("x"), None, of(host)).await })
    };
    // 65 places, of which a quarter is one address's share.
    let flood: Vec<_> = (0..40).map(|_| ask(1)).collect();
    let other = ask(2);
    while passwords.shares.held_by(of(1)) + passwords.shares.held_by(of(2)) < 17 {
        tokio::task::yield_now().await;
    }
    drop(gate);
    let mut refused = 0;
    for answer in flood {
        refused += usize::from(matches!(answer.await.unwrap(), Err(HashError::Busy)));
    }
    assert_eq!(refused, 40 - 16);
    assert!(matches!(other.await.unwrap(), Ok(Verdict::Wrong)));
    busy.await.unwrap();
}
