//! Hears of changes as they happen: one reader a process, for all who listen in it.
//!
//! What is told at once may be lost on the way. Whenever that can have happened (a connection was made
//! anew, or more came than was heard), it is looked up how all stands that is listened to.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::interfaces::EventInterface;
use fred::interfaces::PubsubInterface;
use fred::types::Message;
use kernel::lost::StoreLost;
use kernel::status::ResourceId;
use kernel::status::Since;
use kernel::status::StatusStore;
use kernel::time::Timestamp;
use tokio::sync::Notify;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;

use super::RedisStatus;
use super::stored;
use crate::listeners::Listeners;

/// How often it is made sure that we are still heard of: a connection on which nothing comes may be none.
const SURE_EVERY: Duration = Duration::from_secs(5);

/// How long that may take.
const SURE_WITHIN: Duration = Duration::from_secs(2);

/// The most messages that wait until they are heard; past it the newest are lost, and that is told.
const MESSAGES_WAITING_MAX: usize = 4_096;

/// The most messages that may come at once. The client keeps so many places ready of each kind of news
/// that it has, whether or not they are ever used, so what waits for longer waits with us.
pub(crate) const MESSAGES_AT_ONCE_MAX: usize = 256;

/// Hears what is told on the channel of `store`, for as long as this runs, and tells `listeners`. `now`
/// tells the time.
pub(crate) async fn hear(
    store: &RedisStatus,
    listeners: &Listeners,
    now: impl Fn() -> Timestamp + Send + Sync,
) {
    let client = store.guard.connection().for_messages(MESSAGES_AT_ONCE_MAX);
    let told = client.message_rx();
    let (waits, waiting) = mpsc::channel(MESSAGES_WAITING_MAX);
    let lost = Notify::new();
    // Side by side: while it is looked up how all stands, messages go on coming.
    let gathering = gather(told, |message| concerns(listeners, message), waits, &lost);
    tokio::join!(gathering, heed(store, listeners, &client, waiting, &lost, now));
}

/// Whether anybody listens to what a message tells of: all that is reported anywhere comes by here, and
/// most of it concerns nobody. One that cannot be read may.
fn concerns(listeners: &Listeners, message: &Message) -> bool {
    let id = stored::hinted(message.value.as_bytes().unwrap_or_default());
    id.map_or(true, |id| listeners.has(&id))
}

/// Has what is `told`, and `concerns` somebody, wait for as long as there is room; says whenever something
/// was lost.
async fn gather(
    mut told: broadcast::Receiver<Message>,
    concerns: impl Fn(&Message) -> bool,
    waits: mpsc::Sender<Message>,
    lost: &Notify,
) {
    loop {
        let has_room = match told.recv().await {
            Ok(message) => !concerns(&message) || waits.try_send(message).is_ok(),
            Err(RecvError::Lagged(_)) => false,
            Err(RecvError::Closed) => return,
        };
        if !has_room {
            lost.notify_one();
        }
    }
}

/// Tells `listeners` what is `waiting`, and sees to it that more comes.
async fn heed(
    store: &RedisStatus,
    listeners: &Listeners,
    client: &Client,
    mut waiting: mpsc::Receiver<Message>,
    lost: &Notify,
    now: impl Fn() -> Timestamp + Send + Sync,
) {
    let mut anew = client.reconnect_rx();
    drop(client.connect());
    let channel = store.channel();
    let mut sure = interval(SURE_EVERY);
    sure.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_heard, mut is_owed) = (false, false);
    loop {
        let may_have_missed = tokio::select! {
            message = waiting.recv() => match message {
                Some(message) => !tell(store, listeners, &message),
                None => return,
            },
            () = lost.notified() => true,
            connected = anew.recv() => match connected {
                Ok(_) | Err(RecvError::Lagged(_)) => {
                    is_heard = is_subscribed(client, &channel).await;
                    true
                }
                Err(RecvError::Closed) => return,
            },
            _ = sure.tick() => {
                let was_heard = is_heard;
                is_heard = is_subscribed(client, &channel).await;
                if was_heard && !is_heard {
                    // It fails where a connection is being made already.
                    let _ = client.force_reconnection().await;
                }
                is_heard && !was_heard
            }
        };
        is_owed |= may_have_missed;
        // Not before we are told what happens from then on.
        if is_owed && is_heard {
            // What waits was told before, and will be seen: it is to make room for what is told meanwhile.
            while waiting.try_recv().is_ok() {}
            is_owed = !look(store, listeners, &now).await;
        }
    }
}

/// Has Redis tell us; whether it will.
async fn is_subscribed(client: &Client, channel: &str) -> bool {
    matches!(timeout(SURE_WITHIN, client.subscribe(channel)).await, Ok(Ok(())))
}

/// Tells a change to whoever listens; `false`: it could not be read.
fn tell(store: &RedisStatus, listeners: &Listeners, message: &Message) -> bool {
    match stored::hint(message.value.as_bytes().unwrap_or_default(), &store.plan) {
        Ok((id, change)) => listeners.tell(&id, || Arc::new(change)),
        Err(error) => {
            tracing::warn!("a change of job status could not be read: {error}");
            return false;
        }
    }
    true
}

