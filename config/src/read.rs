//! Reads values out of a parsed document, noting every fault instead of stopping at the first.
//!
//! Serde stops at its first error, so a file with five faults would take five attempts. Here a
//! value that cannot be read is a fault in the [`Report`] and `None` to the caller, who goes on.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;
use toml::de::DeValue;

use crate::report::At;
use crate::report::Report;

/// The most items of a list.
const ITEMS_MAX: usize = 10_000;

/// A value of the document, and where it is.
pub(crate) struct Node<'a> {
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) at: At,
}

/// A type that can be read from TOML, and that can describe itself as JSON Schema.
pub(crate) trait Read: Sized {
    /// Whether a value of this type must not be shown in a fault.
    const SECRET: bool = false;

    /// Reads the value; `None` after noting why it cannot be read.
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self>;

    /// What the schema says of it.
    fn schema() -> Value;
}

impl Node<'_> {
    /// Notes that something else than `wanted` is here.
    ///
    /// The value itself is not shown: what is out of place may be a secret.
    pub(crate) fn is_not(&self, wanted: &str, report: &mut Report<'_>) {
        let found = match self.value {
            DeValue::Integer(_) => "an integer",
            DeValue::Array(_) => "a list",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::String(_) => "a string",
            DeValue::Float(_) => "a float",
            DeValue::Table(_) => "a table",
        };
        report.fault(&self.at, format!("expected {wanted}, found {found}"));
    }

    /// The string here, or a fault.
    pub(crate) fn text(&self, wanted: &str, report: &mut Report<'_>) -> Option<&str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.is_not(wanted, report);
        }
        text
    }
}

/// A key of a section: its value where one was given or has a default, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Field<T> {
    /// `None`: not given, or given and faulty (then the report says so).
    pub(crate) value: Option<T>,
    /// Where the value is; where it would be, if it is not given.
    pub(crate) at: At,
    /// Whether it was given at all, good or faulty.
    pub(crate) given: bool,
}

impl<T> Field<T> {
    /// Puts a value of elsewhere in place of what the file says.
    pub(crate) fn replace(&mut self, value: Option<T>, at: At) {
        self.value = value;
        self.at = at;
        self.given = true;
    }
}

/// An item of a list, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Spot<T> {
    pub(crate) value: T,
    pub(crate) at: At,
}

impl<T: Read> Read for Spot<T> {
    const SECRET: bool = T::SECRET;

    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let at = node.at.clone();
        T::read(node, report).map(|value| Self { value, at })
    }

    fn schema() -> Value {
        T::schema()
    }
}

impl<T: Read> Read for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let Some(items) = node.value.as_array() else {
            Node { value: node.value, at: node.at.hidden() }.is_not("a list", report);
            return None;
        };
        if items.len() > ITEMS_MAX {
            let message = format!("{} items are too many: at most {ITEMS_MAX}", items.len());
            report.fault(&node.at, message);
            return None;
        }
        let mut all = Some(Self::new());
        for (index, item) in items.iter().enumerate() {
            let at = node.at.item(index, item.span());
            let read = T::read(Node { value: item.get_ref(), at }, report);
            // A faulty item spoils the list, but the other items are still looked at.
            all = all.zip(read).map(|(mut all, read)| {
                all.push(read);
                all
            });
        }
        all
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// A table whose keys are the operator's own names.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) BTreeMap<String, Spot<T>>);

impl<T: Read> Read for Named<T> {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let Some(table) = node.value.as_table() else {
            Node { value: node.value, at: node.at.hidden() }.is_not("a table", report);
            return None;
        };
        let mut named = BTreeMap::new();
        for (key, value) in table {
            let at = node.at.key(key.get_ref(), value.span());
            if let Some(read) = Spot::read(Node { value: value.get_ref(), at }, report) {
                named.insert(key.get_ref().to_string(), read);
            }
        }
        Some(Self(named))
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

impl Read for bool {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let read = node.value.as_bool();
        if read.is_none() {
            node.is_not("true or false", report);
        }
        read
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}
