//! Which rows of a list are wanted, and how many: a query of ours alone, read as strictly as a
//! body: a name once, and none that means nothing.

use std::str::FromStr;

use super::query::PARAMETERS_MAX;
use super::query::of_query;
use super::refusal::Refusal;

/// What of a list is wanted.
pub(crate) struct Selection(Vec<(String, String)>);

/// The longest value, in bytes.
pub(crate) const VALUE_BYTES_MAX: usize = 1024;

impl Selection {
    /// Reads `text`, in which only `known` names may be.
    ///
    /// # Errors
    /// [`Refusal::Fields`] with every fault.
    pub(crate) fn of(text: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        let pairs: Vec<(String, String)> = pairs.into_owned().take(PARAMETERS_MAX + 1).collect();
        if let Some((name, _)) = pairs.get(PARAMETERS_MAX) {
            let msg = format!("At most {PARAMETERS_MAX} parameters");
            return Err(Refusal::Fields(vec![of_query(name, &msg, "too_long")]));
        }
        let mut faults = Vec::new();
        for (i, (name, value)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let msg = format!("Unknown parameter; there are {}", known.join(", "));
                faults.push(of_query(name, &msg, "extra_forbidden"));
            } else if pairs[..i].iter().any(|(other, _)| other == name) {
                faults.push(of_query(name, "Parameter given more than once", "duplicate"));
            } else if value.len() > VALUE_BYTES_MAX {
                let msg = format!("At most {VALUE_BYTES_MAX} bytes");
                faults.push(of_query(name, &msg, "too_long"));
            }
        }
        if faults.is_empty() { Ok(Self(pairs)) } else { Err(Refusal::Fields(faults)) }
    }

    /// The value of `name`; `None` where it is absent or empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(known, _)| known == name);
        value.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The value of `name`, as something else than a text.
    ///
    /// # Errors
    /// [`Refusal::Fields`]: it `should` be.
    pub(crate) fn parsed<T: FromStr>(
        &self,
        name: &str,
        should: &str,
    ) -> Result<Option<T>, Refusal> {
        let parse = |text: &str| text.parse().map_err(|_| wrong(name, should));
        self.text(name).map(parse).transpose()
    }

    /// How many rows are wanted: from 1 to `max`, `usual` where it is not said.
    ///
    /// # Errors
    /// [`Refusal::Fields`].
    pub(crate) fn limit(&self, usual: u32, max: u32) -> Result<u32, Refusal> {
        let should = format!("be a number from 1 to {max}");
        let limit = self.parsed("limit", &should)?.unwrap_or(usual);
        if (1..=max).contains(&limit) { Ok(limit) } else { Err(wrong("limit", &should)) }
    }
}

/// A page of at most `limit` of `rows`, of which one more than that was looked for, and the cursor of
/// the next page, which `cursor` makes of the last row; `None`: there is none.
pub(crate) fn page_of<T>(
    mut rows: Vec<T>,
    limit: u32,
    cursor: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let is_last = rows.len() <= limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| !is_last).map(cursor);
    (rows, next)
}

/// That the parameter `name` is not what it `should` be.
pub(crate) fn wrong(name: &str, should: &str) -> Refusal {
    Refusal::Fields(vec![of_query(name, &format!("Input should {should}"), "value_error")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_at_most_1024_bytes() {
        let of = |bytes: usize| Selection::of(Some(&format!("q={}", "x".repeat(bytes))), &["q"]);
        assert_eq!(of(VALUE_BYTES_MAX).unwrap().text("q").map(str::len), Some(VALUE_BYTES_MAX));
        assert!(matches!(of(VALUE_BYTES_MAX + 1), Err(Refusal::Fields(_))));
    }

    #[test]
    fn a_query_has_at_most_64_parameters() {
        let of = |number: usize| {
            let query = vec!["q="; number].join("&");
            match Selection::of(Some(&query), &["q"]) {
                Err(Refusal::Fields(faults)) => faults.len(),
                _ => 0,
            }
        };
        // Each but the first is one too many; of more than 64 it is only said that they are.
        assert_eq!(of(PARAMETERS_MAX), PARAMETERS_MAX - 1);
        assert_eq!(of(PARAMETERS_MAX + 1), 1);
    }

    #[test]
    fn a_page_has_from_one_row_to_its_most() {
        let limit =
            |query: &str| Selection::of(Some(query), &["limit"]).unwrap().limit(50, 200).ok();
        for (query, rows) in [
            ("", Some(50)),
            ("limit=", Some(50)),
            ("limit=1", Some(1)),
            ("limit=200", Some(200)),
            ("limit=0", None),
            ("limit=201", None),
            ("limit=-1", None),
            ("limit=1.5", None),
        ] {
            assert_eq!(limit(query), rows, "{query}");
        }
    }
}
