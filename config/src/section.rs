//! Sections: tables whose keys are fixed. One declaration gives the struct, its reader and its schema.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::read::Field;
use crate::read::Node;
use crate::read::Read;
use crate::report::At;
use crate::report::Report;

/// What it means that a key is not given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Absent {
    /// A fault.
    Fault,
    /// Nothing.
    Fine,
    /// This value, written as in the file.
    Means(&'static str),
}

/// Declares a section: `key: Type = Absent`, with the docs that the schema repeats.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $name:ident { $( $(#[doc = $doc:literal])+ $key:ident : $kind:ty = $absent:expr, )+ }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            /// Where the section is.
            #[allow(dead_code, reason = "not every section is the place of a fault")]
            pub(crate) at: $crate::report::At,
            $( $(#[doc = $doc])+ pub(crate) $key: $crate::read::Field<$kind>, )+
        }

        impl $crate::read::Read for $name {
            fn read(
                node: $crate::read::Node<'_>,
                report: &mut $crate::report::Report<'_>,
            ) -> Option<Self> {
                let keys = $crate::section::Keys::open(node, report)?;
                keys.refuse_others(&[$(stringify!($key)),+], report);
                Some(Self {
                    $( $key: keys.read(stringify!($key), $absent, report), )+
                    at: keys.at,
                })
            }

            fn schema() -> serde_json::Value {
                let mut keys = $crate::section::Description::default();
                $( keys.add::<$kind>(stringify!($key), concat!($($doc),+), $absent); )+
                keys.finish(concat!("" $(, $about)*))
            }
        }
    };
}
pub(crate) use section;

/// The keys of a table that is being read.
pub(crate) struct Keys<'a> {
    table: &'a DeTable<'a>,
    pub(crate) at: At,
}

impl<'a> Keys<'a> {
    /// Opens the table, if it is one.
    pub(crate) fn open(node: Node<'a>, report: &mut Report<'_>) -> Option<Self> {
        let Node { value: DeValue::Table(table), at } = node else {
            Node { value: node.value, at: node.at.hidden() }.is_not("a table", report);
            return None;
        };
        Some(Self { table, at })
    }

    /// Notes each key that is not `known`.
    pub(crate) fn refuse_others(&self, known: &[&str], report: &mut Report<'_>) {
        for key in self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let at = self.at.key(key.get_ref(), key.span());
            report.unknown_key(&at, key.get_ref(), known);
        }
    }

    /// Reads the value of `key`.
    pub(crate) fn read<T: Read>(
        &self,
        key: &str,
        absent: Absent,
        report: &mut Report<'_>,
    ) -> Field<T> {
        if let Some(value) = self.table.get(key) {
            let mut at = self.at.key(key, value.span());
            at.secret |= T::SECRET;
            let node = Node { value: value.get_ref(), at: at.clone() };
            return Field { value: T::read(node, report), at, given: true };
        }
        let mut at = self.at.clone();
        at.path = self.at.key(key, 0..0).path;
        let value = match absent {
            Absent::Fine => None,
            Absent::Fault => {
                report.fault(&self.at, format!("the key `{key}` is missing"));
                None
            }
            Absent::Means(text) => match DeValue::parse(text) {
                Ok(value) => T::read(Node { value: value.get_ref(), at: at.clone() }, report),
                Err(error) => {
                    report.fault(&at, format!("its default is no TOML: {}", error.message()));
                    None
                }
            },
        };
        Field { value, at, given: false }
    }
}

/// A section's schema in the making.
#[derive(Default)]
pub(crate) struct Description {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Description {
    /// Adds a key.
    pub(crate) fn add<T: Read>(&mut self, key: &'static str, doc: &str, absent: Absent) {
        let mut schema = T::schema();
        schema["description"] = json!(doc.trim());
        match absent {
            Absent::Fine | Absent::Means("{}") => {}
            Absent::Fault => self.required.push(key),
            Absent::Means(text) => {
                if let Ok(document) = toml::from_str::<toml::Table>(&format!("default = {text}")) {
                    schema["default"] = json!(document["default"]);
                }
            }
        }
        self.properties.insert(key.to_owned(), schema);
    }

    /// The schema.
    pub(crate) fn finish(self, about: &str) -> Value {
        let mut schema = json!({
            "type": "object",
            "description": about.trim(),
            "additionalProperties": false,
            "properties": self.properties,
        });
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        schema
    }
}
