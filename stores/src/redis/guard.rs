//! Asks Redis for one purpose, and leaves it alone while it fails.

use kernel::lost::StoreLost;

use crate::redis::breaker::Breaker;
use crate::redis::breaker::Loss;
use crate::redis::breaker::STEADY_AFTER;
use crate::redis::breaker::Turn;
use crate::redis::connection::Connection;
use crate::redis::lost::Lost;

/// A connection with a breaker before it.
#[derive(Debug)]
pub(crate) struct Guard {
    connection: Connection,
    breaker: Breaker,
    /// What is asked for, such as "the limit store".
    purpose: &'static str,
    /// What happens while it is not, such as "routes do as their on_store_loss says".
    meanwhile: &'static str,
}

/// There is no answer of Redis.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It has failed of late, and is given a rest.
    #[error("Redis has failed lately and is not asked for the moment")]
    Resting,
    /// It gave none.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl From<Unanswered> for StoreLost {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Resting => Self::Resting,
            Unanswered::Lost(Lost::Late(budget)) => Self::Late(budget),
            Unanswered::Lost(lost @ Lost::Unreachable(_)) => Self::Unreachable(lost.into()),
            Unanswered::Lost(lost @ Lost::Refused(_)) => Self::Refused(lost.into()),
            Unanswered::Lost(lost @ Lost::Answer(_)) => Self::Answer(lost.into()),
        }
    }
}

impl Guard {
    pub(crate) fn new(
        connection: Connection,
        purpose: &'static str,
        meanwhile: &'static str,
    ) -> Self {
        Self { connection, breaker: Breaker::default(), purpose, meanwhile }
    }

    /// The connection itself, for what nobody waits for.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether Redis is not asked, because it has failed.
    pub(crate) fn rests(&self) -> bool {
        self.breaker.is_open()
    }

    /// Asks `question`, but not while Redis rests.
    ///
    /// # Errors
    /// [`Unanswered`], after the connection's budget at the latest.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Lost>>,
    ) -> Result<T, Unanswered> {
        let answer = self.ask_aside(question).await;
        if let Err(Unanswered::Lost(lost)) = &answer
            && lost.concerns_all()
        {
            self.failed(lost);
        }
        answer
    }

    /// The same for what is asked again and again: no answer does not count, for it may be the question
    /// that is at fault.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub(crate) async fn ask_aside<T>(
        &self,
        question: impl Future<Output = Result<T, Lost>>,
    ) -> Result<T, Unanswered> {
        if self.breaker.is_open() {
            return Err(Unanswered::Resting);
        }
        let answer = question.await?;
        self.breaker.succeeded();
        Ok(answer)
    }

    fn failed(&self, lost: &Lost) {
        match self.breaker.failed() {
            Some(Loss::Anew) => tracing::warn!(
                error = lost.in_short(),
                "{} is lost: until it works again, {}",
                self.purpose,
                self.meanwhile
            ),
            Some(Loss::Again) => tracing::warn!(
                error = lost.in_short(),
                "{} comes and goes: it is asked less and less often, and nothing more is said of it \
                 until it has worked for {} s",
                self.purpose,
                STEADY_AFTER.as_secs()
            ),
            None => {}
        }
    }

    /// Looks after Redis while it fails, for as long as this runs; without it, what has failed thrice is
    /// never asked again. `probe` asks it; `recovered` is told whenever it works again.
    pub(crate) async fn keep<P>(&self, probe: impl Fn() -> P, mut recovered: impl FnMut())
    where
        P: Future<Output = Result<(), Lost>>,
    {
        let works = || async {
            let probed = probe().await;
            // After a failover the master is found by looking anew.
            if probed.as_ref().is_err_and(Lost::is_elsewhere) {
                self.connection.begin_anew().await;
            }
            probed.is_ok()
        };
        let tell = |turn| match turn {
            Turn::Works => {
                tracing::info!("{} works again", self.purpose);
                recovered();
            }
            Turn::WorksForNow => recovered(),
            Turn::Steady => {
                tracing::info!("{} has worked for {} s", self.purpose, STEADY_AFTER.as_secs());
            }
        };
        self.breaker.keep(works, tell).await;
    }
}
