//! One spelling for each password, whatever keyboard it was typed on.
//!
//! RFC 8265 §4.2.2 (OpaqueString): spaces of other scripts become the ASCII one, and the whole is
//! put in normal form C. Nothing else: no case is folded, nothing is trimmed or cut.

use kernel::secret::Secret;
use unicode_normalization::IsNormalized;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::is_nfc_quick;

use super::PASSWORD_BYTES_MAX;

/// The spaces (general category Zs) beside the ASCII one.
const SPACES: [char; 16] = [
    '\u{a0}', '\u{1680}', '\u{2000}', '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}',
    '\u{2006}', '\u{2007}', '\u{2008}', '\u{2009}', '\u{200a}', '\u{202f}', '\u{205f}', '\u{3000}',
];

/// The one spelling of `typed`; `None` where it is that already.
pub(super) fn respelled(typed: &Secret) -> Option<Secret> {
    let text = typed.expose();
    let has_odd_space = text.contains(SPACES);
    if text.is_ascii() || (!has_odd_space && is_nfc_quick(text.chars()) == IsNormalized::Yes) {
        return None;
    }
    let spaced = text.chars().map(|c| if SPACES.contains(&c) { ' ' } else { c });
    let spelled: String = spaced.nfc().collect();
    (spelled != text).then(|| Secret::new(spelled))
}

/// What may be meant by `typed`, likeliest first: the one spelling, and, for hashes of systems
/// that took what they were sent, the bytes as they came. How many depends on `typed` alone.
pub(super) fn meant(typed: &Secret) -> Vec<Secret> {
    let respelled = respelled(typed).filter(|text| text.expose().len() <= PASSWORD_BYTES_MAX);
    respelled.into_iter().chain([typed.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, spelled: Option<&str>) {
        let found = respelled(&Secret::new(typed));
        assert_eq!(found.as_ref().map(Secret::expose), spelled, "{typed:?}");
    }

    #[test]
    fn composed_and_decomposed_letters_are_one_spelling_and_case_and_width_are_kept() {
        check("correct horse", None);
        check("Gr\u{fc}\u{df}e", None);
        check("Gru\u{308}\u{df}e", Some("Gr\u{fc}\u{df}e"));
        check("\u{ff21}\u{fb01}", None);
        check(" \u{c5} ", None);
    }

    #[test]
    fn a_space_of_another_script_is_a_space() {
        check("two\u{3000}words", Some("two words"));
        check("two\u{a0}words", Some("two words"));
        check("two\u{200b}words", None);
    }

    #[test]
    fn a_spelling_past_the_longest_password_is_not_tried() {
        // U+0958 is two characters of three bytes each in form C.
        let typed = "\u{958}".repeat(PASSWORD_BYTES_MAX / 3);
        assert_eq!(meant(&Secret::new(&*typed)).len(), 1);
        assert_eq!(meant(&Secret::new("\u{958}")).len(), 2);
    }
}
