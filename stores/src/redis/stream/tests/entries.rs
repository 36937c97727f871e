//! What is written, refused and read.

use kernel::revocation::frame::Message;
use kernel::revocation::frame::MessageError;

use super::*;
use crate::redis::stream::place::EntryId;
use crate::redis::stream::publisher::ENTRIES_MAX;
use crate::redis::stream::publisher::KEPT_FOR;
use crate::redis::stream::reader::Entry as Read;
use crate::redis::stream::reader::READ_ENTRIES_MAX;
use crate::redis::stream::reader::StreamReader;
use crate::redis::stream::reader::Unread;

const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn reader(server: &RedisServer, after: u64) -> StreamReader {
    let mut reader = StreamReader::open(&at_url(server.url()), None).expect("a URL");
    reader.begin(&Position { log_id: LOG.to_owned(), seq: after });
    reader
}

async fn read(reader: &mut StreamReader) -> Vec<Read> {
    loop {
        if let Ok(entries) = reader.read().await {
            return entries;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn entries_are_read_in_order_from_after_what_is_known() {
    let server = RedisServer::start();
    let (publisher, rows) = (publisher(&server), Log::default().write_many(3));
    for rows in [&rows[..1], &rows[1..]] {
        assert_eq!(publish(&publisher, rows).await, Placed::Added);
        assert_eq!(beat(&publisher, rows[rows.len() - 1].seq, NOON).await, Placed::Added);
    }
    assert_eq!(ids(&server), ["1-0", "1-1700000000000", "3-0", "3-1700000000000"]);
    let last = [Message::Frame(frame(&rows[1..])), Message::Heartbeat(heartbeat(3, NOON))];
    let mut edge = reader(&server, 1);
    let [first, rest @ ..] = &read(&mut edge).await[..] else { panic!("nothing came") };
    assert_eq!(*first, Ok(Message::Heartbeat(heartbeat(1, NOON))));
    assert_eq!(rest, last.map(Ok));
    assert_eq!(read(&mut edge).await, [], "each once");
}

#[tokio::test]
async fn a_frame_that_was_published_and_one_from_before_it_are_refused() {
    let server = RedisServer::start();
    let (publisher, rows) = (publisher(&server), Log::default().write_many(3));
    assert_eq!(publish(&publisher, &rows).await, Placed::Added);
    let end = EntryId { seq: 3, ms: 0 };
    for stale in [&rows[..], &rows[..2], &rows[2..]] {
        assert_eq!(publish(&publisher, stale).await, Placed::Past(end));
    }
    assert_eq!(beat(&publisher, 2, NOON).await, Placed::Past(end), "it knows less");
    assert_eq!(ids(&server), ["3-0"]);
}

#[tokio::test]
async fn a_stream_whose_last_entry_was_deleted_is_past_it_all_the_same() {
    let server = RedisServer::start();
    let (publisher, rows) = (publisher(&server), Log::default().write_many(2));
    publish(&publisher, &rows[..1]).await;
    publish(&publisher, &rows[1..]).await;
    ask(&server, &["XDEL", KEY, "2-0"]);
    let end = EntryId { seq: 2, ms: 0 };
    assert_eq!(publisher.end(LOG).await.unwrap(), Some(end));
    assert_eq!(publish(&publisher, &rows[1..]).await, Placed::Past(end));
    ask(&server, &["FLUSHALL"]);
    assert_eq!(publisher.end(LOG).await.unwrap(), None);
    assert_eq!(publish(&publisher, &rows[1..]).await, Placed::Added);
}

#[tokio::test]
async fn heartbeats_go_on_though_a_clock_was_ahead_or_put_back() {
    let server = RedisServer::start();
    let publisher = publisher(&server);
    let hour = Duration::from_secs(3600);
    for at in [NOON.plus(hour), NOON, NOON.minus(hour), Timestamp::default()] {
        assert_eq!(beat(&publisher, 0, at).await, Placed::Added);
    }
    assert_eq!(
        ids(&server),
        ["0-1700003600000", "0-1700003600001", "0-1700003600002", "0-1700003600003"]
    );
    let told: Vec<_> =
        read(&mut reader(&server, 0)).await.into_iter().map(Result::unwrap).collect();
    let Message::Heartbeat(third) = &told[2] else { panic!("{told:?}") };
    assert_eq!(third.at, NOON.minus(hour), "what it says of the time is the publisher's word");
    let rows = Log::default().write_many(1);
    assert_eq!(publish(&publisher, &rows).await, Placed::Added, "no clock is in a frame's way");
}

#[tokio::test]
async fn a_stream_keeps_about_as_many_entries_as_it_may_and_goes_once_nobody_writes_it() {
    let server = RedisServer::start();
    let publisher = publisher(&server);
    // Redis cuts by whole nodes of its own, of 100 entries.
    for n in 1..=ENTRIES_MAX + 200 {
        let empty = Frame { log_id: LOG.to_owned(), first: n, last: n, rows: Vec::new() };
        while publisher.frame(empty.clone()).await.is_err() {}
        if n == ENTRIES_MAX {
            assert_eq!(ask(&server, &["XLEN", KEY]), Reply::Integer(ENTRIES_MAX as i64));
        }
    }
    let Reply::Integer(length) = ask(&server, &["XLEN", KEY]) else { panic!("no stream") };
    assert!((ENTRIES_MAX as i64..ENTRIES_MAX as i64 + 100).contains(&length), "{length}");
    beat(&publisher, ENTRIES_MAX + 200, NOON).await;
    let Reply::Integer(ttl) = ask(&server, &["TTL", KEY]) else { panic!("no TTL") };
    let kept_for = KEPT_FOR.as_secs() as i64;
    assert!((kept_for - 60..=kept_for).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn an_answer_has_at_most_64_entries_and_one_more_comes_with_the_next() {
    let server = RedisServer::start();
    let publisher = publisher(&server);
    for n in 0..=READ_ENTRIES_MAX as u64 {
        beat(&publisher, 0, NOON.plus(Duration::from_millis(n))).await;
    }
    let mut edge = reader(&server, 0);
    assert_eq!(read(&mut edge).await.len(), READ_ENTRIES_MAX);
    assert_eq!(read(&mut edge).await.len(), 1);
}

#[tokio::test]
async fn what_is_no_message_or_stands_under_an_id_of_another_is_told_as_unread() {
    let server = RedisServer::start();
    let text = Message::Heartbeat(heartbeat(7, NOON)).write();
    for words in [
        ["1-0", "m", "junk"],
        ["1-1", "x", "y"],
        ["1-2", "m", r#"{"v":2}"#],
        ["1-3", "m", &text],
        ["7-0", "m", &text],
        ["7-1", "m", &text],
    ] {
        ask(&server, &[&["XADD", KEY][..], &words].concat());
    }
    let shape = Err(Unread::Message(MessageError::Shape));
    assert_eq!(
        read(&mut reader(&server, 0)).await,
        [
            shape.clone(),
            shape,
            Err(Unread::Message(MessageError::Version(2))),
            Err(Unread::Id),
            Err(Unread::Id),
            Ok(Message::Heartbeat(heartbeat(7, NOON))),
        ]
    );
}

#[tokio::test]
async fn a_key_that_is_somebody_elses_is_an_error_and_no_end() {
    let server = RedisServer::start();
    ask(&server, &["SET", KEY, "junk"]);
    let mut edge = reader(&server, 0);
    let publisher = publisher(&server);
    let refused = async {
        while !edge.read().await.is_err_and(|lost| !lost.concerns_all()) {}
        while !publisher.frame(frame(&[row(1)])).await.is_err_and(|lost| !lost.concerns_all()) {}
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.expect("it is refused");
}
