//! Writes down what came to an end, and tells its task.

use std::fmt;
use std::sync::Arc;

use stores::redis::broker::Broker;
use stores::redis::broker::Finished;
use stores::redis::broker::NotFinished;
use stores::redis::broker::Returned;
use stores::redis::broker::Written;
use stores::redis::broker::parts;
use stores::redis::connection::Lost;

use crate::task::Call;
use crate::task::Task;
use crate::terms::Terms;

/// A message that came to an end. To write it down twice does no harm.
#[derive(Debug)]
pub(super) enum Settled {
    /// It is finished; whoever carried it out hears of it.
    Finished(Finished, Option<Hears>),
    /// It goes elsewhere.
    Moved(Moved),
}

/// Where a message goes that is not finished.
#[derive(Debug)]
pub(super) enum Moved {
    /// It waits to be tried again.
    Again { told: Option<Written>, message: Returned },
    /// Nobody can make anything of it.
    Buried { tag: String },
}

impl Settled {
    /// What the message is called while it is taken.
    pub(super) fn tag(&self) -> &str {
        match self {
            Self::Finished(Finished { tag, .. }, _) | Self::Moved(Moved::Buried { tag }) => tag,
            Self::Moved(Moved::Again { message, .. }) => &message.tag,
        }
    }
}

/// A task that hears how a call ended, once that is written down.
pub(super) struct Hears {
    pub(super) task: Arc<dyn Task>,
    pub(super) call: Call,
    pub(super) end: CallEnd,
    /// Whether it may be written down already, with the answer lost.
    pub(super) may_be_done: bool,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallEnd {
    Done,
    Nothing,
}

impl Hears {
    /// The one place that says it. A message that is no longer booked is somebody else's, and so is what
    /// is said of it; unless it was us who finished it: so it is where an
    /// answer was lost and nobody else can have been given it.
    fn tell(&self, was_booked: bool, is_had: bool) {
        let was_ours = was_booked || (self.may_be_done && is_had);
        match self.end {
            _ if !was_ours => {}
            CallEnd::Done => self.task.was_done(&self.call),
            CallEnd::Nothing => self.task.came_to_nothing(&self.call),
        }
    }
}

impl fmt::Debug for Hears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { end, may_be_done, .. } = self;
        f.debug_struct("Hears").field("end", end).field("may_be_done", may_be_done).finish()
    }
}

/// What is to be tried once more, and why.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) all: Vec<Settled>,
    /// What the broker did not answer.
    pub(super) broker: Option<Lost>,
    /// What the result back end did not answer, where that is another one.
    pub(super) results: Option<Lost>,
    /// Whether something was written down.
    pub(super) has_done: bool,
    /// Whether that was a result.
    pub(super) has_told: bool,
}

impl Left {
    fn because_of(&mut self, lost: NotFinished) {
        match lost {
            NotFinished::Broker(lost) => self.broker = Some(lost),
            NotFinished::Results(lost) => self.results = Some(lost),
        }
    }

    /// Whether whoever asks on would fare no better.
    fn is_in_vain(&self) -> bool {
        [&self.broker, &self.results].into_iter().flatten().any(Lost::concerns_all)
    }
}

/// Writes all of it down, but for what is left. `is_had`: nobody else can have been given any of it.
pub(super) async fn settle(
    broker: &Broker,
    terms: &Terms,
    all: Vec<Settled>,
    is_had: bool,
) -> Left {
    let (mut finished, mut others, mut left) = (Vec::new(), Vec::new(), Left::default());
    for one in all {
        match one {
            Settled::Finished(one, hears) => finished.push((one, hears)),
            Settled::Moved(moved) => others.push(moved),
        }
    }
    for part in parts(finished, |(one, _)| bytes_told(one)) {
        let (part, mut hear): (Vec<_>, Vec<_>) = part.into_iter().unzip();
        if !left.is_in_vain() {
            match broker.finish(&part, terms.result_ttl_s).await {
                Ok(were_booked) => {
                    left.has_done = true;
                    left.has_told |= part.iter().any(|one| one.told.is_some());
                    let all = hear.iter().zip(were_booked);
                    all.for_each(|(hears, was)| {
                        hears.iter().for_each(|hears| hears.tell(was, is_had))
                    });
                    continue;
                }
                Err(lost) => {
                    let may_be_done = matches!(lost, NotFinished::Broker(_));
                    hear.iter_mut().flatten().for_each(|hears| hears.may_be_done |= may_be_done);
                    left.because_of(lost);
                }
            }
        }
        let part = part.into_iter().zip(hear);
        left.all.extend(part.map(|(one, hears)| Settled::Finished(one, hears)));
    }
    for one in others {
        if left.is_in_vain() {
            left.all.push(Settled::Moved(one));
            continue;
        }
        match settle_one(broker, terms, &one).await {
            Ok(()) => left.has_done = true,
            // Asked again it would say the same. It is found again once its visibility timeout is over.
            Err(NotFinished::Broker(lost)) if !lost.concerns_all() => tracing::error!(
                error = lost.in_short(),
                "a message can go neither to its queue nor to `{}`: what is there is no list",
                terms.dead_letters
            ),
            Err(lost) => {
                left.all.push(Settled::Moved(one));
                left.because_of(lost);
            }
        }
    }
    left
}

async fn settle_one(broker: &Broker, terms: &Terms, one: &Moved) -> Result<(), NotFinished> {
    match one {
        Moved::Again { told, message } => {
            broker.send_again(message, told.as_ref(), terms.result_ttl_s).await
        }
        Moved::Buried { tag } => {
            let buried = broker.bury(tag, terms.dead_letters_kept()).await;
            buried.map(drop).map_err(NotFinished::Broker)
        }
    }
}

/// How many bytes are told of one.
fn bytes_told(one: &Finished) -> usize {
    one.told.as_ref().map_or(0, |told| told.text().len())
}

#[cfg(test)]
mod tests {
    use kernel::celery::TaskResult;
    use kernel::time::Timestamp;
    use stores::redis::broker::PART_BYTES_MAX;
    use stores::redis::broker::TAKEN_MAX;

    use super::*;

    /// A message with a result of so many bytes.
    fn finished(bytes: usize) -> Finished {
        let written = |text: String| {
            Written::new(&TaskResult::success("1", text.into(), Timestamp::from_secs(0)))
        };
        let around = written(String::new()).text().len();
        Finished { tag: "1".to_owned(), told: Some(written("x".repeat(bytes - around))) }
    }

    fn counts(all: Vec<Finished>) -> Vec<usize> {
        parts(all, bytes_told).iter().map(Vec::len).collect()
    }

    #[test]
    fn one_act_writes_down_64_ends_and_four_mebibytes_of_results() {
        let silent = Finished { tag: "1".to_owned(), told: None };
        assert_eq!(counts(vec![silent.clone(); TAKEN_MAX]), [TAKEN_MAX]);
        assert_eq!(counts(vec![silent.clone(); TAKEN_MAX + 1]), [TAKEN_MAX, 1]);
        let half = PART_BYTES_MAX / 2;
        assert_eq!(counts(vec![finished(half), finished(half), silent]), [3]);
        assert_eq!(counts(vec![finished(half), finished(half + 1)]), [1, 1]);
        assert_eq!(counts(vec![finished(PART_BYTES_MAX); 2]), [1, 1]);
    }
}
