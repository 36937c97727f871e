//! What workers are asked from afar, and what they answer: Celery's remote control.

use serde_json::Value;
use serde_json::json;

use super::CONTROL_BYTES_MAX;
use super::NAMES_MAX;
use super::envelope::Envelope;
use super::fault::Unreadable;
use super::json;
use super::json::Object;
use super::names::PIDBOX;
use super::names::REPLIES;
use super::names::reply_queue;
use crate::time::Timestamp;

/// What is asked to see who is there.
pub const PING: &str = "ping";

/// What is answered to that.
pub const PONG: &str = "pong";

/// When a request expires that does not.
const NEVER: f64 = 0.0;

/// How names match as in a shell.
const GLOB: &str = "glob";

/// Something asked of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What, such as `ping` or `revoke`.
    pub method: String,
    /// More of what.
    pub arguments: Object,
    /// Whom.
    pub to: Destination,
    /// What answers must bear.
    pub ticket: Option<String>,
    /// Where answers go; nowhere where nobody waits for any.
    pub reply_to: Option<ReplyTo>,
    /// From when on nobody waits any more, by the clock of whoever asks.
    pub expires: Option<Timestamp>,
    /// The asker's logical clock.
    pub clock: u64,
}

/// Which workers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Whoever hears it.
    All,
    /// Those of these names, at most [`NAMES_MAX`].
    Named(Vec<String>),
    /// Those whose names match, such as `w*@host`.
    Matching {
        /// What they match.
        pattern: String,
        /// And how: `glob`, as in a shell, or another way, such as `pcre`.
        matcher: String,
    },
}

impl Destination {
    /// Whether the worker called `hostname` is one of them. Nobody is, of those that match in another
    /// way than as in a shell, or by a set in brackets.
    pub fn is(&self, hostname: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == hostname),
            Self::Matching { pattern, matcher } => {
                matcher == GLOB
                    && !pattern.contains('[')
                    && is_like(hostname.as_bytes(), pattern.as_bytes())
            }
        }
    }
}

/// Whether `text` is like `pattern`, in which `*` is any text and `?` any byte.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut wanted) = (0, 0);
    // Where the last `*` was, and how far it reaches for now.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(wanted) {
            Some(b'*') => {
                star = Some((wanted, at));
                wanted += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[at] => {
                at += 1;
                wanted += 1;
            }
            _ => match star {
                Some((place, reach)) => {
                    star = Some((place, reach + 1));
                    at = reach + 1;
                    wanted = place + 1;
                }
                None => return false,
            },
        }
    }
    pattern[wanted..].iter().all(|byte| *byte == b'*')
}

/// Where answers go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The exchange.
    pub exchange: String,
    /// The key in it; the queue is the one that is bound by it.
    pub routing_key: String,
}

impl ReplyTo {
    /// The queue that whoever asks in Celery's way has bound by that key.
    pub fn queue(&self) -> String {
        reply_queue(&self.routing_key)
    }
}

impl Request {
    /// Asks all workers whether they are there; answers bear `ticket` and go to whoever asks as `name`.
    ///
    /// It does not expire: workers whose clock is ahead would not answer.
    pub fn ping(ticket: &str, name: &str) -> Self {
        let reply_to = ReplyTo { exchange: REPLIES.to_owned(), routing_key: name.to_owned() };
        Self {
            method: PING.to_owned(),
            arguments: Object::new(),
            to: Destination::All,
            ticket: Some(ticket.to_owned()),
            reply_to: Some(reply_to),
            expires: None,
            clock: 1,
        }
    }

    /// It, as it goes over the channel; `delivery_tag` is what the message is called.
    pub fn write(&self, delivery_tag: &str) -> String {
        let nobody = Value::Null;
        let (destination, pattern, matcher) = match &self.to {
            Destination::All => (nobody, Value::Null, Value::Null),
            Destination::Named(names) => (json!(names), Value::Null, Value::Null),
            Destination::Matching { pattern, matcher } => (nobody, json!(pattern), json!(matcher)),
        };
        let mut body = json!({
            "method": self.method,
            "arguments": self.arguments,
            "destination": destination,
            "pattern": pattern,
            "matcher": matcher,
        });
        if let Some(ticket) = &self.ticket {
            body["ticket"] = json!(ticket);
        }
        if let Some(ReplyTo { exchange, routing_key }) = &self.reply_to {
            body["reply_to"] = json!({"exchange": exchange, "routing_key": routing_key});
        }
        let mut envelope = Envelope::new(&body, PIDBOX, "", delivery_tag);
        envelope.headers.insert("clock".to_owned(), self.clock.into());
        let expires = self.expires.map_or_else(|| NEVER.into(), json::to_epoch);
        envelope.headers.insert("expires".to_owned(), expires);
        envelope.write()
    }

