//! The embedder as part of a process' warm-up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kernel::warm_up::Fault;
use kernel::warm_up::Resource;
use kernel::warm_up::Warm;
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
/// A file that is not there or cannot be read may be there the next time, as where a volume is still
/// being filled; one that holds no model will not hold one later.
pub fn resource(
    directory: Option<PathBuf>,
    dimensions: Dimensions,
) -> (Resource, Warm<Arc<EmbeddingService>>) {
    let (resource, warm) = Resource::required(RESOURCE, move || {
        let directory = directory.clone();
        async move {
            let began = Instant::now();
            let load = move || EmbeddingService::load(directory.as_deref(), dimensions);
            // Reading and computing block.
            let loaded = tokio::task::spawn_blocking(load).await.map_err(Fault::passing)?;
            let service = loaded.map_err(|error| match error {
                ModelError::File { .. } => Fault::passing(error),
                _ => Fault::lasting(error),
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
