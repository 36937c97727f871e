//! Roles, tiers, and the limits that no tier decides.

use std::collections::BTreeMap;

use kernel::claims::SCOPES_BYTES_MAX;
use kernel::claims::SCOPES_MAX;
use kernel::claims::scopes_fit;
use kernel::limit::Allowance;
use kernel::tier::Tier;

use super::Context;
use crate::file::LimitsFile;
use crate::file::TierFile;
use crate::read::Field;
use crate::read::Named;
use crate::read::Spot;
use crate::suggest;
use crate::types::Limits;
use crate::values::Limit;
use crate::values::Name;
use crate::values::Scope;

/// The role, and the scope, that guard management.
const ADMIN: &str = "admin";

/// The tiers that exist in any case, with their requests a minute; `None` is unlimited.
const TIERS: [(&str, Option<u32>); 3] =
    [("free", Some(100)), ("premium", Some(1000)), ("admin", None)];

pub(super) fn roles(
    field: Field<Named<Vec<Spot<Scope>>>>,
    context: &mut Context<'_, '_, '_>,
) -> Option<BTreeMap<String, Vec<String>>> {
    let mut roles = BTreeMap::new();
    for (role, spot) in field.value?.0 {
        if let Err(error) = Name::parse(&role) {
            context.fault(&spot.at, error);
        }
        let mut scopes = Vec::<String>::new();
        for scope in spot.value {
            if scopes.contains(&scope.value.0) {
                context.fault(&scope.at, format!("the scope `{}` is listed twice", scope.value.0));
            }
            scopes.push(scope.value.0);
        }
        if !scopes_fit(scopes.iter().map(String::as_str)) {
            let message = format!(
                "too many scopes: a token carries {SCOPES_MAX}, of {SCOPES_BYTES_MAX} bytes together"
            );
            context.fault(&spot.at, message);
        }
        roles.insert(role, scopes);
    }
    let admin = roles.entry(ADMIN.to_owned()).or_default();
    if !admin.iter().any(|scope| scope == ADMIN) {
        admin.insert(0, ADMIN.to_owned());
    }
    Some(roles)
}

pub(super) fn tiers(
    field: Field<Named<TierFile>>,
    context: &mut Context<'_, '_, '_>,
) -> Option<BTreeMap<Tier, Allowance>> {
    let mut tiers = BTreeMap::new();
    for (name, requests) in TIERS {
        let allowance = match requests {
            Some(requests) => Limit::per_minute(requests)?.0,
            None => Allowance::Unlimited,
        };
        tiers.insert(Tier::parse(name).ok()?, allowance);
    }
    for (name, spot) in field.value?.0 {
        match Tier::parse(&name) {
            Ok(tier) => {
                // A faulty tier keeps its name, so that nobody who writes it is told it is unknown.
                let limit = spot.value.limits.value.or_else(|| Limit::per_minute(1))?;
                tiers.insert(tier, limit.0);
            }
            Err(error) => context.fault(&spot.at, error),
        }
    }
    Some(tiers)
}

pub(super) fn limits(
    field: Field<LimitsFile>,
    tiers: Option<&BTreeMap<Tier, Allowance>>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Limits> {
    let file = field.value?;
    if let (Some(tier), Some(tiers)) = (&file.default_tier.value, tiers)
        && !tiers.contains_key(tier)
    {
        let names = tiers.keys().map(Tier::as_str).collect::<Vec<_>>();
        let message = format!("no tier `{tier}`; there are {}", suggest::list(&names));
        let meant = suggest::nearest(tier.as_str(), &names);
        context.report.fault_meaning(&file.default_tier.at, message, meant);
    }
    Some(Limits {
        default_tier: file.default_tier.value?,
        mode: file.mode.value?,
        on_store_loss: file.on_store_loss.value?,
        anonymous: file.anonymous.value?.0,
        auth: file.auth.value?.0,
        login: file.login.value?.0,
        keys_max: file.keys_max.value?.0 as usize,
    })
}
