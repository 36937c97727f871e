//! Writes down what came to an end.

use kernel::celery::Task as Message;
use kernel::celery::TaskResult;
use stores::redis::broker::Broker;
use stores::redis::broker::Returned;
use stores::redis::broker::TAKEN_MAX;
use stores::redis::connection::Lost;

use crate::terms::DEAD_LETTERS_MAX;
use crate::terms::Terms;

/// A message that came to an end. To write it down twice does no harm.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Settled {
    /// It is finished.
    Finished {
        tag: String,
        /// What is told of it, where anybody wants to know.
        result: Option<TaskResult>,
    },
    /// It waits to be tried again.
    Again { result: TaskResult, message: Returned },
    /// Nobody can make anything of it.
    Buried { tag: String, message: Vec<u8> },
}

impl Settled {
    pub(super) fn finished(tag: String, message: &Message, result: TaskResult) -> Self {
        Self::Finished { tag, result: (!message.ignore_result).then_some(result) }
    }
}

/// What is to be tried once more, and why.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) all: Vec<Settled>,
    pub(super) lost: Option<Lost>,
}

/// Writes all of it down, but for what is left.
pub(super) async fn settle(broker: &Broker, terms: &Terms, all: Vec<Settled>) -> Left {
    let (finished, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|one| matches!(one, Settled::Finished { .. }));
    let mut left = Left::default();
    for some in finished.chunks(TAKEN_MAX) {
        if let Err(lost) = finish(broker, terms, some).await {
            left.all.extend_from_slice(some);
            left.lost = Some(lost);
        }
    }
    for one in others {
        let done = match &one {
            Settled::Again { result, message } => again(broker, terms, result, message).await,
            Settled::Buried { tag, message } => {
                let list = &terms.dead_letters;
                broker.bury(tag, message, list, DEAD_LETTERS_MAX).await.map(drop)
            }
            Settled::Finished { .. } => Ok(()),
        };
        match done {
            Ok(()) => {}
            Err(lost) if lost.concerns_all() => {
                left.all.push(one);
                left.lost = Some(lost);
            }
            // Asked again it would say the same. It is found again once its visibility timeout is over.
            Err(lost) => tracing::error!(
                error = lost.in_short(),
                "a message can go neither to its queue nor to `{}`: what is there is no list",
                terms.dead_letters
            ),
        }
    }
    left
}

async fn finish(broker: &Broker, terms: &Terms, finished: &[Settled]) -> Result<(), Lost> {
    let (mut results, mut tags) = (Vec::new(), Vec::with_capacity(finished.len()));
    for one in finished {
        if let Settled::Finished { tag, result } = one {
            tags.push(tag.clone());
            results.extend(result.clone());
        }
    }
    broker.finish(&results, terms.result_ttl_s, &tags).await
}

async fn again(
    broker: &Broker,
    terms: &Terms,
    result: &TaskResult,
    message: &Returned,
) -> Result<(), Lost> {
    broker.finish(std::slice::from_ref(result), terms.result_ttl_s, &[]).await?;
    broker.send_again(message).await
}
