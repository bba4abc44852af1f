//! The SIP user agent as the configuration wants it.

use std::io;
use std::net::SocketAddr;

use sip::auth::{Algorithm, AuthenticatorConfig, Ha1, User, UserSecret, Users};
use sip::net::{IncomingCall, ListenerConfig, UserAgent, UserAgentConfig};
use sip::registrar::RegistrarConfig;
use sip::transport::Transport;
use tokio::sync::mpsc;

use super::media::advertised_address;
use super::tls::tls_settings;
use super::trunks::TrunkRegistry;
use crate::config::{SipSection, SipUserSection};

/// Binds the listeners of the section, with the guard, users and registrar it wants.
///
/// # Errors
/// The setting and address concerned, and what the operating system says of it.
pub async fn bind_user_agent(
    registry: &TrunkRegistry,
) -> Result<(UserAgent, mpsc::Receiver<IncomingCall>), (&'static str, SocketAddr, io::Error)> {
    let section = registry.section();
    let mut config = UserAgentConfig::new(section.bind);
    config.endpoint.user_agent = format!("Samvad/{}", env!("CARGO_PKG_VERSION"));
    config.endpoint.guard = registry.guard();
    config.endpoint.session_expires_s = u32::try_from(section.session_interval.as_secs())
        .ok()
        .filter(|seconds| *seconds > 0);
    // With port 0 the system chooses, and only the bound address is known to be right.
    if section.bind.port() != 0 {
        config.advertised = advertised_address(section, section.bind);
    }
    let fail = |name, address| move |error| (name, address, error);
    for (name, transport, bind) in [
        ("sip.tcp_bind", Transport::Tcp, section.tcp_bind),
        ("sip.tls_bind", Transport::Tls, section.tls_bind),
        ("sip.ws_bind", Transport::Ws, section.ws_bind),
        ("sip.wss_bind", Transport::Wss, section.wss_bind),
    ] {
        let Some(bind) = bind else {
            continue;
        };
        // Bound and let go, so that a port that is taken is reported by its setting.
        drop(std::net::TcpListener::bind(bind).map_err(fail(name, bind))?);
        config.listeners.push(ListenerConfig {
            transport,
            bind,
            advertised: (bind.port() != 0)
                .then(|| advertised_address(section, bind))
                .flatten(),
        });
    }
    let tls = tls_settings(section)
        .map_err(|error| ("sip.tls_certificate", section.bind, io::Error::other(error)))?;
    config.tls = Some(tls);
    let bound = UserAgent::bind(config).await;
    let (agent, incoming) = bound.map_err(fail("sip.bind", section.bind))?;
    let stopped = |_| {
        (
            "sip.bind",
            section.bind,
            io::Error::other("user agent stopped"),
        )
    };
    if !section.users.is_empty() {
        agent
            .configure_users(challenges(section), users(section))
            .await
            .map_err(stopped)?;
    }
    if section.registrar.enabled {
        let expires = section.registrar.expires.as_secs();
        let registrar = RegistrarConfig {
            expires_s: u32::try_from(expires).unwrap_or(u32::MAX),
            ..RegistrarConfig::default()
        };
        agent.enable_registrar(registrar).await.map_err(stopped)?;
    }
    Ok((agent, incoming))
}

fn challenges(section: &SipSection) -> AuthenticatorConfig {
    let algorithms = section.digest_algorithms.iter();
    AuthenticatorConfig {
        algorithms: algorithms.map(|algorithm| algorithm.algorithm()).collect(),
        ..AuthenticatorConfig::new(&section.realm)
    }
}

fn users(section: &SipSection) -> Users {
    let mut users = Users::new();
    for user in &section.users {
        users.insert(
            user.name.clone(),
            User {
                secret: secret(user),
                may_register: section.registrar.enabled,
            },
        );
    }
    users
}

fn secret(user: &SipUserSection) -> UserSecret {
    if let Some(password) = &user.password {
        return UserSecret::Password(password.reveal().to_owned());
    }
    let hashes = [
        (Algorithm::Md5, &user.ha1_md5),
        (Algorithm::Sha256, &user.ha1_sha256),
    ];
    let hashes = hashes
        .into_iter()
        .filter_map(|(algorithm, hash)| Ha1::from_hex(algorithm, hash.as_ref()?.reveal()));
    UserSecret::Hashes(hashes.collect())
}
