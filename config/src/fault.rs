//! What is wrong with a configuration, and where; never with a secret in it.

use std::fmt;

use serde_json::Value;
use serde_json::json;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line and column of the offending value, from 1, in characters; `None` for a fault outside
    /// the file, such as one in an environment variable.
    pub position: Option<(usize, usize)>,
    /// The dotted path, such as `routes[0].limits`; empty for a fault of the whole file.
    pub path: String,
    /// The offending place as written, without anything secret.
    pub excerpt: String,
    /// What is wrong, with the value, and what would be right.
    pub message: String,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

/// All that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file's name, as it was given.
    pub file: String,
    /// The faults in the order of the file; those outside it come first.
    pub problems: Vec<Fault>,
}

impl Faults {
    /// One fault of the whole file.
    pub(crate) fn whole(file: &str, message: String) -> Self {
        let fault = Fault {
            position: None,
            path: String::new(),
            excerpt: String::new(),
            message,
            suggestion: None,
        };
        Self { file: file.to_owned(), problems: vec![fault] }
    }

    /// The faults as `{"file", "problems": [{"line", "column", "path", "message", "suggestion"?}]}`.
    ///
    /// `line` and `column` are null for a fault outside the file.
    pub fn to_json(&self) -> Value {
        let problem = |fault: &Fault| {
            let mut problem = json!({
                "line": fault.position.map(|(line, _)| line),
                "column": fault.position.map(|(_, column)| column),
                "path": fault.path,
                "message": fault.message,
            });
            if let Some(suggestion) = &fault.suggestion {
                problem["suggestion"] = json!(suggestion);
            }
            problem
        };
        json!({
            "file": self.file,
            "problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Faults {
    /// One line for the file, and one for each fault: `line:column | excerpt  path: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{}: {count} problem{}", self.file, if count == 1 { "" } else { "s" })?;
        let place = |fault: &Fault| match fault.position {
            Some((line, column)) => format!("{line}:{column}"),
            None => "-".to_owned(),
        };
        let width = |text: &dyn Fn(&Fault) -> usize| self.problems.iter().map(text).max();
        let places = width(&|fault| place(fault).len()).unwrap_or(0);
        let excerpts = width(&|fault| fault.excerpt.chars().count()).unwrap_or(0);
        for fault in &self.problems {
            write!(f, "\n {:places$} | {:excerpts$}   ", place(fault), fault.excerpt)?;
            if !fault.path.is_empty() {
                write!(f, "{}: ", fault.path)?;
            }
            write!(f, "{}", fault.message)?;
            if let Some(suggestion) = &fault.suggestion {
                write!(f, "; did you mean `{suggestion}`?")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
