//! How a worker serves a Celery installation.

use std::path::PathBuf;

use super::Context;
use super::servers::queue_names;
use crate::file::WorkerFile;
use crate::read::Field;
use crate::types::Celery;
use crate::types::Worker;
use crate::values::QueueName;

/// What Celery keeps its books of taken messages as.
const BOOKS: [&str; 3] = ["unacked", "unacked_index", "unacked_mutex"];

pub(super) fn worker(
    field: Field<WorkerFile>,
    celery: Option<&Celery>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Worker> {
    let file = field.value?;
    let queues = file.queues.value.as_ref();
    let queues = queues.map(|spots| queue_names(spots, &file.queues.at, context));
    if queues.as_ref().is_some_and(Vec::is_empty) {
        context.fault(&file.queues.at, "a worker without a queue has nothing to do");
    }
    if let Some(QueueName(list)) = &file.dead_letters.value {
        let watched = celery.map_or(&[][..], |celery| celery.queues.as_slice());
        let is_queue = queues.iter().flatten().chain(watched).any(|queue| queue == list);
        if is_queue {
            let message = format!("`{list}` is a queue: what is no task would be taken for ever");
            context.fault(&file.dead_letters.at, message);
        }
        if BOOKS.contains(&list.as_str()) {
            let message = format!("Celery keeps its books as `{list}`: use another name");
            context.fault(&file.dead_letters.at, message);
        }
    }
    Some(Worker {
        name: file.name.value.map(|name| name.0),
        ops: file.ops.value,
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
