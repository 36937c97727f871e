//! A Redis, workers, and a client.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use config::Celery;
use embedding::EmbeddingService;
use kernel::celery::Task as Message;
use kernel::celery::TaskResult;
use kernel::celery::result;
use kernel::celery::result::Failure;
use kernel::secret::Secret;
use parking_lot::Condvar;
use parking_lot::Mutex;
use serde_json::Value;
use stores::redis::broker::Broker;
use stores::redis::broker::Ear;
use stores::redis::connection::Connection;
use test_support::redis::RedisServer;
use test_support::redis::Reply;
use test_support::wait::wait_until;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use worker::Ended;
use worker::Figures;
use worker::Host;
use worker::embed::Embed;
use worker::embed::EmbedError;
use worker::embed::EmbedTask;
use worker::noop::Noop;
use worker::stages::Untold;
use worker::task::Call;
use worker::task::Failed;
use worker::task::Registry;
use worker::task::Task;
use worker::terms::Terms;

/// How long whatever is waited for may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Tasks that a test holds in its hand.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }

    /// How many tasks are at it.
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    /// How many were at one time.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// Waits until it is open.
    pub(crate) fn pass(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Task for Gate {
    fn run(&self, _: &Call) -> Result<Value, Failed> {
        self.pass();
        Ok("through".into())
    }
}

/// Fails so often for a reason that passes.
pub(crate) struct Unlucky(pub(crate) u32);

impl Task for Unlucky {
    fn run(&self, call: &Call) -> Result<Value, Failed> {
        match call.retries() < self.0 {
            true => Err(Failed::ForNow(Failure::builtin("OSError", "not now"))),
            false => Ok(call.retries().into()),
        }
    }
}

/// Has a fault, and a secret in it.
struct Faulty;

impl Task for Faulty {
    fn run(&self, _: &Call) -> Result<Value, Failed> {
        panic!("the secret is 42")
    }
}

/// Makes no vectors.
struct Nothing;

impl Embed for Nothing {
    fn embed(&self, _: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(Vec::new())
    }
}

/// A task of which it is noted which calls it was told came to nothing.
struct Noted {
    task: Arc<dyn Task>,
    nothing: Arc<Mutex<Vec<String>>>,
}

impl Task for Noted {
    fn run(&self, call: &Call) -> Result<Value, Failed> {
        self.task.run(call)
    }

    fn came_to_nothing(&self, call: &Call) {
        self.nothing.lock().push(call.id().to_owned());
    }
}

/// A Redis with a client.
pub(crate) struct Scene {
    pub(crate) redis: RedisServer,
    pub(crate) gate: Arc<Gate>,
    nothing: Arc<Mutex<Vec<String>>>,
}

/// A worker.
pub(crate) struct Running {
    stop: Option<oneshot::Sender<()>>,
    host: JoinHandle<Ended>,
    pub(crate) figures: Arc<Figures>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
        Self { redis, gate: Arc::default(), nothing: Arc::default() }
    }

    pub(crate) fn terms() -> Terms {
        Terms {
            name: "w@here".to_owned(),
            concurrency: 2,
            prefetch: 4,
            visibility_timeout: Duration::from_secs(3600),
            time_limit: Duration::from_secs(300),
            retries_max: 1,
            result_ttl_s: 60,
            drain_timeout: SOON,
            dead_letters: "dead".to_owned(),
        }
    }

    /// A worker that takes tasks.
    pub(crate) async fn worker(&self, terms: Terms) -> Running {
        self.worker_that_embeds(terms, Arc::new(Nothing)).await
    }

    /// One whose task `embed` makes vectors with `model`.
    pub(crate) async fn worker_that_embeds(&self, terms: Terms, model: Arc<dyn Embed>) -> Running {
        let celery = self.celery();
        let connection =
            Connection::open(&celery.broker(Duration::from_secs(1)), None).expect("a URL");
        connection.connected().await.expect("Redis is there");
        let broker = Broker::new(connection, celery.names(), &celery.queues);
        let ear = Ear::open(&celery, None).expect("a URL");
        let tasks: [(&str, Arc<dyn Task>); 6] = [
            ("noop", Arc::new(Noop)),
            ("gate", Arc::clone(&self.gate) as Arc<dyn Task>),
            ("unlucky", Arc::new(Unlucky(1))),
            ("hopeless", Arc::new(Unlucky(u32::MAX))),
            ("faulty", Arc::new(Faulty)),
            ("embed", Arc::new(EmbedTask::new(model, Arc::new(Untold)))),
        ];
        let registry = tasks.into_iter().fold(Registry::default(), |registry, (name, task)| {
            registry.with(name, Arc::new(Noted { task, nothing: Arc::clone(&self.nothing) }))
        });
        let figures =
            Arc::new(Figures::new(EmbeddingService::loaded).expect("each has a name of its own"));
        let host = Host::new(broker, ear, registry, terms, Arc::clone(&figures));
        let (stop, stops) = oneshot::channel();
        let stops = async { _ = stops.await };
        let host = tokio::spawn(async move {
            host.work(stops, std::future::pending()).await.expect("there are threads")
        });
        Running { stop: Some(stop), host, figures }
    }

    fn celery(&self) -> Celery {
        Celery {
            broker_url: Secret::new(self.redis.url()),
            result_backend: None,
            database: 0,
            ca: None,
            queues: vec!["celery".to_owned()],
            global_keyprefix: String::new(),
            fanout_prefix: "/{db}.".to_owned(),
        }
    }

    /// Sends a task called `name`, with this id.
    pub(crate) fn send(&self, name: &str, id: &str) {
        self.send_message(&Message::new(name, id, Vec::new(), "celery", id));
    }

    pub(crate) fn send_message(&self, message: &Message) {
        self.send_text(&message.write());
    }

    pub(crate) fn send_text(&self, text: &str) {
        self.redis.command(&["LPUSH", "celery", text]).expect("Redis is there");
    }

    /// What is known of a task.
    pub(crate) fn result(&self, id: &str) -> Option<TaskResult> {
        match self.redis.command(&["GET", &result::key(id)]) {
            Ok(Reply::Bulk(Some(text))) => TaskResult::read(text.as_bytes()).ok(),
            _ => None,
        }
    }

    /// What came of it in the end.
    pub(crate) async fn end_of(&self, id: &str) -> TaskResult {
        self.until(|| self.result(id).is_some_and(|result| result.state.is_final())).await;
        self.result(id).expect("it was there")
    }

    /// How it failed.
    pub(crate) async fn failure_of(&self, id: &str) -> Failure {
        let result = self.end_of(id).await;
        assert_eq!(result.traceback, None, "nobody is shown our code");
        Failure::of(&result.result).expect("a failure")
    }

    /// The ids of calls whose tasks were told that they came to nothing.
    pub(crate) fn came_to_nothing(&self) -> Vec<String> {
        self.nothing.lock().clone()
    }

    /// Waits, while workers go on in this very runtime.
    pub(crate) async fn until(&self, condition: impl Fn() -> bool) {
        tokio::task::block_in_place(|| wait_until(SOON, condition));
    }

    pub(crate) fn count(&self, words: &[&str]) -> i64 {
        match self.redis.command(words) {
            Ok(Reply::Integer(count)) => count,
            _ => -1,
        }
    }

    /// How many messages are taken and not finished.
    pub(crate) fn in_hand(&self) -> i64 {
        let (hash, set) =
            (self.count(&["HLEN", "unacked"]), self.count(&["ZCARD", "unacked_index"]));
        // One after the other, so that they may differ for a moment.
        hash.max(set)
    }

    /// When the message that was taken first was last said to be had, in seconds.
    pub(crate) fn booked_at(&self) -> f64 {
        let words = ["ZRANGE", "unacked_index", "0", "0", "WITHSCORES"];
        match self.redis.command(&words) {
            Ok(Reply::Array(all)) => match all.last() {
                Some(Reply::Bulk(Some(score))) => score.parse().expect("a number"),
                _ => 0.0,
            },
            _ => 0.0,
        }
    }

    /// What waits, the next one first.
    pub(crate) fn waiting(&self) -> Vec<Message> {
        let Ok(Reply::Array(all)) = self.redis.command(&["LRANGE", "celery", "0", "-1"]) else {
            return Vec::new();
        };
        let read = |reply| match reply {
            Reply::Bulk(Some(text)) => Message::read(text.as_bytes()).expect("a task"),
            other => panic!("{other:?}"),
        };
        all.into_iter().rev().map(read).collect()
    }
}

impl Running {
    /// The figure of that name, without the prefix that all have.
    pub(crate) fn figure(&self, name: &str) -> Option<String> {
        let text = self.figures.render();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("doorward_worker_"));
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }

    /// Ends it as a signal does.
    pub(crate) async fn stop(mut self) -> Ended {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.host.await.expect("it ends")
    }

    /// Asks it to end.
    pub(crate) fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Ends it as `kill -9` does: it writes nothing down any more.
    pub(crate) async fn die(self) {
        self.host.abort();
        let _ = self.host.await;
    }
}
