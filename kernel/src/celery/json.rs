//! JSON that is read with care: bounded, and each field of one type.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;

use super::NAME_BYTES_MAX;
use super::fault::Unreadable;
use crate::time::Timestamp;

/// The last moment that is told from its neighbours by a number of seconds: in the year 287 396.
const MILLIS_MAX: f64 = 9_007_199_254_740_991.0;

/// A JSON object, or one of its fields, that Celery may have left out or written as null.
pub(super) type Object = Map<String, Value>;

/// Reads at most `at_most` bytes of JSON; `what` is what they should have been.
pub(super) fn read<T: DeserializeOwned>(
    bytes: &[u8],
    at_most: usize,
    what: &'static str,
) -> Result<T, Unreadable> {
    bounded(bytes, at_most)?;
    // It gives up on what is nested more than 128 deep.
    serde_json::from_slice(bytes).map_err(|_| Unreadable::Shape(what))
}

/// Refuses more than `at_most` bytes.
pub(super) fn bounded(bytes: &[u8], at_most: usize) -> Result<(), Unreadable> {
    match bytes.len() > at_most {
        true => Err(Unreadable::Long { bytes: bytes.len(), at_most }),
        false => Ok(()),
    }
}

/// JSON of `value`, which is made of texts and numbers.
pub(super) fn write(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value can always be written")
}

/// Takes the field `name` out, which must be a name.
pub(super) fn take_name(object: &mut Object, name: &'static str) -> Result<String, Unreadable> {
    match object.remove(name) {
        Some(Value::String(text)) => named(text, name),
        _ => Err(Unreadable::Shape(name)),
    }
}

/// Takes the field `name` out, which is a name where it is there at all.
pub(super) fn take_name_if_any(
    object: &mut Object,
    name: &'static str,
) -> Result<Option<String>, Unreadable> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => named(text, name).map(Some),
        Some(_) => Err(Unreadable::Shape(name)),
    }
}

/// Takes the field `name` out, which is a text of any length where it is there at all.
pub(super) fn take_text_if_any(
    object: &mut Object,
    name: &'static str,
) -> Result<Option<String>, Unreadable> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Unreadable::Shape(name)),
    }
}

/// Takes the field `name` out, a whole number that is 0 where it is not there.
pub(super) fn take_count(object: &mut Object, name: &'static str) -> Result<u64, Unreadable> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value.as_u64().ok_or(Unreadable::Shape(name)),
    }
}

/// Takes the field `name` out, yes or no, and no where it is not there.
pub(super) fn take_flag(object: &mut Object, name: &'static str) -> Result<bool, Unreadable> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or(Unreadable::Shape(name)),
    }
}

/// Takes the field `name` out, an object that is empty where it is not there.
pub(super) fn take_object(object: &mut Object, name: &'static str) -> Result<Object, Unreadable> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(Object::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(Unreadable::Shape(name)),
    }
}

/// Takes the field `name` out, a moment where it is there at all.
pub(super) fn take_moment(
    object: &mut Object,
    name: &'static str,
) -> Result<Option<Timestamp>, Unreadable> {
    match take_text_if_any(object, name)? {
        None => Ok(None),
        Some(text) => moment(&text).map(Some).ok_or(Unreadable::Moment(name)),
    }
}

/// A name, if it is neither empty nor too long.
pub(super) fn named(text: String, name: &'static str) -> Result<String, Unreadable> {
    match text.is_empty() || text.len() > NAME_BYTES_MAX {
        true => Err(Unreadable::Name(name)),
        false => Ok(text),
    }
}

/// A moment in ISO 8601, as `datetime.isoformat` writes it; UTC where it names no offset, which is how
/// Celery reads one.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let with_offset = text.parse::<jiff::Timestamp>();
    let at = with_offset.or_else(|_| {
        let local: jiff::civil::DateTime = text.parse()?;
        Ok::<_, jiff::Error>(local.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
    });
    u64::try_from(at.ok()?.as_millisecond()).ok().map(Timestamp::from_millis)
}

/// That moment, as `datetime.isoformat` writes it.
pub(super) fn isoformat(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    // Python before 3.11 reads no `Z`, and knows of three or six digits alone.
    format!("{}+00:00", at.strftime("%Y-%m-%dT%H:%M:%S.%6f"))
}

/// A number of seconds as a length of time, if it is one: neither negative, nor endless, nor none.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}

/// A number of seconds since the epoch as a moment, to the nearest millisecond, if it is one.
pub(super) fn since_epoch(value: &Value) -> Option<Timestamp> {
    let millis = (seconds(value)?.as_secs_f64() * 1000.0).round();
    // Past it numbers of this kind are no longer whole milliseconds.
    (millis <= MILLIS_MAX).then_some(Timestamp::from_millis(millis as u64))
}

/// That moment, in seconds since the epoch.
pub(super) fn to_epoch(at: Timestamp) -> Value {
    Value::from(at.as_millis() as f64 / 1000.0)
}

/// Those seconds, as a whole number where they are one.
pub(super) fn to_seconds(of: Duration) -> Value {
    match of.subsec_nanos() {
        0 => Value::from(of.as_secs()),
        _ => Value::from(of.as_secs_f64()),
    }
}
