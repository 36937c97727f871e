//! Why a resource could not be loaded.

use std::fmt::Display;

use super::warm::NotInitialized;

/// How much of a cause is kept, in bytes: it is shown to whoever asks a probe.
pub(super) const FAULT_BYTES_MAX: usize = 1_024;

/// Why an attempt to load a resource failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    text: String,
    lasts: bool,
}

impl Fault {
    /// A failure that may be gone the next time.
    pub fn passing(cause: impl Display) -> Self {
        Self { text: cut(cause.to_string()), lasts: false }
    }

    /// A failure that no other attempt would mend: none is made.
    pub fn lasting(cause: impl Display) -> Self {
        Self { text: cut(cause.to_string()), lasts: true }
    }

    /// Whether no other attempt would mend it.
    pub fn lasts(&self) -> bool {
        self.lasts
    }
}

/// What a resource did not name among its needs, and went to all the same: it would never be there in
/// time for sure.
impl From<NotInitialized> for Fault {
    fn from(error: NotInitialized) -> Self {
        Self::lasting(error)
    }
}

/// At most [`FAULT_BYTES_MAX`] bytes of `text`, in whole characters.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(FAULT_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_of_the_longest_length_is_kept_whole_and_a_longer_one_is_cut() {
        let longest = "x".repeat(FAULT_BYTES_MAX);
        assert_eq!(Fault::passing(&longest).to_string(), longest);
        assert_eq!(Fault::passing(format!("{longest}x")).to_string(), longest);
        let umlaut = format!("{}ü", "x".repeat(FAULT_BYTES_MAX - 1));
        assert_eq!(Fault::lasting(&umlaut).to_string(), "x".repeat(FAULT_BYTES_MAX - 1));
    }
}
