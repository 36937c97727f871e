//! `doorward worker`: carries out tasks of a Celery installation, as one of its workers.
//!
//! It has no data directory and no database, and no port but for its probes, where one is configured: its
//! broker is all that it needs, and any number of them may run side by side.

mod progress;

use std::fs;
use std::net::TcpListener;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use config::Celery;
use config::Config;
use config::Redis;
use embedding::Dimensions;
use embedding::EmbeddingService;
use gateway::metrics::ProcessMetrics;
use gateway::ops;
use gateway::ops::Readiness;
use kernel::warm_up::Progress;
use kernel::warm_up::Resource;
use kernel::warm_up::Warm;
use stores::redis::broker::Broker;
use stores::redis::broker::Ear;
use stores::redis::connection::Connection;
use tokio::sync::watch;
use worker::Figures;
use worker::Host;
use worker::embed::Embed;
use worker::embed::EmbedError;
use worker::embed::EmbedTask;
use worker::noop::Noop;
use worker::task::Registry;
use worker::terms::Terms;

use super::house;
use super::house::redis::tls_trusting;
use super::house::signals::Signals;
use super::house::stage;
use super::listeners;
use crate::arguments::Place;
use crate::arguments::Worker as Arguments;

/// How long one call to the broker or the result back end may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Works until a signal, and ends in order.
///
/// # Errors
/// One clear text for what keeps it from starting.
pub(crate) fn worker(place: &Place, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    stage::play_without_a_place(place, |mut config| {
        config.worker.ops = arguments.ops_listen.or(config.worker.ops);
        work(config)
    })
}

async fn work(config: Config) -> anyhow::Result<ExitCode> {
    let celery = config.celery.as_ref();
    let celery =
        celery.context("`doorward worker` needs the section `[celery]`, with `broker_url`")?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let terms = Terms::new(&config.worker, &machine(), cores, std::process::id());
    let queues = config.worker.queues.as_ref().unwrap_or(&celery.queues);
    let mut signals = Signals::listen()?;
    // Before a model is loaded, which may take long: what no waiting would mend.
    let (stages, telling) = progress::stages(&config)?;
    let tls = tls_trusting(&celery.broker(CALL_TIMEOUT), "`celery.ca`")?;
    let ear = Ear::open(celery, tls).context("`celery.broker_url`")?;
    let broker = open_broker(celery, queues)?;
    let (resource, model) = embedder(&config.worker)?;
    let plan = house::warm::plan(vec![resource])?;
    let figures = Arc::new(Figures::new(EmbeddingService::loaded)?);
    let readiness = readiness(&figures, terms.concurrency, plan.progress());
    if let Some(address) = config.worker.ops {
        show(listeners::tcp(address)?, &readiness, &figures)?;
    }
    if !house::warm::load(&plan, &mut signals).await.context("`worker.model`")? {
        return Ok(ExitCode::SUCCESS);
    }
    let model: Arc<dyn Embed> = Arc::new(Model(Arc::clone(model.get()?)));
    let registry = Registry::default()
        .with(&config.worker.noop_task, Arc::new(Noop))
        .with(&config.worker.embed_task, Arc::new(EmbedTask::new(model, stages)));

    let (end, ends) = watch::channel(0_u8);
    tokio::spawn(async move {
        loop {
            signals.next().await;
            end.send_modify(|count| *count = count.saturating_add(1));
        }
    });
    tracing::info!(
        "a worker called {}, {} tasks at one time, of the queues {}; it knows {}",
        terms.name,
        terms.concurrency,
        queues.join(", "),
        registry.names().collect::<Vec<_>>().join(", "),
    );
    let told = |times: u8| {
        let mut ends = ends.clone();
        async move { _ = ends.wait_for(|count| *count >= times).await }
    };
    readiness.started();
    let stop = async {
        told(1).await;
        tracing::info!("ending: nothing new is taken, what runs is finished");
        readiness.closing();
    };
    let ended = Host::new(broker, ear, registry, terms, figures).work(stop, told(2)).await?;
    telling.finish().await;
    if ended.unfinished > 0 {
        let count = ended.unfinished;
        tracing::warn!(count, "tasks were given back that ran too long to wait for");
    }
    Ok(ExitCode::SUCCESS)
}

/// The embedder of this process: loaded once, before anything is taken, and shared by all tasks.
///
/// # Errors
/// What is configured of it makes no sense.
fn embedder(worker: &config::Worker) -> anyhow::Result<(Resource, Warm<Arc<EmbeddingService>>)> {
    let dimensions = Dimensions::new(worker.dimensions).context("`worker.dimensions`")?;
    Ok(embedding::resource(worker.model.clone(), dimensions))
}

/// Ready is who has its model, a broker that does what it is asked, and a thread left of so many.
fn readiness(figures: &Arc<Figures>, threads: usize, warm: Progress) -> Arc<Readiness> {
    let (taking, free) = (Arc::clone(figures), Arc::clone(figures));
    let readiness = Readiness::new(vec![
        ("broker", Box::new(move || taking.broker_works())),
        ("threads", Box::new(move || free.stuck() < threads)),
    ]);
    let results = Arc::clone(figures);
    let remark = Box::new(move || {
        (!results.writes_down()).then(|| "what comes to an end is not written down".to_owned())
    });
    Arc::new(readiness.with_remark(remark).with_resources(warm))
}

/// Shows probes and metrics to whoever comes to `listener`, from now on.
fn show(
    listener: TcpListener,
    readiness: &Arc<Readiness>,
    figures: &Arc<Figures>,
) -> anyhow::Result<()> {
    let (process, figures) = (ProcessMetrics::new()?, Arc::clone(figures));
    let meter = Arc::new(move || process.render() + &figures.render());
    let ops = house::ops::serve(listener, ops::routes(Arc::clone(readiness), meter))?;
    tracing::info!("probes and metrics at {}", ops.address);
    Ok(())
}

/// The embedder, as tasks want it.
struct Model(Arc<EmbeddingService>);

impl Embed for Model {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.0.embed(texts).map_err(|error| EmbedError(error.to_string()))
    }
}

/// The broker of `celery`; results go where they are configured to go.
fn open_broker(celery: &Celery, queues: &[String]) -> anyhow::Result<Broker> {
    let open = |redis: &Redis, key: &'static str| {
        let tls = tls_trusting(redis, "`celery.ca`")?;
        Connection::open(redis, tls).context(key)
    };
    let connection = open(&celery.broker(CALL_TIMEOUT), "`celery.broker_url`")?;
    let broker = Broker::new(connection, celery.names(), queues);
    match celery.results(CALL_TIMEOUT) {
        None => Ok(broker),
        Some(redis) => Ok(broker.with_results_in(open(&redis, "`celery.result_backend`")?)),
    }
}

/// What this machine is called.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
