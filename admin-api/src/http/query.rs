//! Parameters of a query, read strictly: a name given twice is a fault, as in bodies. Names that
//! nobody here reads are left alone: providers and front ends add their own.

use http::Uri;
use kernel::problem::FieldFault;

use super::fields::NAME_CHARS_SHOWN_MAX;

/// The most parameters that are looked at.
pub(super) const PARAMETERS_MAX: usize = 64;

/// The parameters of one query.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Those of `uri`.
    pub(crate) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self(pairs.take(PARAMETERS_MAX).collect())
    }

    /// The text of `name`; `None` where it is absent or empty.
    ///
    /// # Errors
    /// A fault where it comes twice.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<&str>, FieldFault> {
        Ok(self.once(name)?.filter(|text| !text.is_empty()))
    }

    /// The text of `name`, which may be empty.
    fn once(&self, name: &str) -> Result<Option<&str>, FieldFault> {
        let mut given = self.0.iter().filter(|(known, _)| known == name);
        let text = given.next().map(|(_, text)| text.as_str());
        if given.next().is_some() {
            return Err(of_query(name, "Parameter given more than once", "duplicate"));
        }
        Ok(text)
    }

    /// The text of `name`.
    ///
    /// # Errors
    /// As [`Query::optional`], and where it is absent.
    pub(crate) fn required(&self, name: &str) -> Result<&str, FieldFault> {
        self.optional(name)?.ok_or_else(|| of_query(name, "Field required", "missing"))
    }

    /// Whether `name` is `1` or `true`; absent, `0` and `false` are no.
    ///
    /// # Errors
    /// As [`Query::optional`], and where it is anything else.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, FieldFault> {
        match self.once(name)? {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(_) => {
                Err(of_query(name, "Input should be 'true' or 'false', once", "bool_parsing"))
            }
        }
    }
}

/// A fault of the parameter `name`, which may be anything.
pub(super) fn of_query(name: &str, msg: &str, kind: &str) -> FieldFault {
    let name = name.chars().take(NAME_CHARS_SHOWN_MAX).collect();
    FieldFault { loc: vec!["query".to_owned(), name], msg: msg.to_owned(), kind: kind.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn a_parameter_given_twice_is_a_fault_and_an_empty_one_is_absent() {
        assert_eq!(query("a=b%20c&d=").optional("a").unwrap(), Some("b c"));
        assert_eq!(query("a=b&d=").optional("d").unwrap(), None);
        assert_eq!(query("").required("a").unwrap_err().kind, "missing");
        assert_eq!(query("a=1&a=1").optional("a").unwrap_err().kind, "duplicate");
    }

    #[test]
    fn a_flag_is_read_strictly() {
        for (text, flag) in [("", Some(false)), ("a=0", Some(false)), ("a=false", Some(false))] {
            assert_eq!(query(text).flag("a").ok(), flag, "{text}");
        }
        for text in ["a=1", "a=true"] {
            assert!(query(text).flag("a").unwrap(), "{text}");
        }
        for text in ["a=yes", "a=", "a=1&a=0", "a=TRUE"] {
            assert!(query(text).flag("a").is_err(), "{text}");
        }
    }
}
