//! A store that gives no answer, whatever it keeps.

use std::error::Error;
use std::time::Duration;

/// The store gave no answer; what then is for whoever asked to say, not for the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreLost {
    /// It did not answer within the time allowed for one call.
    #[error("the store did not answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// It has failed lately, and is given a rest.
    #[error("the store has failed lately and is not asked for the moment")]
    Resting,
    /// It cannot be reached.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// It answers, and keeps nothing: it is full, or may not be written to.
    #[error("the store refuses to work")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// It answered, but not what was asked: what it holds is somebody else's.
    #[error("the store gave an answer that makes no sense")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreLost {
    /// Whether the next call would fare no better, whatever it asks.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Late(_) | Self::Resting | Self::Unreachable(_) | Self::Refused(_) => true,
            Self::Answer(_) => false,
        }
    }
}
