//! What Celery calls its keys and channels in a Redis.

use super::NAME_BYTES_MAX;

/// Between the parts of a name that Celery puts together.
pub const SEPARATOR: &str = "\u{6}\u{16}";

/// The priorities that have a list of their own, in the order in which workers empty them: 0 is the
/// most urgent.
pub const PRIORITIES: [u8; 4] = [0, 3, 6, 9];

/// The queue of whoever configures none.
pub const DEFAULT_QUEUE: &str = "celery";

/// The exchange by which all workers are asked something.
pub const PIDBOX: &str = "celery.pidbox";

/// The exchange by which they answer.
pub const REPLIES: &str = "reply.celery.pidbox";

/// The exchange by which they say what happens to them.
pub const EVENTS: &str = "celeryev";

/// Names of one Celery installation, which may share a Redis with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    fanout: String,
}

impl Names {
    /// Those of an installation whose broker is database number `database`, and which has
    /// `global_keyprefix` in its `broker_transport_options`, or an empty one.
    pub fn new(database: u32, global_keyprefix: &str) -> Self {
        Self { prefix: global_keyprefix.to_owned(), fanout: format!("/{database}.") }
    }

    /// The same, with `fanout_prefix` of its `broker_transport_options`; an empty one where that is
    /// `False`. Without it, installations on one Redis hear one another.
    pub fn with_fanout_prefix(self, fanout: &str) -> Self {
        Self { fanout: fanout.to_owned(), ..self }
    }

    /// The list of `queue` in which messages of `priority` lie.
    pub fn queue(&self, queue: &str, priority: u8) -> String {
        let step = PRIORITIES.iter().rev().find(|step| **step <= priority);
        match step {
            None | Some(0) => self.key(queue),
            Some(step) => self.key(&format!("{queue}{SEPARATOR}{step}")),
        }
    }

    /// All lists of `queue`, in the order in which workers empty them: each pushed to at the head and
    /// emptied from the tail.
    pub fn lists(&self, queue: &str) -> [String; 4] {
        PRIORITIES.map(|priority| self.queue(queue, priority))
    }

    /// The hash of messages that a worker has taken and not yet acknowledged, by their delivery tags.
    pub fn unacked(&self) -> String {
        self.key("unacked")
    }

    /// The sorted set of their delivery tags, by when they were taken, in seconds since the epoch.
    pub fn unacked_index(&self) -> String {
        self.key("unacked_index")
    }

    /// The lock of whoever puts back what was taken too long ago.
    pub fn unacked_mutex(&self) -> String {
        self.key("unacked_mutex")
    }

    /// The channel on which all workers listen for what they are asked.
    pub fn pidbox(&self) -> String {
        self.key(&format!("{}{PIDBOX}", self.fanout))
    }

    /// The channel of workers' events of this kind, such as `worker.heartbeat`.
    pub fn events(&self, routing_key: &str) -> String {
        self.key(&format!("{}{EVENTS}/{routing_key}", self.fanout))
    }

    /// The pattern of all channels on which workers say how they are. What has a meaning in patterns is
    /// escaped, where prefixes have it.
    pub fn worker_events(&self) -> String {
        let literal = self.events("worker.");
        let mut pattern = String::with_capacity(literal.len() + 1);
        for c in literal.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        pattern
    }

    /// The set of bindings of an exchange: which queues its messages go to.
    pub fn bindings(&self, exchange: &str) -> String {
        self.key(&format!("_kombu.binding.{exchange}"))
    }

    /// The lists in which answers for whoever asks as `name` arrive.
    pub fn replies(&self, name: &str) -> [String; 4] {
        self.lists(&reply_queue(name))
    }

    /// Any other key.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// The queue of answers for whoever asks as `name`.
pub fn reply_queue(name: &str) -> String {
    format!("{name}.{REPLIES}")
}

/// A binding: which messages of an exchange go to which queue; a member of [`Names::bindings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What the messages' routing key is.
    pub routing_key: String,
    /// The same as a regular expression, at an exchange whose keys have words that stand for others.
    pub pattern: String,
    /// The queue.
    pub queue: String,
}

impl Binding {
    /// That by which answers reach whoever asks as `name`.
    pub fn of_replies(name: &str) -> Self {
        let pattern = String::new();
        Self { routing_key: name.to_owned(), pattern, queue: reply_queue(name) }
    }

    /// Whether messages with this key go to its queue: one that has a pattern is bound by that, as
    /// kombu does at its `topic` exchanges, and any other by the key itself. Nobody asks by a key
    /// longer than a name.
    pub fn is_for(&self, routing_key: &str) -> bool {
        match self.pattern.is_empty() {
            true => self.routing_key == routing_key,
            false => is_like(routing_key, &self.routing_key),
        }
    }

    /// It as a member of the set.
    pub fn write(&self) -> String {
        format!("{}{SEPARATOR}{}{SEPARATOR}{}", self.routing_key, self.pattern, self.queue)
    }

    /// Reads a member of the set; none where it is not one.
    pub fn read(member: &str) -> Option<Self> {
        let mut parts = member.split(SEPARATOR).map(str::to_owned);
        let binding =
            Self { routing_key: parts.next()?, pattern: parts.next()?, queue: parts.next()? };
        parts.next().is_none().then_some(binding)
    }
}

/// Whether a key is like `pattern`: word by word, of which `*` is any that is not empty, and `#` any
/// number of words, at least one, whatever they are.
fn is_like(key: &str, pattern: &str) -> bool {
    if key.len().max(pattern.len()) > NAME_BYTES_MAX {
        return false;
    }
    let words: Vec<_> = key.split('.').collect();
    // After which words of the key what was looked at of the pattern may end; 0: before the first.
    let mut ends = vec![false; words.len() + 1];
    ends[0] = true;
    for wanted in pattern.split('.') {
        let mut next = vec![false; words.len() + 1];
        for (at, word) in words.iter().enumerate() {
            next[at + 1] = match wanted {
                "#" => ends[at] || next[at],
                "*" => ends[at] && !word.is_empty(),
                wanted => ends[at] && wanted == *word,
            };
        }
        ends = next;
    }
    ends[words.len()]
}
