//! `samvad admin`: the first administrator, made where the data is.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::api::schema::Kind;
use crate::config::{Config, Secret};
use crate::identity::accounts::{self, NewUser};
use crate::identity::audit::Actor;
use crate::identity::password::Passwords;
use crate::identity::principal::{INSTALLATION, Role};
use crate::store::Store;

/// The subcommands of `samvad admin`.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make a super administrator; the password is read from standard input
    Create {
        /// Mail address to log in with
        #[arg(long)]
        email: String,
        /// Name for people
        #[arg(long)]
        name: Option<String>,
    },
}

/// Runs the subcommand on the configured database; the server may be running.
///
/// # Errors
/// When the values are wrong, the account exists, or the database cannot be used.
pub fn run(command: AdminCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(create(command, config))?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command line talks to its user")]
async fn create(command: AdminCommand, config: &Config) -> anyhow::Result<()> {
    let AdminCommand::Create { email, name } = command;
    let mut password = String::new();
    std::io::stdin()
        .read_to_string(&mut password)
        .context("standard input")?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    for (what, kind, value) in [
        ("email", Kind::Email, &email),
        ("password", Kind::Password, &password),
    ] {
        if let Err(wrong) = kind.read(value, what) {
            bail!("{what} {}", wrong.message);
        }
    }
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| config.data_dir.display().to_string())?;
    let store = Store::of(config).await?;
    let new = NewUser {
        email: Some(email.clone()),
        name,
        password_hash: Some(Passwords::default().hash(Secret::new(password)).await),
        superuser: true,
        ..NewUser::default()
    };
    let made = store.write(move |conn| {
        Box::pin(async move {
            let id = accounts::create_user(conn, new).await?;
            accounts::add_member(conn, INSTALLATION, id, Role::Admin).await?;
            accounts::set_current(conn, id, Some(INSTALLATION)).await?;
            Actor::user(id, "")
                .did(conn, "create_admin", ("user", id))
                .await
        })
    });
    made.await?;
    println!("{email} may now log in as super administrator");
    Ok(())
}
