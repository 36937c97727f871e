//! A broker's lists and channels are open to whoever may write there.

use proptest::prelude::*;

use super::*;

const READERS: [Rewrite; 6] =
    [rewrite_task, rewrite_result, rewrite_request, rewrite_event, rewrite_pong, rewrite_unacked];

/// Any JSON, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!("9999-12-31T23:59:59.999999+00:00")),
        Just(json!("-009999-01-01T00:00:00")),
        Just(json!(1e300)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z]{0,6}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// All places in a value, counted in one order.
fn places(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    visit(value);
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| places(value, visit)),
        Value::Array(values) => values.iter_mut().for_each(|value| places(value, visit)),
        _ => {}
    }
}

fn closed(mut message: Value) -> Vec<u8> {
    let inner = match message.get_mut(0) {
        Some(inner) => inner,
        None => &mut message,
    };
    if let Some(body) = inner.get_mut("body") {
        *body = json!(STANDARD.encode(serde_json::to_vec(body).expect("JSON")));
    }
    serde_json::to_vec(&message).expect("JSON")
}

proptest! {
    #[test]
    fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for read in READERS {
            prop_assert!(read(&bytes).is_err());
        }
        let _ = Binding::read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn reading_what_was_changed_on_the_way_never_panics(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let all = captured();
        let (bytes, read, _) = all[which.index(all.len())];
        let mut changed = bytes.to_vec();
        let at = at.index(changed.len());
        changed[at] = byte;
        let _ = read(&changed);
        let _ = read(&bytes[..cut.index(bytes.len())]);
    }

    /// Each value in turn is something else; what is read all the same is written so that it reads the
    /// same again.
    #[test]
    fn what_is_read_is_written_so_that_it_is_read_again(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        other in any_json(),
    ) {
        let all = captured();
        let (bytes, read, _) = all[which.index(all.len())];
        let mut message = opened(bytes);
        let mut count = 0;
        places(&mut message, &mut |_| count += 1);
        let mut left = place.index(count);
        let mut other = Some(other);
        places(&mut message, &mut |value| {
            if left == 0 && let Some(other) = other.take() {
                *value = other;
            }
            left = left.wrapping_sub(1);
        });
        if let Ok(once) = read(&closed(message)) {
            let twice = read(once.as_bytes());
            prop_assert_eq!(twice.as_ref(), Ok(&once));
        }
    }
}

#[test]
fn what_is_nested_without_end_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = STANDARD.encode(&deep);
    let message = format!(
        r#"{{"body":"{body}","headers":{{"id":"a","task":"b"}},"properties":{{"body_encoding":"base64","delivery_tag":"t"}}}}"#
    );
    for read in READERS {
        assert!(read(deep.as_bytes()).is_err());
        assert!(read(message.as_bytes()).is_err());
    }
}

#[test]
fn a_pickle_is_not_opened_and_neither_is_what_is_compressed() {
    let mut message: Value = serde_json::from_slice(TASKS[0]).expect("JSON");
    message["content-type"] = json!("application/x-python-serialize");
    assert_eq!(rewrite_task(message.to_string().as_bytes()), Err(Unreadable::Content));
    message["content-type"] = json!("application/json");
    message["headers"]["compression"] = json!("application/x-gzip");
    assert_eq!(rewrite_task(message.to_string().as_bytes()), Err(Unreadable::Compressed));
    message["headers"]["compression"] = Value::Null;
    message["properties"]["body_encoding"] = json!("rot13");
    assert_eq!(rewrite_task(message.to_string().as_bytes()), Err(Unreadable::Content));
}

#[test]
fn a_body_without_an_encoding_is_json_as_it_is() {
    let mut message: Value = serde_json::from_slice(TASKS[0]).expect("JSON");
    message["body"] = json!(r#"[[2, 3], {}, {}]"#);
    message["properties"]["body_encoding"] = Value::Null;
    let task = Task::read(message.to_string().as_bytes()).expect("it is read");
    assert_eq!(task.args, [json!(2), json!(3)]);
}

/// `text` with blanks after it, `bytes` long: the same JSON.
fn padded(text: &[u8], bytes: usize) -> Vec<u8> {
    let mut padded = text.to_vec();
    padded.resize(bytes, b' ');
    padded
}

#[test]
fn a_message_of_the_longest_is_read_and_one_byte_more_is_not() {
    for (text, read, at_most) in captured().into_iter().filter(|(.., most)| *most < usize::MAX) {
        assert!(read(&padded(text, at_most)).is_ok());
        let bytes = at_most + 1;
        assert_eq!(read(&padded(text, bytes)), Err(Unreadable::Long { bytes, at_most }));
    }
}

#[test]
fn a_name_of_the_longest_is_read_and_one_byte_more_is_not() {
    let pong = |name: &str| Envelope::new(&json!({name: {"ok": "pong"}}), "e", "k", "t").write();
    let named = |bytes| Reply::read(pong(&"w".repeat(bytes)).as_bytes());
    assert!(named(NAME_BYTES_MAX).is_ok());
    assert_eq!(named(NAME_BYTES_MAX + 1), Err(Unreadable::Name("hostname")));
    assert_eq!(named(0), Err(Unreadable::Name("hostname")));
    let task = |bytes| Task::new(&"t".repeat(bytes), "id", vec![], "celery", "tag").write();
    assert!(Task::read(task(NAME_BYTES_MAX).as_bytes()).is_ok());
    assert_eq!(Task::read(task(NAME_BYTES_MAX + 1).as_bytes()), Err(Unreadable::Name("task")));
}

#[test]
fn a_request_for_the_most_workers_is_read_and_one_for_one_more_is_not() {
    let to = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("w{n}")).collect();
        let request = Request { to: Destination::Named(names), ..Request::ping("t", "me") };
        Request::read(request.write("d").as_bytes())
    };
    assert!(to(NAMES_MAX).is_ok());
    assert_eq!(to(NAMES_MAX + 1), Err(Unreadable::Shape("destination")));
}

#[test]
fn a_priority_past_the_last_is_the_last() {
    for (priority, read) in [(9, 9), (10, 9), (300, 9)] {
        let mut message: Value = serde_json::from_slice(TASKS[0]).expect("JSON");
        message["properties"]["priority"] = json!(priority);
        let task = Task::read(message.to_string().as_bytes()).expect("it is read");
        assert_eq!(task.priority, read);
    }
}
