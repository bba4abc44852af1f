//! Query parameters of lists.

use std::collections::HashMap;
use std::str::FromStr;

use super::error::ApiError;

/// Entries of a page when nothing is asked for.
const LIMIT_DEFAULT: u32 = 50;
/// Most entries of a page.
const LIMIT_MAX: u32 = 200;

/// The query of a request. Every parameter must be taken; one that is left is an error.
#[derive(Debug)]
pub(crate) struct QueryParameters(HashMap<String, String>);

impl QueryParameters {
    /// Reads a query string; of a parameter given twice the last counts.
    pub(crate) fn new(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// Takes a parameter as text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// Takes a parameter as what `T` reads.
    pub(crate) fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        self.text(name)
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| ApiError::invalid(name, format!("must be {expected}")))
    }

    /// Takes `limit`.
    pub(crate) fn limit(&mut self) -> Result<u32, ApiError> {
        let expected = "a number from 1 to 200";
        match self.parsed::<u32>("limit", expected)? {
            None => Ok(LIMIT_DEFAULT),
            Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
            Some(_) => Err(ApiError::invalid("limit", format!("must be {expected}"))),
        }
    }

    /// Fails when a parameter was not taken.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.into_keys().min() {
            None => Ok(()),
            Some(name) => Err(ApiError::invalid(
                name,
                "is not a parameter of this request",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_strangers_refused() {
        let mut query = QueryParameters::new(Some("limit=7&status=a%20b"));
        assert_eq!(query.limit().unwrap(), 7);
        assert_eq!(query.text("status").unwrap(), "a b");
        assert!(query.finish().is_ok());
        for wrong in ["limit=0", "limit=201", "limit=-1", "limit=x", "limit="] {
            assert!(
                QueryParameters::new(Some(wrong)).limit().is_err(),
                "{wrong}"
            );
        }
        let mut query = QueryParameters::new(Some("limt=7"));
        assert_eq!(query.limit().unwrap(), 50);
        assert!(query.finish().is_err());
    }
}
