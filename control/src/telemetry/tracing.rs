//! The log.

use std::fmt;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSection};

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("log.filter: {0}")]
pub struct LogError(String);

/// Sends log lines to standard error. A second call has no effect.
///
/// # Errors
/// When the filter is malformed.
pub fn install(config: &LogSection) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| LogError(error.to_string()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A subscriber that is there already (tests, embedding) stays.
    let _ = match config.format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// A telephone number or address for the log: all but the last two characters are hidden, unless
/// personal data may be logged.
#[derive(Clone, Copy, Debug)]
pub struct Redacted<'a> {
    /// The text.
    pub text: &'a str,
    /// Whether it may be shown.
    pub show: bool,
}

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.show {
            return f.write_str(self.text);
        }
        let hidden = self.text.chars().count().saturating_sub(2);
        f.write_str("***")?;
        self.text.chars().skip(hidden).try_for_each(|c| {
            // Short texts would be given away whole.
            if hidden < 4 {
                Ok(())
            } else {
                fmt::Write::write_char(f, c)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hidden_but_for_their_end() {
        let shown = |text, show| Redacted { text, show }.to_string();
        assert_eq!(shown("+15550100123", false), "***23");
        assert_eq!(shown("1234", false), "***");
        assert_eq!(shown("+15550100123", true), "+15550100123");
    }
}
