use proptest::prelude::*;

use super::*;
use crate::revocation::Entry;

fn row(seq: u64, kid: &str) -> Row {
    Row { seq, at: Timestamp::default(), entry: Entry::Key { kid: kid.to_owned() } }
}

fn rows(seqs: impl IntoIterator<Item = u64>) -> Vec<Row> {
    seqs.into_iter().map(|seq| row(seq, "k")).collect()
}

fn frame(first: u64, last: u64, rows: Vec<Row>) -> Frame {
    Frame { log_id: "l1".to_owned(), first, last, rows }
}

fn at(log_id: &str, seq: u64) -> Position {
    Position { log_id: log_id.to_owned(), seq }
}

#[test]
fn a_frame_is_applied_if_it_follows_on_what_is_known_and_has_more() {
    let frame = frame(5, 7, rows([5, 6, 7]));
    for (seq, verdict) in [
        (0, Verdict::Repair),
        (3, Verdict::Repair),
        (4, Verdict::Apply),
        (5, Verdict::Apply),
        (6, Verdict::Apply),
        (7, Verdict::NothingNew),
        (u64::MAX, Verdict::NothingNew),
    ] {
        assert_eq!(frame.verdict(&at("l1", seq)), verdict, "after {seq}");
        assert_eq!(frame.verdict(&at("l2", seq)), Verdict::Repair, "another log, after {seq}");
    }
}

#[test]
fn a_heartbeat_of_more_or_less_than_is_known_or_of_another_log_is_a_gap() {
    let heartbeat = Heartbeat { log_id: "l1".to_owned(), last: 7, at: Timestamp::default() };
    assert_eq!(heartbeat.verdict(&at("l1", 6)), Verdict::Repair);
    assert_eq!(heartbeat.verdict(&at("l1", 7)), Verdict::NothingNew);
    // It is no witness of what it does not know.
    assert_eq!(heartbeat.verdict(&at("l1", 8)), Verdict::Repair);
    assert_eq!(heartbeat.verdict(&at("l2", 7)), Verdict::Repair);
}

#[test]
fn messages_are_written_as_ever() {
    let frame = Message::Frame(frame(5, 7, rows([6])));
    let head = r#"{"v":1,"kind":"frame","log_id":"l1","first":5,"last":7,"rows":[{"seq":6,"#;
    assert!(frame.write().starts_with(head), "{}", frame.write());
    assert_eq!(Message::read(frame.write().as_bytes()), Ok(frame));
    let at = Timestamp::from_millis(1_700_000_000_123);
    let heartbeat = Heartbeat { log_id: "l1".to_owned(), last: 7, at };
    let heartbeat = Message::Heartbeat(heartbeat);
    let json = r#"{"v":1,"kind":"heartbeat","log_id":"l1","last":7,"at_ms":1700000000123}"#;
    assert_eq!(heartbeat.write(), json);
    assert_eq!(Message::read(json.as_bytes()), Ok(heartbeat));
}

