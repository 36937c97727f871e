//! A call of a task: version 2 of Celery's message protocol.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::MESSAGE_BYTES_MAX;
use super::envelope::Envelope;
use super::fault::Unreadable;
use super::json;
use super::json::Object;
use crate::time::Timestamp;

/// A task that somebody wants done.
///
/// Whole numbers of more than 64 bits among its arguments are read as floating ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// What it is called from then on; its result as well.
    pub id: String,
    /// Which task, such as `tasks.add`.
    pub name: String,
    /// Its arguments by place.
    pub args: Vec<Value>,
    /// Its arguments by name.
    pub kwargs: Object,
    /// What is to follow.
    pub embed: Embed,
    /// How often it was tried before.
    pub retries: u32,
    /// Not to be begun before.
    pub eta: Option<Timestamp>,
    /// Not to be begun from then on.
    pub expires: Option<Timestamp>,
    /// How long it may take.
    pub time_limit: TimeLimit,
    /// Whether nobody wants to know what comes of it.
    pub ignore_result: bool,
    /// The first task of those of which it is one.
    pub root_id: Option<String>,
    /// The task that called for it.
    pub parent_id: Option<String>,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// 0 to 9; the lower, the sooner.
    pub priority: u8,
    /// Where it was sent.
    pub exchange: String,
    /// The queue, where the exchange is the nameless one.
    pub routing_key: String,
    /// What the message is called while nobody has acknowledged it.
    pub delivery_tag: String,
    /// Which task the answer is about; its id, as a rule.
    pub correlation_id: Option<String>,
    /// Who waits for the answer.
    pub reply_to: Option<String>,
    /// Whether a worker took it before and did not acknowledge it.
    pub redelivered: bool,
    /// All other headers, as they came.
    pub headers: Object,
    /// All other properties, as they came.
    pub properties: Object,
}

/// What is to follow on a task, in Celery's own way of writing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embed {
    /// What to call with its result.
    pub callbacks: Value,
    /// What to call with its failure.
    pub errbacks: Value,
    /// The rest of the chain, the last one first.
    pub chain: Value,
    /// What to call once all of its group are done.
    pub chord: Value,
}

impl Embed {
    /// Whether nothing is to follow.
    pub fn is_empty(&self) -> bool {
        let nothing = |value: &Value| match value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        [&self.callbacks, &self.errbacks, &self.chain, &self.chord].into_iter().all(nothing)
    }
}

/// How long a task may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimit {
    /// Then it is ended.
    pub hard: Option<Duration>,
    /// Then it is told to end.
    pub soft: Option<Duration>,
}

