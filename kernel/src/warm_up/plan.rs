//! Whether all resources can be loaded, as far as their needs go.

use std::sync::Arc;

use super::resource::Resource;
use super::standing::Weight;

/// Resources that cannot all be loaded, whatever happens.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two of one name.
    #[error("there are two resources `{0}`")]
    Twice(Arc<str>),
    /// A need that is nobody's name.
    #[error("`{resource}` needs `{need}`, which there is not; there are {known}")]
    Unknown {
        /// What has the need.
        resource: Arc<str>,
        /// What is needed.
        need: Arc<str>,
        /// All there are.
        known: String,
    },
    /// The process would end for want of what it can do without.
    #[error("`{resource}` is required and needs `{need}`, which is optional")]
    Weaker {
        /// What is required.
        resource: Arc<str>,
        /// What is optional.
        need: Arc<str>,
    },
    /// Each waits for the next, and the last for the first.
    #[error("resources need each other in a circle: {}", circle(.0))]
    Circle(Vec<Arc<str>>),
}

/// Sees to it that each resource can be loaded once others are.
pub(super) fn check(resources: &[Resource]) -> Result<(), PlanError> {
    for (at, resource) in resources.iter().enumerate() {
        let name = &resource.name;
        if resources.iter().take(at).any(|earlier| earlier.name == *name) {
            return Err(PlanError::Twice(Arc::clone(name)));
        }
        for need in &resource.needs {
            let (resource_name, need_name) = (Arc::clone(name), Arc::clone(need));
            let Some(needed) = find(need, resources) else {
                let known = resources.iter().map(|one| format!("`{}`", one.name));
                let known = known.collect::<Vec<_>>().join(", ");
                return Err(PlanError::Unknown { resource: resource_name, need: need_name, known });
            };
            if resource.weight == Weight::Required && needed.weight == Weight::Optional {
                return Err(PlanError::Weaker { resource: resource_name, need: need_name });
            }
        }
    }
    without_circles(resources)
}

/// Takes away again and again what needs nothing that is left; what cannot be taken away goes round.
fn without_circles(resources: &[Resource]) -> Result<(), PlanError> {
    let mut left: Vec<&Resource> = resources.iter().collect();
    loop {
        let waits = |one: &&Resource| {
            one.needs.iter().any(|need| left.iter().any(|other| other.name == *need))
        };
        let still: Vec<&Resource> = left.iter().copied().filter(waits).collect();
        match still.first() {
            None => return Ok(()),
            Some(first) if still.len() == left.len() => {
                return Err(PlanError::Circle(circle_from(first, &still)));
            }
            Some(_) => left = still,
        }
    }
}

/// The circle that one comes to from `first` by the needs among `left`, each of which has one there.
fn circle_from(first: &Resource, left: &[&Resource]) -> Vec<Arc<str>> {
    let mut way = vec![Arc::clone(&first.name)];
    loop {
        let here = way.last().and_then(|name| left.iter().find(|one| one.name == *name));
        let next = here.and_then(|one| {
            one.needs.iter().find(|need| left.iter().any(|other| other.name == **need))
        });
        // There always is one.
        let Some(next) = next else { return way };
        if let Some(begin) = way.iter().position(|name| name == next) {
            return way.split_off(begin);
        }
        way.push(Arc::clone(next));
    }
}

fn find<'r>(name: &str, resources: &'r [Resource]) -> Option<&'r Resource> {
    resources.iter().find(|resource| *resource.name == *name)
}

fn circle(names: &[Arc<str>]) -> String {
    let names = names.iter().chain(names.first()).map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(" → ")
}
