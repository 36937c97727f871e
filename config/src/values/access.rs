//! Who may call a route.

use serde_json::Value;
use serde_json::json;
use toml::de::DeValue;

use super::Scope;
use crate::read::Node;
use crate::read::Read;
use crate::report::Report;
use crate::report::shown;
use crate::section::Absent::Fault;
use crate::section::section;
use crate::suggest;
use crate::types::Access;

section! {
    /// A token with all of these scopes.
    Scoped {
        /// The scopes; all of them are needed.
        scopes: Vec<Scope> = Fault,
    }
}

impl Read for Access {
    fn read(node: Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        const WORDS: [&str; 2] = ["public", "token"];
        match node.value {
            DeValue::String(word) if word == "public" => Some(Self::Public),
            DeValue::String(word) if word == "token" => Some(Self::Token),
            DeValue::String(word) => {
                let message = format!("`{}` is not {FORMS}", shown(word));
                report.fault_meaning(&node.at, message, suggest::nearest(word, &WORDS));
                None
            }
            DeValue::Table(_) => {
                let scoped = Scoped::read(node, report)?;
                let scopes = scoped.scopes.value?;
                if scopes.is_empty() {
                    let message = "an empty list asks for nothing: write `\"token\"` for any token";
                    report.fault(&scoped.scopes.at, message);
                    return None;
                }
                Some(Self::Scopes(scopes.into_iter().map(|scope| scope.0).collect()))
            }
            _ => {
                node.is_not(FORMS, report);
                None
            }
        }
    }

    fn schema() -> Value {
        json!({ "oneOf": [{ "enum": ["public", "token"] }, Scoped::schema()] })
    }
}

const FORMS: &str = "`\"public\"`, `\"token\"` or `{ scopes = [\"…\"] }`";