impl Task {
    /// A call of task `name` with these arguments, to `queue`: `id` is its id, and `delivery_tag` what
    /// the message is called.
    pub fn new(name: &str, id: &str, args: Vec<Value>, queue: &str, delivery_tag: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            args,
            kwargs: Object::new(),
            embed: Embed::default(),
            retries: 0,
            eta: None,
            expires: None,
            time_limit: TimeLimit::default(),
            ignore_result: false,
            root_id: Some(id.to_owned()),
            parent_id: None,
            group: None,
            priority: 0,
            exchange: String::new(),
            routing_key: queue.to_owned(),
            delivery_tag: delivery_tag.to_owned(),
            correlation_id: Some(id.to_owned()),
            reply_to: None,
            redelivered: false,
            headers: Object::new(),
            properties: Object::new(),
        }
    }

    /// The message that calls for it.
    pub fn to_envelope(&self) -> Envelope {
        let Embed { callbacks, errbacks, chain, chord } = &self.embed;
        let body = json!([self.args, self.kwargs, {
            "callbacks": callbacks,
            "errbacks": errbacks,
            "chain": chain,
            "chord": chord,
        }]);
        let mut envelope =
            Envelope::new(&body, &self.exchange, &self.routing_key, &self.delivery_tag);
        envelope.priority = self.priority;
        envelope.correlation_id.clone_from(&self.correlation_id);
        envelope.reply_to.clone_from(&self.reply_to);
        envelope.redelivered = self.redelivered;
        envelope.properties.clone_from(&self.properties);
        envelope.headers = self.headers();
        envelope
    }

    fn headers(&self) -> Object {
        let mut headers = self.headers.clone();
        let moment =
            |at: Option<Timestamp>| at.map_or(Value::Null, |at| json::isoformat(at).into());
        let seconds = |limit: Option<Duration>| limit.map_or(Value::Null, json::to_seconds);
        // Workers of Celery look for all of these.
        for (name, value) in [
            ("lang", json!("py")),
            ("task", json!(self.name)),
            ("id", json!(self.id)),
            ("root_id", json!(self.root_id)),
            ("parent_id", json!(self.parent_id)),
            ("group", json!(self.group)),
            ("eta", moment(self.eta)),
            ("expires", moment(self.expires)),
            ("retries", json!(self.retries)),
            ("timelimit", json!([seconds(self.time_limit.hard), seconds(self.time_limit.soft)])),
            ("ignore_result", json!(self.ignore_result)),
        ] {
            headers.insert(name.to_owned(), value);
        }
        for (name, value) in [
            ("group_index", Value::Null),
            ("shadow", Value::Null),
            ("argsrepr", Value::Null),
            ("kwargsrepr", Value::Null),
            ("origin", json!("doorward")),
            ("replaced_task_nesting", json!(0)),
            ("stamped_headers", Value::Null),
            ("stamps", json!({})),
        ] {
            headers.entry(name).or_insert(value);
        }
        headers
    }

    /// It, as it lies in a queue.
    pub fn write(&self) -> String {
        self.to_envelope().write()
    }

    /// Reads what lies in a queue, of at most [`MESSAGE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Unreadable`]; so is a message of version 1, whose task is not in its headers.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        Self::of(Envelope::read(bytes)?)
    }

    /// Reads what a message calls for.
    ///
    /// # Errors
    /// [`Unreadable`], as [`Task::read`].
    pub fn of(envelope: Envelope) -> Result<Self, Unreadable> {
        let Envelope { body, mut headers, .. } = envelope;
        let (args, kwargs, embed): (Vec<Value>, Object, Object) =
            json::read(&body, MESSAGE_BYTES_MAX, "arguments and what is to follow")?;
        // Written anew as they are here.
        headers.remove("lang");
        Ok(Self {
            id: json::take_name(&mut headers, "id")?,
            name: json::take_name(&mut headers, "task")?,
            args,
            kwargs,
            embed: embed_of(embed),
            retries: u32::try_from(json::take_count(&mut headers, "retries")?)
                .map_err(|_| Unreadable::Shape("retries"))?,
            eta: json::take_moment(&mut headers, "eta")?,
            expires: json::take_moment(&mut headers, "expires")?,
            time_limit: take_time_limit(&mut headers)?,
            ignore_result: json::take_flag(&mut headers, "ignore_result")?,
            root_id: json::take_name_if_any(&mut headers, "root_id")?,
            parent_id: json::take_name_if_any(&mut headers, "parent_id")?,
            group: json::take_name_if_any(&mut headers, "group")?,
            priority: envelope.priority,
            exchange: envelope.exchange,
            routing_key: envelope.routing_key,
            delivery_tag: envelope.delivery_tag,
            correlation_id: envelope.correlation_id,
            reply_to: envelope.reply_to,
            redelivered: envelope.redelivered,
            headers,
            properties: envelope.properties,
        })
    }
}

fn embed_of(mut embed: Object) -> Embed {
    let mut take = |name| embed.remove(name).unwrap_or_default();
    Embed {
        callbacks: take("callbacks"),
        errbacks: take("errbacks"),
        chain: take("chain"),
        chord: take("chord"),
    }
}

fn take_time_limit(headers: &mut Object) -> Result<TimeLimit, Unreadable> {
    const NAME: &str = "timelimit";
    let limit = |value: &Value| match value {
        Value::Null => Ok(None),
        // Celery takes nought for none.
        value => match json::seconds(value).ok_or(Unreadable::Shape(NAME))? {
            Duration::ZERO => Ok(None),
            limit => Ok(Some(limit)),
        },
    };
    match headers.remove(NAME) {
        None | Some(Value::Null) => Ok(TimeLimit::default()),
        Some(Value::Array(limits)) => match limits.as_slice() {
            [hard, soft] => Ok(TimeLimit { hard: limit(hard)?, soft: limit(soft)? }),
            _ => Err(Unreadable::Shape(NAME)),
        },
        Some(_) => Err(Unreadable::Shape(NAME)),
    }
}
