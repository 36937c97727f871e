//! What a browser or a program calls itself.

/// The longest that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 256;

/// A `User-Agent` as it can be kept and shown: some text without control characters. Anybody may
/// say anything, so it tells an owner one session from another, and nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(String);

impl UserAgent {
    /// What `said` comes to; `None` where nothing is left of it.
    pub(crate) fn of(said: &[u8]) -> Option<Self> {
        // Other bytes than those of a text come as well.
        let said = String::from_utf8_lossy(said);
        let plain = said.trim().chars().filter(|c| !c.is_control());
        let kept: String = plain.take(USER_AGENT_CHARS_MAX).collect();
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(said: &str) -> Option<String> {
        UserAgent::of(said.as_bytes()).map(|it| it.as_str().to_owned())
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        assert_eq!(kept("curl/8.5.0").unwrap(), "curl/8.5.0");
        assert_eq!(kept("a\tb\u{1b}[31m\u{85}\0 ü").unwrap(), "ab[31m ü");
    }

    #[test]
    fn nothing_is_not_kept() {
        for nothing in ["", " ", "\t\u{1}\t"] {
            assert_eq!(kept(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn of_256_characters_all_are_kept_and_of_257_the_first_256() {
        let longest = "ü".repeat(USER_AGENT_CHARS_MAX);
        assert_eq!(kept(&longest).unwrap(), longest);
        assert_eq!(kept(&format!("{longest}x")).unwrap(), longest);
        assert_eq!(
            kept(&format!("\t\u{1}{longest}")).unwrap(),
            longest,
            "only what is kept counts"
        );
    }
}
