//! Upstreams, and the routes that lead to them.

use std::num::NonZeroU32;

use super::Context;
use crate::file::RouteFile;
use crate::file::UpstreamFile;
use crate::read::Field;
use crate::read::Named;
use crate::read::Spot;
use crate::suggest;
use crate::types::Route;
use crate::types::Upstream;
use crate::types::UpstreamWarmUp;
use crate::values::Name;
use crate::values::overlapping_mount;

/// Upstreams by name; `None` for a faulty one, whose name is known all the same.
type Upstreams = Vec<(String, Option<Upstream>)>;

pub(super) fn upstreams(
    field: Field<Named<UpstreamFile>>,
    context: &mut Context<'_, '_, '_>,
) -> Upstreams {
    let named = field.value.map(|named| named.0).unwrap_or_default();
    let build = |(name, spot): (String, Spot<UpstreamFile>)| {
        let upstream = upstream(&name, spot, context);
        (name, upstream)
    };
    named.into_iter().map(build).collect()
}

fn upstream(
    name: &str,
    spot: Spot<UpstreamFile>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Upstream> {
    if let Err(error) = Name::parse(name) {
        context.fault(&spot.at, error);
    }
    let file = spot.value;
    let warm_up = warm_up(&file, context);
    let endpoints = file.endpoints.value?;
    if endpoints.is_empty() {
        context.fault(&file.endpoints.at, "an empty list leads nowhere: write an endpoint");
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..index].iter().any(|other| other.value == endpoint.value) {
            context.fault(&endpoint.at, "the endpoint is listed twice");
        }
    }
    Some(Upstream {
        name: name.to_owned(),
        endpoints: endpoints.into_iter().map(|spot| spot.value).collect(),
        connect_timeout: file.connect_timeout.value?.0,
        read_timeout: file.read_timeout.value?.0,
        warm_up: warm_up?,
    })
}

/// What the servers are asked for at the start; `None` where that is faulty.
fn warm_up(
    file: &UpstreamFile,
    context: &mut Context<'_, '_, '_>,
) -> Option<Option<UpstreamWarmUp>> {
    if !file.warm_up.given {
        let terms = [
            (file.warm_up_timeout.given, &file.warm_up_timeout.at),
            (file.warm_up_required.given, &file.warm_up_required.at),
        ];
        for (_, at) in terms.into_iter().filter(|(is_given, _)| *is_given) {
            context.fault(at, "there is no `warm_up` that it could be about");
        }
        return Some(None);
    }
    Some(Some(UpstreamWarmUp {
        target: file.warm_up.value.as_ref()?.0.clone(),
        timeout: file.warm_up_timeout.value.as_ref()?.0,
        required: file.warm_up_required.value?,
    }))
}

pub(super) fn routes(
    field: Field<Vec<RouteFile>>,
    upstreams: &Upstreams,
    context: &mut Context<'_, '_, '_>,
) -> Option<Vec<Route>> {
    let files = field.value?;
    for (index, file) in files.iter().enumerate() {
        let before = &files[..index];
        unlike_others(file, before, context);
        same_policy_same_limits(file, before, context);
    }
    let routes = files.into_iter().map(|file| route(file, upstreams, context));
    // All of them first: a fault in one does not hide the next.
    routes.collect::<Vec<_>>().into_iter().collect()
}

/// Notes a name that was given before, and requests that an earlier route takes already.
fn unlike_others(file: &RouteFile, before: &[RouteFile], context: &mut Context<'_, '_, '_>) {
    if let Some(name) = &file.name.value
        && let Some(first) = before.iter().find(|other| other.name.value.as_ref() == Some(name))
    {
        let message = format!("`{}` is the name of `{}` as well", name.0, first.at.path);
        context.fault(&file.name.at, message);
    }
    if let Some(path) = &file.path.value
        && let Some(first) = before.iter().find(|other| takes_the_same(file, other))
    {
        let first = first.name.value.as_ref().map_or(first.at.path.as_str(), |name| &name.0);
        let message = format!(
            "`{path}` is also the path of the route `{first}`, for the same hosts \
                               and methods"
        );
        context.fault(&file.path.at, message);
    }
}

/// Whether some request fits both routes equally well.
///
/// A route with hosts or methods is more specific than one for any, and goes before it.
fn takes_the_same(one: &RouteFile, other: &RouteFile) -> bool {
    let path = one.path.value == other.path.value;
    path && meet(&one.hosts, &other.hosts) && meet(&one.methods, &other.methods)
}