/// Looks up how all stands that is listened to; whether it could.
async fn look(
    store: &RedisStatus,
    listeners: &Listeners,
    now: &(impl Fn() -> Timestamp + Send + Sync),
) -> bool {
    for (id, version) in listeners.known() {
        if let Err(error) = look_at(store, listeners, &id, version, now()).await
            && error.concerns_all()
        {
            tracing::debug!("it was not looked up how all stands: {error}");
            return false;
        }
    }
    true
}

async fn look_at(
    store: &RedisStatus,
    listeners: &Listeners,
    id: &ResourceId,
    version: u64,
    now: Timestamp,
) -> Result<(), StoreLost> {
    match store.since(id, version, now).await? {
        Since::Changes(changes) => {
            for change in changes {
                listeners.tell(id, || Arc::new(change));
            }
        }
        Since::Missed => {
            if let Some(record) = store.get(id, now).await? {
                listeners.renew(record);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fred::types::MessageKind;
    use fred::types::config::Server;
    use futures_util::FutureExt;
    use kernel::status::ResourceId;
    use test_support::redis::RedisServer;

    use super::super::tests::config;
    use super::super::tests::connected;
    use super::super::tests::report;
    use super::*;
    use crate::listeners::Heard;
    use crate::redis::quotas::Clock;

    fn message(number: usize) -> Message {
        Message {
            channel: "news".into(),
            value: (number as i64).into(),
            kind: MessageKind::Message,
            server: Server::new("127.0.0.1", 6379),
        }
    }

    /// Tells so many at the pace at which they are gathered; whether it is said that some were lost, and
    /// what waits then.
    async fn gathered(count: usize) -> (bool, Vec<usize>) {
        let (tells, told) = broadcast::channel(MESSAGES_AT_ONCE_MAX);
        let (waits, mut waiting) = mpsc::channel(MESSAGES_WAITING_MAX);
        let lost = Notify::new();
        let telling = async move {
            for number in 1..=count {
                tells.send(message(number)).expect("somebody gathers");
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(gather(told, |_| true, waits, &lost), telling);
        let mut all = Vec::new();
        while let Some(message) = waiting.recv().await {
            all.push(message.value.as_usize().expect("a number"));
        }
        (lost.notified().now_or_never().is_some(), all)
    }

    #[tokio::test]
    async fn messages_wait_up_to_a_bound_and_past_it_it_is_told_that_some_were_lost() {
        let all: Vec<_> = (1..=MESSAGES_WAITING_MAX).collect();
        assert_eq!(gathered(MESSAGES_WAITING_MAX).await, (false, all.clone()), "at the bound");
        assert_eq!(gathered(MESSAGES_WAITING_MAX + 1).await, (true, all), "one past it");
    }

    #[tokio::test]
    async fn more_at_once_than_the_client_has_room_for_are_told_as_lost() {
        for (count, is_lost) in [(MESSAGES_AT_ONCE_MAX, false), (MESSAGES_AT_ONCE_MAX + 1, true)] {
            let (tells, told) = broadcast::channel(MESSAGES_AT_ONCE_MAX);
            let (waits, mut waiting) = mpsc::channel(MESSAGES_WAITING_MAX);
            let lost = Notify::new();
            for number in 1..=count {
                tells.send(message(number)).expect("somebody gathers");
            }
            drop(tells);
            gather(told, |_| true, waits, &lost).await;
            assert_eq!(lost.notified().now_or_never().is_some(), is_lost, "{count}");
            let mut waiting_now = 0;
            while waiting.recv().await.is_some() {
                waiting_now += 1;
            }
            assert_eq!(waiting_now, MESSAGES_AT_ONCE_MAX);
        }
    }

    #[test]
    fn what_concerns_nobody_does_not_wait() {
        let listeners = Arc::new(Listeners::default());
        let of = |text: &str| Message { value: text.into(), ..message(0) };
        let told = of(r#"{"id":"42","change":{}}"#);
        assert!(!concerns(&listeners, &told));
        let listener = listeners.listen(&ResourceId::Number(42), "ada").expect("room");
        assert!(concerns(&listeners, &told));
        drop(listener);
        assert!(!concerns(&listeners, &told));
        assert!(concerns(&listeners, &of("not JSON")), "nobody knows whom");
    }

    #[tokio::test]
    async fn what_waits_makes_room_before_it_is_looked_up_how_all_stands() {
        let server = RedisServer::start();
        let connection = connected(server.url()).await;
        let store = RedisStatus::new(&connection, "doorward", Clock::OfTheServer, &config());
        let report = report(42, "graph", "pending");
        store.put(&report, Timestamp::default()).await.expect("it is taken");
        let listeners = Arc::new(Listeners::default());
        let mut listener = listeners.listen(&ResourceId::Number(42), "ada").expect("room");
        let (waits, waiting) = mpsc::channel(MESSAGES_WAITING_MAX);
        for number in 0..MESSAGES_WAITING_MAX {
            waits.try_send(message(number)).expect("there is room");
        }
        let client = store.guard.connection().for_messages(MESSAGES_AT_ONCE_MAX);
        let lost = Notify::new();
        tokio::select! {
            () = heed(&store, &listeners, &client, waiting, &lost, Timestamp::default) => {
                panic!("it goes on for ever")
            }
            heard = listener.next() => assert!(matches!(heard, Heard::Record(_)), "{heard:?}"),
        }
        assert_eq!(waits.capacity(), MESSAGES_WAITING_MAX);
    }
}
