//! Where the log is, looked at by one loop for all who wait for it to move.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use kernel::revocation::feed::Position;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout_at;

use super::database::Database;
use super::fault::DbError;
use super::revocations::position;
use super::tail::POLL_EVERY;
use super::watched::Watched;

/// What the last look found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing yet, or the database cannot be read.
    Nothing,
    At(Position),
    /// Nobody looks any more.
    Over,
}

/// The one who looks, and tells all who wait.
pub(crate) struct Lookout(watch::Sender<Seen>);

impl Lookout {
    /// One that has not looked yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Seen::Nothing))
    }

    /// Looks until `shutdown`; then nobody has to wait any more.
    pub(crate) async fn keep(&self, database: &Database, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut watched = Watched::of(database, position);
        let mut written = database.written();
        let mut poll = interval(POLL_EVERY);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = written.changed() => {}
                _ = poll.tick() => {}
            }
            let seen = watched.look().await.map_or(Seen::Nothing, Seen::At);
            self.0.send_if_modified(|told| {
                let is_news = *told != seen;
                *told = seen;
                is_news
            });
        }
        self.0.send_replace(Seen::Over);
    }

    /// Where the log is, by the database itself: as soon as it is elsewhere than at `known`, or
    /// after `wait`, wherever it is then.
    ///
    /// # Errors
    /// [`DbError`]; [`DbError::Lost`] where nobody looks.
    pub(crate) async fn moved(
        &self,
        database: &Database,
        known: &Position,
        wait: Duration,
    ) -> Result<Position, DbError> {
        let until = Instant::now() + wait;
        let mut seen = self.0.subscribe();
        loop {
            let is_over = *seen.borrow_and_update() == Seen::Over;
            // What was seen may be older than what `known` was read from.
            let here = database.read(position).await?;
            if here != *known || Instant::now() >= until {
                return Ok(here);
            }
            if is_over {
                return Err(DbError::Lost);
            }
            let _ = timeout_at(until, seen.changed()).await;
        }
    }

    /// Waits until nobody looks any more.
    pub(crate) async fn is_over(&self) {
        let _ = self.0.subscribe().wait_for(|seen| *seen == Seen::Over).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::revocation::Entry;
    use kernel::time::Timestamp;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::super::revocations::record;
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    /// Far longer than it takes, and less than is waited.
    const AT_ONCE: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_secs(60);

    /// Somebody who looks after a database that two processes have open.
    struct House {
        lookout: Arc<Lookout>,
        ours: Database,
        theirs: Database,
        stop: oneshot::Sender<()>,
        looking: JoinHandle<()>,
        _dir: tempfile::TempDir,
    }

    impl House {
        async fn open() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let place = config::Database::Sqlite(dir.path().join("doorward.db"));
            let ours = Database::open(&place, NOW).await.unwrap();
            let theirs = Database::open(&place, NOW).await.unwrap();
            let (lookout, (stop, stopped)) = (Arc::new(Lookout::new()), oneshot::channel::<()>());
            let (looks, database) = (Arc::clone(&lookout), ours.clone());
            let looking = tokio::spawn(async move {
                let until = async {
                    let _ = stopped.await;
                };
                looks.keep(&database, until).await;
            });
            Self { lookout, ours, theirs, stop, looking, _dir: dir }
        }

        async fn here(&self) -> Position {
            self.ours.read(position).await.unwrap()
        }

        async fn moved(&self, known: &Position, wait: Duration) -> Result<Position, DbError> {
            let moved = self.lookout.moved(&self.ours, known, wait);
            tokio::time::timeout(AT_ONCE, moved).await.expect("at once")
        }
    }

    async fn act(database: &Database) -> u64 {
        let entry = Entry::Key { kid: "k1".to_owned() };
        database.write(move |tx| record(tx, &entry, NOW)).await.unwrap()
    }

    #[tokio::test]
    async fn who_waits_is_told_of_an_act_of_this_process_and_of_another() {
        let house = House::open().await;
        for database in [&house.ours, &house.theirs] {
            let known = house.here().await;
            let (told, seq) = tokio::join!(house.moved(&known, LONG), act(database));
            assert_eq!(told.unwrap(), Position { seq, ..known });
        }
    }

    #[tokio::test]
    async fn who_knows_another_place_is_told_at_once_and_who_knows_this_one_after_the_wait() {
        let house = House::open().await;
        act(&house.ours).await;
        let here = house.here().await;
        for elsewhere in [
            Position { seq: 0, ..here.clone() },
            Position { seq: 7, ..here.clone() },
            Position { log_id: "another".to_owned(), ..here.clone() },
        ] {
            assert_eq!(house.moved(&elsewhere, LONG).await.unwrap(), here);
        }
        assert_eq!(house.moved(&here, Duration::from_millis(1)).await.unwrap(), here);
        assert_eq!(house.moved(&here, Duration::ZERO).await.unwrap(), here);
    }

    #[tokio::test]
    async fn when_nobody_looks_any_more_nobody_waits() {
        let house = House::open().await;
        let here = house.here().await;
        let waiting = {
            let (lookout, database, known) =
                (Arc::clone(&house.lookout), house.ours.clone(), here.clone());
            tokio::spawn(async move { lookout.moved(&database, &known, LONG).await })
        };
        house.stop.send(()).unwrap();
        house.looking.await.unwrap();
        let told = tokio::time::timeout(AT_ONCE, waiting).await.unwrap().unwrap();
        assert!(matches!(told, Err(DbError::Lost)), "{told:?}");
        tokio::time::timeout(AT_ONCE, house.lookout.is_over()).await.unwrap();
        let again = house.lookout.moved(&house.ours, &here, LONG).await;
        assert!(matches!(again, Err(DbError::Lost)), "{again:?}");
        let elsewhere = Position { seq: 7, ..here.clone() };
        assert_eq!(house.lookout.moved(&house.ours, &elsewhere, LONG).await.unwrap(), here);
    }

    #[tokio::test]
    async fn who_waits_while_the_tables_cannot_be_read_is_told_so() {
        let house = House::open().await;
        let here = house.here().await;
        // Who has never seen the tables has no news of their being gone.
        let mut seen = house.lookout.0.subscribe();
        seen.wait_for(|seen| matches!(seen, Seen::At(_))).await.unwrap();
        let lose = "ALTER TABLE revocation_log RENAME TO gone";
        let losing = house.theirs.write(move |tx| tx.batch(lose));
        let (told, lost) = tokio::join!(house.moved(&here, LONG), losing);
        lost.unwrap();
        assert!(matches!(told, Err(DbError::Sqlite(_))), "{told:?}");
    }
}
