//! People who come for the first time by a provider's word: what they are called here.

use kernel::tier::Tier;
use kernel::time::Timestamp;
use uuid::Uuid;

use super::person::FULL_NAME_CHARS_MAX;
use super::person::USERNAME_CHARS_MAX;
use super::roles::ADMIN;
use super::roles::USER;
use crate::providers::attested::Attested;
use crate::store::fault::DbError;
use crate::store::sql::Sql;
use crate::store::users;
use crate::store::users::User;

/// How many names with a number are tried before one that nobody can have.
const NUMBERED_MAX: u32 = 20;

/// How many characters of a random id make a name that nobody has.
const RANDOM_CHARS: usize = 12;

/// The longest name without what is added to make it the only one.
const STEM_CHARS_MAX: usize = USERNAME_CHARS_MAX - 1 - RANDOM_CHARS;

/// What somebody is called whose name holds nothing that could be used.
pub(super) const NAMELESS: &str = "user";

/// Names that people and back ends would take for more than they are; nobody gets them from a
/// provider.
const RESERVED: [&str; 6] = [ADMIN, "administrator", "root", "system", "doorward", "test_user"];

/// A new person who `who` is to be, of `tier` and no special role, and not yet in the
/// database; nobody else may be given a name meanwhile.
///
/// # Errors
/// [`DbError`].
pub(super) fn person(
    sql: &Sql<'_>,
    who: &Attested,
    tier: &Tier,
    now: Timestamp,
) -> Result<User, DbError> {
    let email = match &who.verified_email {
        // Somebody's name, if they chose to look like it: two people must not sign in as one.
        Some(email) if !users::is_taken(sql, email)? => Some(email.clone()),
        _ => None,
    };
    let plain = |name: &String| !name.chars().any(char::is_control);
    Ok(User {
        id: Uuid::now_v7().to_string(),
        username: free_name(sql, who.nick.as_deref())?,
        is_verified: email.is_some(),
        email,
        full_name: who
            .full_name
            .as_ref()
            .filter(|name| plain(name))
            .map(|name| name.chars().take(FULL_NAME_CHARS_MAX).collect()),
        tier: tier.clone(),
        role: USER.to_owned(),
        scopes: Vec::new(),
        is_active: true,
        epoch: 0,
        last_login: None,
        created_at: now,
        version: 0,
    })
}

fn free_name(sql: &Sql<'_>, nick: Option<&str>) -> Result<String, DbError> {
    let stem = stem(nick.unwrap_or_default());
    let first = (!RESERVED.contains(&stem.as_str())).then(|| stem.clone());
    let numbered = (2..=NUMBERED_MAX).map(|number| format!("{stem}-{number}"));
    for name in first.into_iter().chain(numbered) {
        if !users::is_taken(sql, &name)? {
            return Ok(name);
        }
    }
    let random = Uuid::new_v4().simple().to_string();
    Ok(format!("{stem}-{}", &random[..RANDOM_CHARS]))
}

/// What of `nick` can stand in a name that looks like no other: a-z, 0-9, `.`, `_` and `-`, neither
/// first nor last a sign. Never an `@`: no name may pass for an address.
fn stem(nick: &str) -> String {
    let is_sign = |c: char| matches!(c, '.' | '_' | '-');
    let plain: String = nick
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || is_sign(*c))
        .take(STEM_CHARS_MAX)
        .collect();
    let stem = plain.trim_matches(is_sign);
    if stem.is_empty() { NAMELESS.to_owned() } else { stem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_what_is_plain_of_a_nick() {
        for (nick, expected) in [
            ("ann", "ann"),
            ("Ann.Example", "ann.example"),
            ("ann+news", "annnews"),
            ("ann@example.com", "annexample.com"),
            ("  ann  ", "ann"),
            ("-_ann_-", "ann"),
            ("J\u{fc}rgen", "jrgen"),
            ("\u{430}nn", "nn"),
            ("\u{738b}\u{82b3}", "user"),
            ("", "user"),
            ("\0\r\n", "user"),
            ("...", "user"),
        ] {
            assert_eq!(stem(nick), expected, "{nick}");
        }
    }

    #[test]
    fn a_name_has_room_for_what_makes_it_the_only_one() {
        let longest = "n".repeat(STEM_CHARS_MAX);
        assert_eq!(stem(&longest), longest);
        assert_eq!(stem(&format!("{longest}n")), longest);
        assert_eq!(longest.len() + 1 + RANDOM_CHARS, USERNAME_CHARS_MAX);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_nick_is_the_name_is_plain_and_bounded(nick in ".*") {
            let stem = stem(&nick);
            proptest::prop_assert!((1..=STEM_CHARS_MAX).contains(&stem.len()));
            proptest::prop_assert!(stem.bytes().all(|b| b.is_ascii_graphic() && b != b'@'));
        }
    }
}
