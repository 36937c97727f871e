//! One spelling for each name.
//!
//! Names are kept as they are given once they are in normal form KC: letters that only look wider
//! or joined are the plain ones (RFC 8265 §3.4 maps widths and asks for form C; its identifier class
//! has none of what KC maps beside that). Case counts, as in the replaced system.

use std::borrow::Cow;

use unicode_normalization::IsNormalized;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::is_nfkc_quick;

/// The one spelling of a user name.
pub(crate) fn spelled(name: &str) -> Cow<'_, str> {
    if is_nfkc_quick(name.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(name);
    }
    let spelled: String = name.nfkc().collect();
    if spelled == name { Cow::Borrowed(name) } else { Cow::Owned(spelled) }
}

/// The one spelling of an e-mail address: as a name, and its domain in lower case, since domains
/// have no case (RFC 5321 §2.4). What stands before the `@` is its server's own business.
pub(crate) fn address_spelled(address: &str) -> Cow<'_, str> {
    let spelled = spelled(address);
    match spelled.rsplit_once('@') {
        Some((local, domain)) if domain.contains(char::is_uppercase) => {
            Cow::Owned(format!("{local}@{}", domain.to_lowercase()))
        }
        _ => spelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_wide_and_joined_letters_are_the_plain_ones_and_case_is_kept() {
        for (given, expected) in [
            ("ann", "ann"),
            ("Ann", "Ann"),
            ("Ju\u{308}rgen", "J\u{fc}rgen"),
            ("\u{ff21}nn", "Ann"),
            ("\u{fb01}n", "fin"),
            ("", ""),
        ] {
            assert_eq!(spelled(given), expected);
            assert_eq!(spelled(&spelled(given)), expected, "once is enough");
        }
    }

    #[test]
    fn a_domain_has_no_case_and_what_stands_before_it_has() {
        assert_eq!(address_spelled("Ann@Example.COM"), "Ann@example.com");
        assert_eq!(address_spelled("Ann@example.com"), "Ann@example.com");
        assert_eq!(address_spelled("Ann"), "Ann");
    }
}
