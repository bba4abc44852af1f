//! What a scripted caller says, and when.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A caller's part in a conversation, as read from a TOML file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What the script is about.
    #[serde(default)]
    pub description: String,
    /// The workflow it was written for, for people.
    #[serde(default)]
    pub workflow: String,
    /// What is said, in order.
    #[serde(default)]
    pub lines: Vec<Line>,
    /// What is said outside the order, when the agent's last words call for it.
    #[serde(default)]
    pub replies: Vec<Reply>,
}

/// One line of the caller.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Text to speak.
    #[serde(default)]
    pub say: Option<String>,
    /// WAV file to play instead (16-bit, mono or stereo, any rate), relative to the script.
    #[serde(default)]
    pub wav: Option<PathBuf>,
    /// Keys to press instead.
    #[serde(default)]
    pub dtmf: Option<String>,
    /// Begin this long after the agent has begun its turn, instead of waiting for its end.
    #[serde(default)]
    pub interrupt_after_ms: Option<u64>,
    /// Text that the agent's words before this line must contain (case does not matter). While
    /// they do not, the line before is repeated, at most twice. Not looked at when the line
    /// interrupts: what the agent says is known only at its end.
    #[serde(default)]
    pub expect_agent: Option<String>,
}

/// An answer to something the agent may or may not say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Text that the agent's turn must contain (case does not matter).
    pub when: String,
    /// What the caller answers.
    pub say: String,
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the script {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not a script.
    #[error("the script {path} is not valid: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A line says nothing or several things at once.
    #[error("line {number} of the script needs exactly one of `say`, `wav`, `dtmf`")]
    Line {
        /// Counted from 1.
        number: usize,
    },
}

impl Script {
    /// Reads a script file; WAV paths become relative to it.
    ///
    /// # Errors
    /// [`ScriptError`] naming the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path).map_err(|source| ScriptError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut script: Self = toml::from_str(&text).map_err(|source| ScriptError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for wav in script.lines.iter_mut().filter_map(|line| line.wav.as_mut()) {
            *wav = folder.join(&*wav);
        }
        script.check()?;
        Ok(script)
    }

    /// Checks that every line says exactly one thing.
    ///
    /// # Errors
    /// [`ScriptError::Line`] for the first that does not.
    pub fn check(&self) -> Result<(), ScriptError> {
        for (index, line) in self.lines.iter().enumerate() {
            let ways = [line.say.is_some(), line.wav.is_some(), line.dtmf.is_some()];
            if ways.iter().filter(|way| **way).count() != 1 {
                return Err(ScriptError::Line { number: index + 1 });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_must_say_exactly_one_thing() {
        let script: Script = toml::from_str("[[lines]]\nsay = \"hello\"\n[[lines]]\n").unwrap();
        assert!(matches!(
            script.check(),
            Err(ScriptError::Line { number: 2 })
        ));
        let both: Script = toml::from_str("[[lines]]\nsay = \"hello\"\ndtmf = \"1\"\n").unwrap();
        assert!(both.check().is_err());
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(toml::from_str::<Script>("[[lines]]\nsays = \"hello\"\n").is_err());
    }
}
