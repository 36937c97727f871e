//! Fields of a body, whether it is a form or JSON, read strictly: a name given twice is a fault,
//! since two readers would not agree on which one counts.

use std::fmt;

use axum::RequestExt;
use axum::body::Bytes;
use axum::extract::Request;
use axum::response::IntoResponse;
use http::HeaderMap;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use kernel::problem::FieldFault;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;

use super::refusal::Refusal;

/// The largest body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most fields of one body.
pub(crate) const FIELDS_MAX: usize = 64;

/// How much of a field's name is repeated where nobody knows it, in characters.
pub(super) const NAME_CHARS_SHOWN_MAX: usize = 64;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Which bodies an operation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Forms only.
    Form,
    /// JSON objects only.
    Json,
    /// Forms and JSON objects.
    FormOrJson,
}

/// What kind of body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Empty,
    Form,
    Json,
}

/// The fields of one body.
pub(crate) struct Fields {
    pub(crate) kind: Kind,
    pairs: Vec<(String, Value)>,
}

/// A value as it came.
enum Value {
    Text(String),
    Null,
    /// What forms do not have.
    Other(serde_json::Value),
}

impl Fields {
    /// Reads the body of `request`.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], [`Refusal::MediaType`], [`Refusal::Body`], [`Refusal::Fields`].
    pub(crate) async fn read(request: Request, takes: Takes) -> Result<Self, Refusal> {
        let media_type = media_type(request.headers());
        let body = request.extract::<Bytes, _>().await.map_err(|rejection| {
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
                _ => Refusal::Body,
            }
        })?;
        if body.is_empty() {
            return Ok(Self { kind: Kind::Empty, pairs: Vec::new() });
        }
        let fields = match (media_type.as_deref(), takes) {
            (Some(FORM), Takes::Form | Takes::FormOrJson) => Self::of_form(&body),
            (Some(JSON), Takes::Json | Takes::FormOrJson) => Self::of_json(&body)?,
            (_, Takes::Form) => return Err(Refusal::MediaType(FORM)),
            (_, Takes::Json) => return Err(Refusal::MediaType(JSON)),
            (_, Takes::FormOrJson) => {
                return Err(Refusal::MediaType(
                    "application/json or application/x-www-form-urlencoded",
                ));
            }
        };
        if fields.pairs.len() > FIELDS_MAX {
            let msg = format!("A body may have at most {FIELDS_MAX} fields");
            return Err(Refusal::Fields(vec![fault(&["body"], &msg, "too_long")]));
        }
        Ok(fields)
    }

    fn of_form(body: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(body)
            .take(FIELDS_MAX + 1)
            .map(|(name, value)| (name.into_owned(), Value::Text(value.into_owned())))
            .collect();
        Self { kind: Kind::Form, pairs }
    }

    fn of_json(body: &[u8]) -> Result<Self, Refusal> {
        let Pairs(pairs) = serde_json::from_slice(body).map_err(|_| {
            // Not serde's own text: it may quote the body.
            let msg = "Expected a JSON object";
            Refusal::Fields(vec![fault(&["body"], msg, "json_invalid")])
        })?;
        Ok(Self { kind: Kind::Json, pairs })
    }

    /// The text of `name`; `None` where it is absent, null or empty.
    ///
    /// # Errors
    /// A fault where it comes twice or is no text.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<&str>, FieldFault> {
        match self.once(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(Value::Other(_)) => {
                Err(of_field(name, "Input should be a valid string", "string_type"))
            }
        }
    }

    /// The text of `name`, or the word that there is to be none; `None` where it is absent.
    ///
    /// # Errors
    /// As [`Fields::optional`].
    pub(crate) fn nullable(&self, name: &str) -> Result<Option<Option<&str>>, FieldFault> {
        let is_there = self.once(name)?.is_some();
        let text = self.optional(name)?;
        Ok(is_there.then_some(text))
    }

    /// Yes or no; `None` where it is absent or null.
    ///
    /// # Errors
    /// A fault where it comes twice or is neither.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, FieldFault> {
        match self.once(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Other(serde_json::Value::Bool(flag))) => Ok(Some(*flag)),
            Some(_) => Err(of_field(name, "Input should be a valid boolean", "bool_type")),
        }
    }

    /// A whole number from 0 to `max`; `None` where it is absent or null.
    ///
    /// # Errors
    /// A fault where it comes twice or is none.
    pub(crate) fn whole(&self, name: &str, max: u64) -> Result<Option<u64>, FieldFault> {
        let number = match self.once(name)? {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Other(serde_json::Value::Number(number))) => number.as_u64(),
            Some(_) => None,
        };
        let msg = || format!("Input should be a whole number from 0 to {max}");
        let fits = number.filter(|number| *number <= max);
        fits.map(Some).ok_or_else(|| of_field(name, &msg(), "int_type"))
    }

    /// A list of texts; `None` where it is absent or null.
    ///
    /// # Errors
    /// A fault where it comes twice or is none.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, FieldFault> {
        let wrong = || of_field(name, "Input should be a list of strings", "list_type");
        match self.once(name)? {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Other(serde_json::Value::Array(values))) => {
                let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().map(Some).ok_or_else(wrong)
            }
            Some(_) => Err(wrong()),
        }
    }

    /// A fault for each field that is none of `known`: a name that is mistyped is not passed over.
    pub(crate) fn unknown(&self, known: &[&str]) -> Vec<FieldFault> {
        let others = self.pairs.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let shown = |name: &str| name.chars().take(NAME_CHARS_SHOWN_MAX).collect::<String>();
        let msg = "Extra inputs are not permitted";
        others.map(|(name, _)| of_field(&shown(name), msg, "extra_forbidden")).collect()
    }

    /// A name that comes more than once, if any does.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let names = || self.pairs.iter().map(|(name, _)| name.as_str());
        names().enumerate().find_map(|(at, name)| names().take(at).find(|other| *other == name))
    }

    /// The text of `name`.
    ///
    /// # Errors
    /// As [`Fields::optional`], and where it is absent.
    pub(crate) fn required(&self, name: &str) -> Result<&str, FieldFault> {
        self.optional(name)?.ok_or_else(|| of_field(name, "Field required", "missing"))
    }

    /// The one value of `name`.
    fn once(&self, name: &str) -> Result<Option<&Value>, FieldFault> {
        let mut given = self.pairs.iter().filter(|(known, _)| known == name);
        let value = given.next();
        if given.next().is_some() {
            return Err(of_field(name, "Field given more than once", "duplicate"));
        }
        Ok(value.map(|(_, value)| value))
    }
}

/// The refusal of all faults at once.
pub(crate) fn all<const N: usize>(
    faults: [Option<FieldFault>; N],
    more: Vec<FieldFault>,
) -> Refusal {
    Refusal::Fields(faults.into_iter().flatten().chain(more).collect())
}

/// A fault of the body's field `name`.
pub(crate) fn of_field(name: &str, msg: &str, kind: &str) -> FieldFault {
    fault(&["body", name], msg, kind)
}

fn fault(loc: &[&str], msg: &str, kind: &str) -> FieldFault {
    FieldFault {
        loc: loc.iter().map(|&part| part.to_owned()).collect(),
        msg: msg.to_owned(),
        kind: kind.to_owned(),
    }
}

/// The media type, without parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next()?;
    Some(essence.trim().to_ascii_lowercase())
}

/// A JSON object's members in order, repetitions included.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
                    pairs.push((
                        name,
                        match value {
                            serde_json::Value::String(text) => Value::Text(text),
                            serde_json::Value::Null => Value::Null,
                            other => Value::Other(other),
                        },
                    ));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
