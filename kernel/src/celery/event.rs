//! What workers say of themselves, unasked.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::CONTROL_BYTES_MAX;
use super::envelope::Envelope;
use super::fault::Unreadable;
use super::json;
use super::json::Object;
use super::names::EVENTS;
use crate::time::Timestamp;

/// How often a worker of Celery says that it is there, unless it is told otherwise.
pub const FREQ: Duration = Duration::from_secs(2);

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It has come.
    Online,
    /// It is there.
    Heartbeat,
    /// It goes.
    Offline,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Online, Self::Heartbeat, Self::Offline];

    /// Its name in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "worker-online",
            Self::Heartbeat => "worker-heartbeat",
            Self::Offline => "worker-offline",
        }
    }

    /// The end of the channel on which it is said.
    pub fn routing_key(self) -> &'static str {
        match self {
            Self::Online => "worker.online",
            Self::Heartbeat => "worker.heartbeat",
            Self::Offline => "worker.offline",
        }
    }
}

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerEvent {
    /// What.
    pub kind: Kind,
    /// Which worker, such as `celery@host`.
    pub hostname: String,
    /// Its process.
    pub pid: u32,
    /// Its logical clock.
    pub clock: u64,
    /// How often it says so.
    pub freq: Duration,
    /// How many tasks it is at.
    pub active: u64,
    /// How many it has done since it came.
    pub processed: u64,
    /// How much its machine has to do, over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// What it is, such as `py-celery`; empty where it does not say.
    pub software: String,
    /// And in which version; empty where it does not say.
    pub version: String,
    /// When it said so, by its own clock.
    pub at: Timestamp,
}

impl WorkerEvent {
    /// It, as it goes over the channel; `delivery_tag` is what the message is called.
    pub fn write(&self, delivery_tag: &str) -> String {
        // What is not known is not said: an empty name would be none.
        let said = |name: &String| Some(name).filter(|name| !name.is_empty()).cloned();
        let body = json!({
            "hostname": self.hostname,
            "utcoffset": 0,
            "pid": self.pid,
            "clock": self.clock,
            "freq": self.freq.as_secs_f64(),
            "active": self.active,
            "processed": self.processed,
            "loadavg": self.load,
            "sw_ident": said(&self.software),
            "sw_ver": said(&self.version),
            "sw_sys": "Linux",
            "timestamp": json::to_epoch(self.at),
            "type": self.kind.as_str(),
        });
        let mut envelope = Envelope::new(&body, EVENTS, self.kind.routing_key(), delivery_tag);
        envelope.delivery_mode = 1;
        envelope.headers.insert("hostname".to_owned(), json!(self.hostname));
        envelope.write()
    }

    /// Reads what came over a channel, at most [`CONTROL_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Unreadable`]; so is what a worker says of tasks.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let envelope = Envelope::read_at_most(bytes, CONTROL_BYTES_MAX)?;
        let mut body: Object = json::read(&envelope.body, CONTROL_BYTES_MAX, "an event")?;
        let kind = json::take_name(&mut body, "type")?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
        let pid = json::take_count(&mut body, "pid")?;
        Ok(Self {
            kind: kind.ok_or(Unreadable::Shape("type"))?,
            hostname: json::take_name(&mut body, "hostname")?,
            pid: u32::try_from(pid).map_err(|_| Unreadable::Shape("pid"))?,
            clock: json::take_count(&mut body, "clock")?,
            freq: take_freq(&mut body)?,
            active: json::take_count(&mut body, "active")?,
            processed: json::take_count(&mut body, "processed")?,
            load: take_load(&mut body),
            software: json::take_name_if_any(&mut body, "sw_ident")?.unwrap_or_default(),
            version: json::take_name_if_any(&mut body, "sw_ver")?.unwrap_or_default(),
            at: body
                .get("timestamp")
                .and_then(json::since_epoch)
                .ok_or(Unreadable::Moment("timestamp"))?,
        })
    }
}

fn take_freq(body: &mut Object) -> Result<Duration, Unreadable> {
    const NAME: &str = "freq";
    match body.remove(NAME) {
        None | Some(Value::Null) => Ok(FREQ),
        Some(value) => {
            json::seconds(&value).filter(|freq| !freq.is_zero()).ok_or(Unreadable::Shape(NAME))
        }
    }
}

/// Zeroes where there is none of the shape: not every system has it.
fn take_load(body: &mut Object) -> [f64; 3] {
    let numbers = |value: Value| {
        let all: Option<Vec<_>> = value.as_array()?.iter().map(Value::as_f64).collect();
        all?.try_into().ok()
    };
    body.remove("loadavg").and_then(numbers).unwrap_or_default()
}
