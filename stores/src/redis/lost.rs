//! What an error of Redis means to whoever asked: that there is none, that it does no work, or that it gave
//! another answer.

use std::time::Duration;

use fred::error::Error;
use fred::error::ErrorKind;

/// Prefixes of Redis' refusals that concern the server as a whole, and not one command.
const REFUSALS: [&str; 13] = [
    "READONLY",
    "OOM",
    "MISCONF",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "NOREPLICAS",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "BUSY",
    "TRYAGAIN",
    "ERR max number of clients",
];

/// Redis gave no answer to a call. The call may have been carried out all the same.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// There was none within the budget.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// There is no connection.
    #[error("Redis cannot be reached")]
    Unreachable(#[source] Error),
    /// Redis answers, and does nothing that is asked: it is full, a replica, still loading, …
    #[error("Redis refuses to work")]
    Refused(#[source] Error),
    /// The answer is not one to what was asked.
    #[error("Redis gave an answer that makes no sense")]
    Answer(#[source] Error),
}

impl Lost {
    /// What an error of a call means that might take `budget`.
    pub(super) fn of(error: Error, budget: Duration) -> Self {
        match error.kind() {
            ErrorKind::Timeout => Self::Late(budget),
            _ if REFUSALS.iter().any(|prefix| error.details().starts_with(prefix)) => {
                Self::Refused(error)
            }
            ErrorKind::NotFound
            | ErrorKind::Parse
            | ErrorKind::InvalidArgument
            | ErrorKind::InvalidCommand => Self::Answer(error),
            ErrorKind::Unknown if own_word(&error).is_some() => Self::Answer(error),
            _ => Self::Unreachable(error),
        }
    }

    /// Whether another server, behind the same name, may be the one that works now.
    pub(crate) fn is_elsewhere(&self) -> bool {
        match self {
            Self::Refused(error) => {
                ["READONLY", "MASTERDOWN"].iter().any(|why| error.details().starts_with(why))
            }
            Self::Late(_) | Self::Unreachable(_) | Self::Answer(_) => false,
        }
    }

    /// Whether there was no answer at all.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Unreachable(_))
    }

    /// Whether the next call would fare no better, whatever it asks.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Late(_) | Self::Unreachable(_) | Self::Refused(_) => true,
            Self::Answer(_) => false,
        }
    }

    /// What happened, and at most the first word of what Redis says of it, such as `NOPERM`: the rest
    /// may repeat what was asked.
    pub fn in_short(&self) -> String {
        let word = match self {
            Self::Late(_) => None,
            Self::Unreachable(error) | Self::Refused(error) | Self::Answer(error) => {
                own_word(error)
            }
        };
        match word {
            Some(word) => format!("{self} ({word})"),
            None => self.to_string(),
        }
    }
}

/// The word of capitals that an error of Redis' own begins with, such as `WRONGTYPE`; what the client
/// says of itself begins otherwise.
fn own_word(error: &Error) -> Option<&str> {
    let word = error.details().split(' ').next()?;
    let is_own = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    is_own.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(25);

    fn of(kind: ErrorKind, details: &'static str) -> Lost {
        Lost::of(Error::new(kind, details), BUDGET)
    }

    #[test]
    fn a_refusal_that_concerns_the_server_is_one_whatever_kind_of_error_the_client_takes_it_for() {
        for kind in [ErrorKind::Unknown, ErrorKind::Auth, ErrorKind::InvalidCommand] {
            for prefix in REFUSALS {
                let lost = of(kind.clone(), prefix);
                assert!(
                    matches!(lost, Lost::Refused(_)) && lost.concerns_all(),
                    "{prefix}: {lost:?}"
                );
                let elsewhere = ["READONLY", "MASTERDOWN"].contains(&prefix);
                assert_eq!(
                    (lost.is_elsewhere(), lost.is_silence()),
                    (elsewhere, false),
                    "{prefix}"
                );
            }
        }
    }

    #[test]
    fn an_error_about_one_command_is_an_answer_and_concerns_no_other() {
        let answers = [
            (ErrorKind::InvalidArgument, "WRONGTYPE Operation against a key"),
            (ErrorKind::Unknown, "WRONGTYPE Operation against a key"),
            (ErrorKind::Parse, "Cannot convert to number."),
            (ErrorKind::NotFound, "Cannot parse nil"),
        ];
        for (kind, details) in answers {
            let lost = of(kind, details);
            assert!(matches!(lost, Lost::Answer(_)) && !lost.concerns_all(), "{lost:?}");
        }
    }

    #[test]
    fn without_an_answer_redis_is_late_or_cannot_be_reached() {
        let late = of(ErrorKind::Timeout, "BUSY");
        assert!(matches!(late, Lost::Late(BUDGET)) && late.is_silence(), "{late:?}");
        for kind in [ErrorKind::IO, ErrorKind::Canceled, ErrorKind::Unknown] {
            let lost = of(kind, "Connection reset");
            assert!(matches!(lost, Lost::Unreachable(_)) && lost.is_silence(), "{lost:?}");
            assert!(lost.concerns_all());
        }
    }

    #[test]
    fn of_what_redis_says_its_first_word_is_told_and_nothing_that_was_asked() {
        let refused = of(ErrorKind::Unknown, "NOPERM User ann has no permissions to access secret");
        assert_eq!(refused.in_short(), "Redis refuses to work (NOPERM)");
        let unreachable = of(ErrorKind::IO, "A secret");
        assert_eq!(
            unreachable.in_short(),
            "Redis cannot be reached",
            "one letter is no word of its"
        );
        assert_eq!(of(ErrorKind::Timeout, "").in_short(), "Redis did not answer within 25 ms");
    }
}
