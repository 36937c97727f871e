//! Quotas and allowances.

use std::sync::Arc;
use std::time::Duration;

use kernel::limit::Allowance;
use kernel::limit::QUOTAS_MAX;
use kernel::limit::Quota;
use serde_json::Value;
use serde_json::json;
use toml::de::DeValue;

use super::DAY;
use super::Period;
use super::QuotaName;
use super::SECOND;
use super::Whole;
use crate::read::Node;
use crate::read::Read;
use crate::read::Spot;
use crate::report::At;
use crate::report::Report;
use crate::report::shown;
use crate::section::Absent::Fault;
use crate::section::section;

section! {
    /// So many requests in any stretch of time of a given length.
    QuotaFile {
        /// Its name, as it stands in `RateLimit-Policy`: 1 to 32 of a-z, 0-9, `_` and `-`.
        name: QuotaName = Fault,
        /// How many requests.
        requests: Whole<1, 4_294_967_295> = Fault,
        /// In how long: a whole number of seconds, minutes, hours or days, up to 31 days.
        per: Period<SECOND, { 31 * DAY }> = Fault,
    }
}

impl QuotaFile {
    fn quota(self, report: &mut Report<'_>) -> Option<Quota> {
        let (name, requests, per) = (self.name.value?, self.requests.value?, self.per.value?);
        if per.0.subsec_nanos() != 0 {
            report.fault(&self.per.at, "a quota's period is whole seconds");
            return None;
        }
        let requests = i64::try_from(requests.0).unwrap_or(i64::MAX);
        let quota = Quota::new(&name.0, requests, per.0);
        quota.map_err(|error| report.fault(&self.name.at, error)).ok()
    }
}

/// One to [`QUOTAS_MAX`] quotas, each with a name and a period of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Windows(pub(crate) Arc<[Quota]>);

impl Read for Windows {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let at = node.at.clone();
        let written = Vec::<Spot<QuotaFile>>::read(node, report)?;
        if written.is_empty() {
            report.fault(&at, "an empty list limits nothing: write at least one quota");
            return None;
        }
        if written.len() > QUOTAS_MAX {
            let message = format!("{} quotas are too many: at most {QUOTAS_MAX}", written.len());
            report.fault(&at, message);
            return None;
        }
        let mut quotas = Vec::<Quota>::new();
        let mut good = true;
        for spot in written {
            let (name_at, per_at) = (spot.value.name.at.clone(), spot.value.per.at.clone());
            match spot.value.quota(report) {
                Some(quota) => {
                    good &= is_new(&quotas, &quota, &name_at, &per_at, report);
                    quotas.push(quota);
                }
                None => good = false,
            }
        }
        good.then(|| Self(quotas.into()))
    }

    fn schema() -> Value {
        let items = QuotaFile::schema();
        json!({ "type": "array", "items": items, "minItems": 1, "maxItems": QUOTAS_MAX })
    }
}

/// Whether no quota before `quota` has its name or its period.
fn is_new(
    before: &[Quota],
    quota: &Quota,
    name_at: &At,
    per_at: &At,
    report: &mut Report<'_>,
) -> bool {
    if before.iter().any(|other| other.name() == quota.name()) {
        report.fault(name_at, format!("there is already a quota `{}`", quota.name()));
        return false;
    }
    if let Some(other) = before.iter().find(|other| other.per() == quota.per()) {
        report.fault(per_at, format!("the quota `{}` has the same period", other.name()));
        return false;
    }
    true
}

/// What is allowed: quotas, or the word `"unlimited"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Allowance);

impl Limit {
    /// So many requests a minute.
    pub(crate) fn per_minute(requests: u32) -> Option<Self> {
        let quota = Quota::new("minute", i64::from(requests), Duration::from_secs(60)).ok()?;
        Some(Self(Allowance::Limited(Arc::from([quota]))))
    }
}

impl Read for Limit {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        match node.value {
            DeValue::Array(_) => {
                Windows::read(node, report).map(|Windows(quotas)| Self(Allowance::Limited(quotas)))
            }
            DeValue::String(word) if word == "unlimited" => Some(Self(Allowance::Unlimited)),
            DeValue::String(word) => {
                let word = shown(word);
                let right = "write `[{ name = \"minute\", requests = 100, per = \"1m\" }]` or \
                             `\"unlimited\"`";
                report.fault(&node.at, format!("`{word}` is no limit: {right}"));
                None
            }
            _ => {
                node.is_not("a list of quotas or `\"unlimited\"`", report);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "oneOf": [{ "const": "unlimited" }, Windows::schema()] })
    }
}
