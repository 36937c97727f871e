//! The message around everything that Celery sends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::json;

use super::MESSAGE_BYTES_MAX;
use super::fault::Unreadable;
use super::json;
use super::json::Object;

/// What content is read and written as.
const JSON: &str = "application/json";

/// A message: its body, what is said of it, and where it goes.
///
/// What is not known here is kept as it came, so that a message that is put back is the same one; its
/// body to the byte.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// JSON, at most [`MESSAGE_BYTES_MAX`] bytes of it together with all else.
    pub body: Vec<u8>,
    /// What is said of it.
    pub headers: Object,
    /// Whether a broker should keep it; Redis keeps what it keeps.
    pub delivery_mode: u8,
    /// 0 to 9; the lower, the sooner.
    pub priority: u8,
    /// Where it was sent.
    pub exchange: String,
    /// And by which key; the queue itself where the exchange is the nameless one.
    pub routing_key: String,
    /// What it is called while nobody has acknowledged it.
    pub delivery_tag: String,
    /// Which task it is about.
    pub correlation_id: Option<String>,
    /// Who waits for what comes of it.
    pub reply_to: Option<String>,
    /// Whether a worker took it before and did not acknowledge it.
    pub redelivered: bool,
    /// All other properties.
    pub properties: Object,
}

impl Envelope {
    /// A message with this body, which is JSON, to `exchange` by `routing_key`, called `delivery_tag`.
    pub fn new(body: &Value, exchange: &str, routing_key: &str, delivery_tag: &str) -> Self {
        Self {
            body: json::write(body),
            headers: Object::new(),
            delivery_mode: 2,
            priority: 0,
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            delivery_tag: delivery_tag.to_owned(),
            correlation_id: None,
            reply_to: None,
            redelivered: false,
            properties: Object::new(),
        }
    }

    /// It, as it lies in a list or goes over a channel.
    pub fn write(&self) -> String {
        let mut headers = self.headers.clone();
        let mut delivery_info = json!({"exchange": self.exchange, "routing_key": self.routing_key});
        if self.redelivered {
            headers.insert("redelivered".to_owned(), true.into());
            delivery_info["redelivered"] = true.into();
        }
        let mut properties = self.properties.clone();
        let mut set = |name: &str, value: Value| properties.insert(name.to_owned(), value);
        set("delivery_mode", self.delivery_mode.into());
        set("delivery_info", delivery_info);
        set("priority", self.priority.into());
        set("body_encoding", "base64".into());
        set("delivery_tag", self.delivery_tag.as_str().into());
        if let Some(id) = &self.correlation_id {
            set("correlation_id", id.as_str().into());
        }
        if let Some(name) = &self.reply_to {
            set("reply_to", name.as_str().into());
        }
        json!({
            "body": STANDARD.encode(&self.body),
            "content-encoding": "utf-8",
            "content-type": JSON,
            "headers": headers,
            "properties": properties,
        })
        .to_string()
    }

    /// Reads a message of at most [`MESSAGE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        Self::read_at_most(bytes, MESSAGE_BYTES_MAX)
    }

    pub(super) fn read_at_most(bytes: &[u8], at_most: usize) -> Result<Self, Unreadable> {
        let mut message: Object = json::read(bytes, at_most, "a message")?;
        if message.get("content-type").is_some_and(|kind| kind != JSON) {
            return Err(Unreadable::Content);
        }
        let mut headers = json::take_object(&mut message, "headers")?;
        if headers.get("compression").is_some_and(|way| !way.is_null()) {
            return Err(Unreadable::Compressed);
        }
        let mut properties = json::take_object(&mut message, "properties")?;
        let body = match message.remove("body") {
            Some(Value::String(body)) => body,
            _ => return Err(Unreadable::Shape("body")),
        };
        let body = match properties.remove("body_encoding") {
            Some(Value::String(way)) if way == "base64" => {
                STANDARD.decode(body).map_err(|_| Unreadable::Shape("body"))?
            }
            None | Some(Value::Null) => body.into_bytes(),
            Some(_) => return Err(Unreadable::Content),
        };
        let mut route = json::take_object(&mut properties, "delivery_info")?;
        let from_route = json::take_flag(&mut route, "redelivered")?;
        Ok(Self {
            body,
            redelivered: json::take_flag(&mut headers, "redelivered")? || from_route,
            headers,
            delivery_mode: take_small(&mut properties, "delivery_mode", u8::MAX)?,
            priority: take_small(&mut properties, "priority", 9)?,
            // Both may be empty: the nameless exchange, and a message for all.
            exchange: json::take_text_if_any(&mut route, "exchange")?.unwrap_or_default(),
            routing_key: json::take_text_if_any(&mut route, "routing_key")?.unwrap_or_default(),
            delivery_tag: json::take_name(&mut properties, "delivery_tag")?,
            correlation_id: json::take_name_if_any(&mut properties, "correlation_id")?,
            reply_to: json::take_name_if_any(&mut properties, "reply_to")?,
            properties,
        })
    }
}

/// A small number, cut at `most` as kombu cuts priorities, and 0 where there is none.
fn take_small(object: &mut Object, name: &'static str, most: u8) -> Result<u8, Unreadable> {
    let count = json::take_count(object, name)?;
    Ok(u8::try_from(count).unwrap_or(u8::MAX).min(most))
}

/// A message that a worker has taken and not acknowledged: a value of the hash of those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unacked {
    /// The message as it came, in whatever way it is written, and however long it is.
    pub message: Vec<u8>,
    /// The exchange by which it goes back; the nameless one for a queue of its own.
    pub exchange: String,
    /// The key by which it goes back: the queue it came from.
    pub routing_key: String,
}

impl Unacked {
    /// It, as it lies in the hash.
    pub fn write(&self) -> Vec<u8> {
        let way = json::write(&json!([self.exchange, self.routing_key]));
        // What is left of the way is its bracket.
        [&b"["[..], &self.message, b",", &way[1..]].concat()
    }

    /// Reads a value of the hash. What the message says, and whether it is one, is not looked at.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        const NAME: &str = "a message that was taken";
        let broken = || Unreadable::Shape(NAME);
        let inside = bytes.trim_ascii().strip_prefix(b"[").ok_or_else(broken)?;
        let mut values = serde_json::Deserializer::from_slice(inside).into_iter::<IgnoredAny>();
        values.next().and_then(Result::ok).ok_or_else(broken)?;
        let (message, way) = inside.split_at(values.byte_offset());
        let way = way.trim_ascii_start().strip_prefix(b",").ok_or_else(broken)?;
        let (exchange, routing_key): (Option<String>, Option<String>) =
            json::read(&[&b"["[..], way].concat(), usize::MAX, NAME)?;
        Ok(Self {
            message: message.trim_ascii().to_vec(),
            exchange: exchange.unwrap_or_default(),
            routing_key: routing_key.unwrap_or_default(),
        })
    }
}
