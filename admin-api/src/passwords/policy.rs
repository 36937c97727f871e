//! What a new password must be (NIST SP 800-63B §3.1.1.2): long enough, and none of those that are
//! tried first. No rule about kinds of characters: such rules make passwords that look alike.
//!
//! The list is the head of the frequency list of zxcvbn (MIT licence, beside it), those of eight
//! characters and more.

use std::collections::HashSet;
use std::sync::LazyLock;

use kernel::secret::Secret;
use unicode_normalization::UnicodeNormalization;

use super::PASSWORD_BYTES_MAX;
use super::prepared::respelled;

/// The most used passwords, in order of the alphabet, lower case.
const COMMON: &str = include_str!("common.txt");

static COMMONLY_USED: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON.lines().collect());

/// What this service is called: nobody's secret.
const OURSELVES: &str = "doorward";

/// A password of no more different characters than this is a pattern.
const DIFFERENT_CHARS_MIN: usize = 3;

/// Why a password cannot be set. The text never shows the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Too few characters.
    #[error("the password has {chars} characters; use at least {chars_min}")]
    Short {
        /// How many it has.
        chars: usize,
        /// How many it takes.
        chars_min: usize,
    },
    /// Too many bytes.
    #[error("the password has {0} bytes; use at most {PASSWORD_BYTES_MAX} bytes")]
    Long(usize),
    /// A character that cannot be typed everywhere (RFC 8264 §4.3.3).
    #[error("the password has a control character in it; use letters, digits, spaces, punctuation")]
    Control,
    /// Everybody's.
    #[error("the password is one of those that are tried first; use one that nobody else has")]
    Common,
    /// Its owner's own name.
    #[error(
        "the password is little more than a name that anybody knows; use one that has nothing of \
         the user name, the e-mail address or the service in it"
    )]
    Named,
}

/// A password that may be set.
pub(crate) struct NewPassword(Secret);

impl NewPassword {
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// The rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The fewest characters.
    pub(crate) chars_min: usize,
}

impl Policy {
    /// Takes a new password, in its one spelling, of the person called `username`.
    ///
    /// # Errors
    /// [`Weakness`], the first that is found.
    pub(crate) fn accept(
        &self,
        typed: &Secret,
        username: &str,
        email: Option<&str>,
    ) -> Result<NewPassword, Weakness> {
        let spelled = respelled(typed).unwrap_or_else(|| typed.clone());
        let text = spelled.expose();
        let bytes = text.len().max(typed.expose().len());
        if bytes > PASSWORD_BYTES_MAX {
            return Err(Weakness::Long(bytes));
        }
        let chars = text.chars().count();
        if chars < self.chars_min {
            return Err(Weakness::Short { chars, chars_min: self.chars_min });
        }
        if text.chars().any(char::is_control) {
            return Err(Weakness::Control);
        }
        let folded = fold(text);
        let core = folded.trim_matches(|c: char| !c.is_alphabetic());
        if is_common(&folded) || is_common(core) || is_pattern(&folded) {
            return Err(Weakness::Common);
        }
        let is_named = words(username, email).any(|word| word == folded || word == core);
        if is_named { Err(Weakness::Named) } else { Ok(NewPassword(spelled)) }
    }
}

fn is_common(folded: &str) -> bool {
    COMMONLY_USED.contains(folded)
}

fn is_pattern(folded: &str) -> bool {
    folded.chars().collect::<HashSet<_>>().len() < DIFFERENT_CHARS_MIN
}

/// What everybody knows of somebody: names, addresses, and the local parts of addresses.
fn words<'a>(username: &'a str, email: Option<&'a str>) -> impl Iterator<Item = String> + 'a {
    let names = [username].into_iter().chain(email);
    let parts = names.flat_map(|name| [Some(name), name.rsplit_once('@').map(|(local, _)| local)]);
    let known = parts.flatten().chain([OURSELVES]).map(fold);
    known.filter(|word| !word.is_empty())
}

/// Equal for texts that differ by case, width or ligatures only.
fn fold(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { chars_min: 8 };

    fn check(typed: &str, verdict: Result<(), Weakness>) {
        let email = Some("ann.example@example.com");
        let found = POLICY.accept(&Secret::new(typed), "ann", email).map(|_| ());
        assert_eq!(found, verdict, "{typed:?}");
    }

    #[test]
    fn the_list_is_sorted_folded_and_of_what_is_long_enough_to_be_typed() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert_eq!(lines.len(), 10_000);
        assert!(lines.is_sorted());
        for line in lines {
            assert!(line.chars().count() >= 8 && fold(line) == line, "{line}");
        }
    }

    #[test]
    fn eight_characters_are_enough_and_seven_are_not_whatever_they_are() {
        check("xk7!qa9z", Ok(()));
        check("xk7!qa9", Err(Weakness::Short { chars: 7, chars_min: 8 }));
        check("ünïcödé!", Ok(()));
        check("🌍🌎🌏🗺🧭⛰🏔", Err(Weakness::Short { chars: 7, chars_min: 8 }));
        check("u\u{308}u\u{308}u\u{308}u\u{308}", Err(Weakness::Short { chars: 4, chars_min: 8 }));
    }

    #[test]
    fn a_password_of_1024_bytes_is_the_longest_that_can_be_set() {
        let longest = "abcd".repeat(PASSWORD_BYTES_MAX / 4);
        check(&longest, Ok(()));
        check(&format!("{longest}e"), Err(Weakness::Long(PASSWORD_BYTES_MAX + 1)));
    }

    #[test]
    fn no_rule_asks_for_digits_or_capitals() {
        check("correct horse battery staple", Ok(()));
        check("        x y z", Ok(()));
    }

    #[test]
    fn what_is_tried_first_is_refused_in_any_case_or_width_and_with_a_year_behind_it() {
        for typed in [
            "12345678",
            "password",
            "PassWord",
            "ｐａｓｓｗｏｒｄ",
            "password2026!",
            "!!iloveyou!!",
            "aaaaaaaaaaaaaa",
            "abababababab",
        ] {
            check(typed, Err(Weakness::Common));
        }
    }

    #[test]
    fn a_name_that_anybody_knows_is_no_password_even_with_digits_around_it() {
        for typed in [
            "ann12345",
            "ANN.example",
            "ann.example@example.com",
            "Doorward",
            "doorward2026",
            "1.ann.example.1",
        ] {
            check(typed, Err(Weakness::Named));
        }
        check("anna karenina", Ok(()));
        check("doorward is not all of it", Ok(()));
    }

    #[test]
    fn a_control_character_cannot_be_set_since_not_every_keyboard_has_it() {
        check("correct\0horse", Err(Weakness::Control));
        check("correct\u{85}horse", Err(Weakness::Control));
    }

    #[test]
    fn no_weakness_shows_the_password() {
        for typed in ["hunter2", "iloveyou", "ann12345", "\u{1}hunter2hunter2"] {
            let Err(weakness) = POLICY.accept(&Secret::new(typed), "ann", None) else {
                panic!("{typed} is weak")
            };
            assert!(!format!("{weakness} {weakness:?}").contains(typed));
        }
    }
}
