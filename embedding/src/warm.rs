//! The embedder as part of a process' warm-up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kernel::warm_up::Fault;
use kernel::warm_up::Resource;
use kernel::warm_up::Warm;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::hashing::Dimensions;
use crate::model::ModelError;
use crate::service::EmbeddingService;

/// What it is called.
pub const RESOURCE: &str = "embeddings";

/// How long loading may take: a model of the largest size, from a slow disk.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// The embedder of the model in `directory`, or of hashed words, as a resource that is required.
///
/// Where the directory is still being filled it is tried again; what is there as a whole and is no
/// model ends it at once.
pub fn resource(
    directory: Option<PathBuf>,
    dimensions: Dimensions,
) -> (Resource, Warm<Arc<EmbeddingService>>) {
    loaded_by(move || EmbeddingService::load(directory.as_deref(), dimensions))
}

/// The embedder that `load`, which may block, gives.
pub(crate) fn loaded_by(
    load: impl Fn() -> Result<EmbeddingService, ModelError> + Send + Sync + 'static,
) -> (Resource, Warm<Arc<EmbeddingService>>) {
    let (load, turn) = (Arc::new(load), Arc::new(Mutex::new(())));
    let (resource, warm) = Resource::required(RESOURCE, move || {
        let (load, turn) = (Arc::clone(&load), Arc::clone(&turn));
        async move {
            // A thread that blocks goes on though its attempt was given up: it keeps its turn until then.
            let turn = turn.lock_owned().await;
            let began = Instant::now();
            let loading = move || {
                let _turn = turn;
                load()
            };
            let loaded = tokio::task::spawn_blocking(loading).await.map_err(Fault::passing)?;
            let service = loaded.map_err(|error| match error.may_pass() {
                true => Fault::passing(error),
                false => Fault::lasting(error),
            })?;
            tracing::info!(
                dimensions = service.dimensions(),
                table_bytes = service.bytes(),
                duration_ms = began.elapsed().as_millis() as u64,
                "embeddings are ready: {}, {} dimensions",
                service.kind(),
                service.dimensions()
            );
            Ok(Arc::new(service))
        }
    });
    (resource.within(LOAD_TIMEOUT), warm)
}
