//! Hashes of every kind, with the passwords they were made of by passlib 1.7.4 and bcrypt 4.0.1.

mod hostile;
mod legacy;
mod work;

use super::*;

const POOL: config::Hashing = config::Hashing { threads: 1, queue_max: 16 };
const POLICY: Policy = Policy { chars_min: PASSWORD_CHARS_MIN };

fn passwords() -> Passwords {
    Passwords::start(POOL, POLICY).unwrap()
}

fn hashed(password: &[u8]) -> Secret {
    ours::hash(password, &Memory::default()).unwrap()
}

async fn check(passwords: &Passwords, password: &str, stored: Option<&str>) -> Verdict {
    let stored = stored.map(Secret::new);
    passwords.check(Secret::new(password), stored, Prefix::Unknown).await.unwrap()
}

async fn verdict(password: &str, stored: Option<&str>) -> Verdict {
    check(&passwords(), password, stored).await
}

/// Checks that `password` is that of `stored` and is given a hash of ours for it, which then stays.
async fn is_taken_over(passwords: &Passwords, password: &str, stored: &str) {
    let Verdict::Right { rehashed: Some(new) } = check(passwords, password, Some(stored)).await
    else {
        panic!("not taken over: {stored}")
    };
    assert!(new.expose().starts_with(ours::PREFIX));
    let again = check(passwords, password, Some(new.expose())).await;
    assert!(matches!(again, Verdict::Right { rehashed: None }), "{stored}");
}
