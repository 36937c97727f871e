//! How a worker serves a Celery installation.

use std::path::PathBuf;

use super::Context;
use super::servers::queue_names;
use crate::file::WorkerFile;
use crate::read::Field;
use crate::types::Worker;

pub(super) fn worker(
    field: Field<WorkerFile>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Worker> {
    let file = field.value?;
    let queues = file.queues.value.as_ref();
    let queues = queues.map(|spots| queue_names(spots, &file.queues.at, context));
    if queues.as_ref().is_some_and(Vec::is_empty) {
        context.fault(&file.queues.at, "a worker without a queue has nothing to do");
    }
    Some(Worker {
        name: file.name.value.map(|name| name.0),
        queues,
        concurrency: file.concurrency.value.map(|count| count.0 as usize),
        prefetch: file.prefetch.value?.0 as usize,
        visibility_timeout: file.visibility_timeout.value?.0,
        time_limit: file.time_limit.value?.0,
        retries_max: file.retries_max.value?.0 as u32,
        result_ttl: file.result_ttl.value?.0,
        drain_timeout: file.drain_timeout.value?.0,
        dead_letters: file.dead_letters.value?.0,
        model: file.model.value.map(|text| PathBuf::from(text.0)),
        dimensions: file.dimensions.value?.0 as usize,
        embed_task: file.embed_task.value?.0,
        embed_stage: file.embed_stage.value?.0,
        noop_task: file.noop_task.value?.0,
    })
}
