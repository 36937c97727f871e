//! What a resource is called.

use std::fmt;
use std::sync::Arc;

/// The longest name of a resource, in characters.
pub const ID_CHARS_MAX: usize = 128;

/// The greatest number that a resource can be called: what databases and Python hold alike.
pub const ID_NUMBER_MAX: u64 = i64::MAX as u64;

/// What a resource is called: a number, or any other text.
///
/// A text of digits alone is a number, and no number is written in two ways, so that one text is one
/// resource everywhere: in a path, in JSON and in the name of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceId {
    /// As the replaced service calls them; a number in JSON.
    Number(u64),
    /// Anything else; a text in JSON.
    Text(Arc<str>),
}

/// A text that names no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceIdError {
    /// None at all, or too much of it.
    #[error("expected 1 to {ID_CHARS_MAX} characters")]
    Length,
    /// A number that could be written shorter.
    #[error("a number is written without leading zeros")]
    Zeros,
    /// A number that is too great.
    #[error("a number is at most {ID_NUMBER_MAX}")]
    Number,
    /// What nobody can see or type.
    #[error("control characters are not allowed")]
    Control,
}

impl ResourceId {
    /// Reads a name.
    ///
    /// # Errors
    /// [`ResourceIdError`].
    pub fn parse(text: &str) -> Result<Self, ResourceIdError> {
        if text.is_empty() || text.chars().count() > ID_CHARS_MAX {
            return Err(ResourceIdError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(ResourceIdError::Control);
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Text(text.into()));
        }
        if text.len() > 1 && text.starts_with('0') {
            return Err(ResourceIdError::Zeros);
        }
        let number = text.parse().ok().filter(|number| *number <= ID_NUMBER_MAX);
        number.map(Self::Number).ok_or(ResourceIdError::Number)
    }

    /// As JSON has it.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => (**text).into(),
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, json: Result<&str, ResourceIdError>) {
        let read = ResourceId::parse(text).map(|id| id.to_json().to_string());
        assert_eq!(read, json.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn digits_are_a_number_and_everything_else_is_a_text() {
        check("42", Ok("42"));
        check("0", Ok("0"));
        check("9223372036854775807", Ok("9223372036854775807"));
        check("4a", Ok(r#""4a""#));
        check("-42", Ok(r#""-42""#));
        check("4.2", Ok(r#""4.2""#));
        check("٤٢", Ok(r#""٤٢""#));
    }

    #[test]
    fn no_number_is_written_in_two_ways_and_none_is_past_what_a_database_holds() {
        check("042", Err(ResourceIdError::Zeros));
        check("00", Err(ResourceIdError::Zeros));
        check("9223372036854775808", Err(ResourceIdError::Number));
        check(&"9".repeat(ID_CHARS_MAX), Err(ResourceIdError::Number));
    }

    #[test]
    fn a_name_of_128_characters_is_the_longest() {
        let longest = "ä".repeat(ID_CHARS_MAX);
        check(&longest, Ok(&format!("\"{longest}\"")));
        check(&format!("{longest}x"), Err(ResourceIdError::Length));
        check("", Err(ResourceIdError::Length));
        check("a\nb", Err(ResourceIdError::Control));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn whatever_is_a_name_is_written_as_it_was_read(text in "\\PC{0,140}|[0-9]{1,22}") {
            if let Ok(id) = ResourceId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