#[test]
fn what_is_no_message_or_one_of_another_version_is_told_apart() {
    for (text, error) in [
        ("", MessageError::Shape),
        ("[]", MessageError::Shape),
        (r#"{"kind":"frame"}"#, MessageError::Shape),
        (r#"{"v":1,"kind":"weather"}"#, MessageError::Shape),
        (r#"{"v":2,"kind":"weather"}"#, MessageError::Version(2)),
        (
            r#"{"v":1,"kind":"frame","log_id":"l1","first":0,"last":0,"rows":[]}"#,
            MessageError::Rows,
        ),
    ] {
        assert_eq!(Message::read(text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn a_frame_whose_rows_are_not_those_of_its_stretch_is_none() {
    for (first, last, seqs) in [
        (0, 1, vec![1]),
        (2, 1, vec![]),
        (5, 7, vec![4]),
        (5, 7, vec![8]),
        (5, 7, vec![6, 5]),
        (5, 7, vec![6, 6]),
    ] {
        let text = Message::Frame(frame(first, last, rows(seqs))).write();
        assert_eq!(Message::read(text.as_bytes()), Err(MessageError::Rows), "{text}");
    }
}

#[test]
fn a_frame_has_at_most_500_rows_and_one_more_begins_another() {
    let max = FRAME_ROWS_MAX as u64;
    assert_eq!(Frame::of("l1", 0, max, rows(1..=max)), [frame(1, max, rows(1..=max))]);
    let two = Frame::of("l1", 0, max + 1, rows(1..=max + 1));
    assert_eq!(two, [frame(1, max, rows(1..=max)), frame(max + 1, max + 1, rows([max + 1]))]);
    let at_it = Message::Frame(two[0].clone()).write();
    assert!(Message::read(at_it.as_bytes()).is_ok());
    let past_it = Message::Frame(frame(1, max + 1, rows(1..=max + 1))).write();
    assert_eq!(Message::read(past_it.as_bytes()), Err(MessageError::Rows));
}

#[test]
fn a_message_at_the_bound_of_bytes_is_read_and_one_past_it_is_not() {
    let written = |kid: usize| Message::Frame(frame(1, 1, vec![row(1, &"k".repeat(kid))])).write();
    let longest = MESSAGE_BYTES_MAX - written(0).len();
    assert!(Message::read(written(longest).as_bytes()).is_ok());
    let longer = Message::read(written(longest + 1).as_bytes());
    assert_eq!(longer, Err(MessageError::Long(MESSAGE_BYTES_MAX + 1)));
}

#[test]
fn a_row_too_long_for_any_frame_leaves_a_gap_and_stops_nobody() {
    let long = "k".repeat(MESSAGE_BYTES_MAX);
    for (seqs, stretches) in [
        (vec![4_u64, 5, 6], vec![(4, 4), (6, 7)]),
        (vec![5, 6], vec![(4, 4), (6, 7)]),
        (vec![4, 5], vec![(4, 4), (6, 7)]),
        (vec![4, 7], vec![(4, 6)]),
    ] {
        let of =
            |&seq: &u64| row(seq, if seq == 5 || seqs == [4, 7] && seq == 7 { &long } else { "k" });
        let frames = Frame::of("l1", 3, 7, seqs.iter().map(of).collect());
        let found: Vec<_> = frames.iter().map(|frame| (frame.first, frame.last)).collect();
        assert_eq!(found, stretches, "{seqs:?}");
    }
}

#[test]
fn numbers_whose_rows_were_forgotten_are_covered_all_the_same() {
    assert_eq!(Frame::of("l1", 3, 9, vec![]), [frame(4, 9, vec![])]);
    assert_eq!(Frame::of("l1", 3, 9, rows([6])), [frame(4, 9, rows([6]))]);
    assert_eq!(Frame::of("l1", 3, 3, vec![]), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn frames_of_any_rows_are_within_their_bounds_and_cover_every_number_once(
        after in 0_u64..1000,
        steps in prop::collection::vec((1_u64..4, 0_usize..400), 0..700),
        more in 0_u64..3,
    ) {
        let mut all = Vec::new();
        let mut last = after;
        for (step, kid) in steps {
            last += step;
            all.push(row(last, &"k".repeat(kid)));
        }
        last += more;
        let frames = Frame::of("l1", after, last, all.clone());
        let mut reached = after;
        for frame in &frames {
            prop_assert_eq!(frame.first, reached + 1);
            reached = frame.last;
            let written = Message::Frame(frame.clone()).write();
            prop_assert_eq!(Message::read(written.as_bytes()), Ok(Message::Frame(frame.clone())));
        }
        prop_assert_eq!(reached, last);
        let carried: Vec<Row> = frames.into_iter().flat_map(|frame| frame.rows).collect();
        prop_assert_eq!(carried, all);
    }

    #[test]
    fn reading_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::read(&bytes);
    }
}
