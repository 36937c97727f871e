//! What a Redis does not do of what it is asked: said once when that begins, and once when it is over.

use stores::redis::connection::Lost;
use tokio::time::Instant;

use super::pace::PAUSE_LOST;

/// What it is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// To give messages.
    Take,
    /// To give those of an act of taking that had no answer.
    Find,
    /// To give those whose time has come.
    Fetch,
    /// To keep how tasks ended, and to forget their messages.
    WriteDown,
    /// To note what is still had.
    Have,
    /// To put back what others have dropped.
    PutBack,
    /// To take back what nobody here can do.
    GiveBack,
}

impl Act {
    const fn consequence(self) -> &'static str {
        match self {
            Self::Take | Self::Find => "no task is taken until it does",
            Self::WriteDown => "what came to an end is written down once it does",
            Self::Fetch | Self::Have | Self::PutBack | Self::GiveBack => "it is asked on",
        }
    }
}

/// What is the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It gives no answer, or refuses to work.
    Away,
    /// It answers that it cannot do this, such as where a queue is no list.
    Fault,
}

/// What one Redis does not do.
#[derive(Debug)]
pub(super) struct Trouble {
    of: &'static str,
    failing: Vec<(Act, Kind)>,
    again_at: Instant,
}

impl Trouble {
    pub(super) fn with_broker(now: Instant) -> Self {
        Self { of: "the Celery broker", failing: Vec::new(), again_at: now }
    }

    pub(super) fn with_results(now: Instant) -> Self {
        Self { of: "the Celery result back end", ..Self::with_broker(now) }
    }

    /// Whether it did all that it was asked last.
    pub(super) fn is_none(&self) -> bool {
        self.failing.is_empty()
    }

    /// Whether it did not do this when it was asked last.
    pub(super) fn concerns(&self, act: Act) -> bool {
        self.failing.iter().any(|(failing, _)| *failing == act)
    }

    /// Whether it is away.
    #[cfg(test)]
    pub(super) fn is_away(&self) -> bool {
        self.has(Kind::Away)
    }

    /// Whether it makes sense to ask it.
    pub(super) fn is_due(&self) -> bool {
        self.again_at <= Instant::now()
    }

    /// It did this, or there is nothing to do.
    pub(super) fn is_over(&mut self, act: Act) {
        for kind in [Kind::Away, Kind::Fault] {
            let before = self.has(kind);
            self.failing.retain(|failing| *failing != (act, kind));
            if before && !self.has(kind) {
                match kind {
                    Kind::Away => tracing::info!("{} answers again", self.of),
                    Kind::Fault => tracing::info!("{} does what it is asked again", self.of),
                }
            }
        }
    }

    /// It did not do this.
    pub(super) fn found(&mut self, act: Act, lost: &Lost) {
        let kind = if lost.concerns_all() { Kind::Away } else { Kind::Fault };
        let is_news = !self.has(kind);
        if !self.failing.contains(&(act, kind)) {
            self.failing.push((act, kind));
        }
        // It is one or the other.
        self.failing.retain(|(failing, other)| *failing != act || *other == kind);
        let error = lost.in_short();
        match kind {
            Kind::Away => {
                self.again_at = Instant::now() + PAUSE_LOST;
                if is_news {
                    tracing::warn!(error, "{} gives no answer: {}", self.of, act.consequence());
                }
            }
            Kind::Fault if is_news => tracing::error!(
                error,
                "{} cannot do what it is asked: a queue is no list, or the books of what is taken are \
                 none; it is tried on",
                self.of
            ),
            Kind::Fault => {}
        }
    }

    fn has(&self, kind: Kind) -> bool {
        self.failing.iter().any(|(_, other)| *other == kind)
    }
}