    /// Reads what came over the channel, at most [`CONTROL_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut envelope = Envelope::read_at_most(bytes, CONTROL_BYTES_MAX)?;
        let mut body: Object = json::read(&envelope.body, CONTROL_BYTES_MAX, "a request")?;
        let expires = match envelope.headers.remove("expires") {
            None | Some(Value::Null) => None,
            Some(Value::Number(at)) if at.as_f64() == Some(NEVER) => None,
            Some(at) => Some(json::since_epoch(&at).ok_or(Unreadable::Moment("expires"))?),
        };
        let reply_to = match body.remove("reply_to") {
            None | Some(Value::Null) => None,
            Some(Value::Object(mut place)) => Some(ReplyTo {
                exchange: json::take_name(&mut place, "exchange")?,
                routing_key: json::take_name(&mut place, "routing_key")?,
            }),
            Some(_) => return Err(Unreadable::Shape("reply_to")),
        };
        Ok(Self {
            method: json::take_name(&mut body, "method")?,
            arguments: json::take_object(&mut body, "arguments")?,
            to: take_destination(&mut body)?,
            ticket: json::take_name_if_any(&mut body, "ticket")?,
            reply_to,
            expires,
            clock: json::take_count(&mut envelope.headers, "clock")?,
        })
    }
}

/// As kombu decides: an empty list is nobody in particular, and so everybody.
fn take_destination(body: &mut Object) -> Result<Destination, Unreadable> {
    const NAME: &str = "destination";
    let names = match body.remove(NAME) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(names)) if names.len() <= NAMES_MAX => names,
        Some(_) => return Err(Unreadable::Shape(NAME)),
    };
    if !names.is_empty() {
        let name = |value: Value| match value {
            Value::String(name) => json::named(name, NAME),
            _ => Err(Unreadable::Shape(NAME)),
        };
        return Ok(Destination::Named(names.into_iter().map(name).collect::<Result<_, _>>()?));
    }
    let pattern = json::take_name_if_any(body, "pattern")?;
    let matcher = json::take_name_if_any(body, "matcher")?;
    Ok(match (pattern, matcher) {
        (Some(pattern), Some(matcher)) => Destination::Matching { pattern, matcher },
        (None, _) | (_, None) => Destination::All,
    })
}

/// What a worker answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Which worker.
    pub hostname: String,
    /// What; to a ping, `{"ok": "pong"}`.
    pub answer: Value,
    /// What was asked: the ticket of the request.
    pub ticket: Option<String>,
    /// The worker's logical clock.
    pub clock: u64,
}

impl Reply {
    /// The answer of the worker `hostname` to a ping with that ticket.
    pub fn pong(hostname: &str, ticket: Option<String>, clock: u64) -> Self {
        Self { hostname: hostname.to_owned(), answer: json!({"ok": PONG}), ticket, clock }
    }

    /// Whether it is the answer to a ping.
    pub fn is_pong(&self) -> bool {
        self.answer.get("ok").is_some_and(|answer| answer == PONG)
    }

    /// It, as it lies in the list of whoever asked; `delivery_tag` is what the message is called.
    pub fn write(&self, to: &ReplyTo, delivery_tag: &str) -> String {
        let body = json!({self.hostname.as_str(): self.answer});
        let mut envelope = Envelope::new(&body, &to.exchange, &to.routing_key, delivery_tag);
        // Not to be kept: whoever asked waits for a moment only.
        envelope.delivery_mode = 1;
        envelope.headers.insert("ticket".to_owned(), json!(self.ticket));
        envelope.headers.insert("clock".to_owned(), self.clock.into());
        envelope.write()
    }

    /// Reads an answer of at most [`CONTROL_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut envelope = Envelope::read_at_most(bytes, CONTROL_BYTES_MAX)?;
        let body: Object = json::read(&envelope.body, CONTROL_BYTES_MAX, "an answer")?;
        let mut answers = body.into_iter();
        let (Some((hostname, answer)), None) = (answers.next(), answers.next()) else {
            return Err(Unreadable::Shape("an answer of one worker"));
        };
        Ok(Self {
            hostname: json::named(hostname, "hostname")?,
            answer,
            ticket: json::take_name_if_any(&mut envelope.headers, "ticket")?,
            clock: json::take_count(&mut envelope.headers, "clock")?,
        })
    }
}
