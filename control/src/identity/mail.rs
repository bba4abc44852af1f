//! Mail to users: written into files below the data directory, for a mail server to collect.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Folder within the data directory.
pub const MAIL_DIR: &str = "mail";

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// To whom; checked to be an address before.
    pub to: String,
    /// One line.
    pub subject: &'static str,
    /// Text.
    pub text: String,
}

/// Where messages go.
#[derive(Clone, Debug)]
pub struct Mailer {
    dir: PathBuf,
}

impl Mailer {
    /// Below this data directory.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join(MAIL_DIR),
        }
    }

    /// Files the message as `<time>-<id>.eml` (RFC 5322), readable for the server's user only.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn send(&self, message: Message) -> std::io::Result<()> {
        let dir = self.dir.clone();
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&dir)?;
            let date = chrono::Utc::now().to_rfc2822();
            let text = format!(
                "Date: {date}\r\nTo: <{}>\r\nSubject: {}\r\nMIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\
                 \r\n{}\r\n",
                message.to, message.subject, message.text
            );
            let path = dir.join(format!("{}.eml", Uuid::now_v7()));
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            std::io::Write::write_all(&mut options.open(path)?, text.as_bytes())
        });
        written.await.map_err(std::io::Error::other)?
    }
}
