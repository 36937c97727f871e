//! Job status: stages and statuses, each once.

use std::num::NonZeroUsize;
use std::sync::Arc;

use kernel::status::Plan;
use kernel::status::STAGES_MAX;
use kernel::status::STATUSES_MAX;
use kernel::status::Standing;

use super::Context;
use crate::file::StatusFile;
use crate::read::Field;
use crate::read::Named;
use crate::read::Spot;
use crate::types::Status;
use crate::values::Name;

pub(super) fn status(
    field: Field<StatusFile>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Status> {
    let file = field.value?;
    let stages = stages(&file.stages, context);
    let further = further(&file.statuses, context);
    let (stages, further) = (stages?, further?);
    let plan = Plan::new(
        stages.iter().map(String::as_str),
        further.iter().map(|(name, standing)| (name.as_str(), *standing)),
    );
    Some(Status {
        plan: Arc::new(plan),
        ttl: file.ttl.value?.0,
        resources_max: NonZeroUsize::new(file.resources_max.value?.0 as usize)?,
        buffer_max: NonZeroUsize::new(file.buffer_max.value?.0 as usize)?,
    })
}

fn stages(
    field: &Field<Vec<Spot<Name>>>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Vec<String>> {
    let spots = field.value.as_ref()?;
    if spots.is_empty() || spots.len() > STAGES_MAX {
        context.fault(&field.at, format!("there are 1 to {STAGES_MAX} stages"));
    }
    let mut stages = Vec::new();
    for spot in spots {
        let name = &spot.value.0;
        if stages.contains(name) {
            context.fault(&spot.at, format!("the stage `{name}` is listed twice"));
        }
        stages.push(name.clone());
    }
    Some(stages)
}

fn further(
    field: &Field<Named<Standing>>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Vec<(String, Standing)>> {
    let named = &field.value.as_ref()?.0;
    if named.len() > STATUSES_MAX - Standing::ALL.len() {
        let further_max = STATUSES_MAX - Standing::ALL.len();
        context.fault(&field.at, format!("there are at most {further_max} further statuses"));
    }
    for (name, spot) in named {
        if let Err(error) = Name::parse(name) {
            context.fault(&spot.at, error);
        } else if Standing::of(name).is_some() {
            context.fault(&spot.at, format!("`{name}` is there in any case, and means itself"));
        }
    }
    Some(named.iter().map(|(name, spot)| (name.clone(), spot.value)).collect())
}