/// Whether both lists are empty, or have an item in common.
fn meet<T: PartialEq>(one: &Field<Vec<Spot<T>>>, other: &Field<Vec<Spot<T>>>) -> bool {
    let (Some(one), Some(other)) = (&one.value, &other.value) else { return false };
    let common = one.iter().any(|a| other.iter().any(|b| a.value == b.value));
    common || (one.is_empty() && other.is_empty())
}

fn same_policy_same_limits(
    file: &RouteFile,
    before: &[RouteFile],
    context: &mut Context<'_, '_, '_>,
) {
    if file.limit_by.given && !file.limits.given {
        let message = "it says whose requests `limits` counts together, and there are none";
        context.fault(&file.limit_by.at, message);
    }
    let Some(policy) = &file.policy.value else { return };
    if !file.limits.given {
        let message = format!("`{}` names the counter of `limits`, and there are none", policy.0);
        return context.fault(&file.policy.at, message);
    }
    let first = before.iter().find(|other| other.policy.value.as_ref() == Some(policy));
    if let (Some(limits), Some(first)) = (&file.limits.value, first)
        && first.limits.value.as_ref().is_some_and(|other| other != limits)
    {
        let message =
            format!("`{}` has the same policy with other limits; write the same", first.at.path);
        context.fault(&file.limits.at, message);
    }
    if let (Some(by), Some(first)) = (&file.limit_by.value, first)
        && first.limit_by.value.as_ref().is_some_and(|other| other != by)
    {
        let message = format!(
            "`{}` has the same policy with another limit_by; write the same",
            first.at.path
        );
        context.fault(&file.limit_by.at, message);
    }
}

fn route(
    file: RouteFile,
    upstreams: &Upstreams,
    context: &mut Context<'_, '_, '_>,
) -> Option<Route> {
    if let Some(path) = &file.path.value
        && let Some(mount) = overlapping_mount(path)
    {
        let message = format!("`{path}` lies under `{mount}`, which Doorward answers itself");
        context.fault(&file.path.at, message);
    }
    each_once(&file.hosts, |host| &host.0, context);
    each_once(&file.methods, |method| &method.0, context);
    let upstream = upstream_of(&file, upstreams, context);
    Some(Route {
        name: file.name.value?.0,
        hosts: file.hosts.value?.into_iter().map(|spot| spot.value.0).collect(),
        path: file.path.value?,
        methods: file.methods.value?.into_iter().map(|spot| spot.value.0).collect(),
        upstream: upstream?,
        access: file.access.value?,
        limits: file.limits.value.map(|limit| limit.0),
        limit_by: file.limit_by.value?,
        policy: file.policy.value.map(|name| name.0),
        cost: u32::try_from(file.cost.value?.0).ok().and_then(NonZeroU32::new)?,
        shadow: file.shadow.value?,
        strict: file.strict.value?,
        authorization: file.authorization.value?,
        allow_underscore_headers: file.allow_underscore_headers.value?,
        on_store_loss: file.on_store_loss.value,
        on_stale_revocations: file.on_stale_revocations.value?,
    })
}

fn each_once<T>(
    field: &Field<Vec<Spot<T>>>,
    text: impl Fn(&T) -> &String,
    context: &mut Context<'_, '_, '_>,
) {
    let items = field.value.as_deref().unwrap_or_default();
    for (index, item) in items.iter().enumerate() {
        if items[..index].iter().any(|other| text(&other.value) == text(&item.value)) {
            context.fault(&item.at, format!("`{}` is listed twice", text(&item.value)));
        }
    }
}

fn upstream_of(
    file: &RouteFile,
    upstreams: &Upstreams,
    context: &mut Context<'_, '_, '_>,
) -> Option<usize> {
    let name = file.upstream.value.as_ref()?;
    let found = upstreams.iter().position(|(known, _)| *known == name.0);
    if found.is_none() {
        let known = upstreams.iter().map(|(known, _)| known.as_str()).collect::<Vec<_>>();
        let message = format!("no upstream `{}`; there are {}", name.0, suggest::list(&known));
        let meant = suggest::nearest(&name.0, &known);
        context.report.fault_meaning(&file.upstream.at, message, meant);
    }
    found
}
