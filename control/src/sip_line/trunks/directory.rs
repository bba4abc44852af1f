//! Trunks registered over the API, put into force beside those of the configuration.

use std::collections::BTreeSet;

use sip::message::Host;

use super::registry::TrunkRegistry;
use crate::config::{Secret, TrunkSection};
use crate::numbers::trunks::{Trunk as Row, TrunkDirectory};

/// Names of trunks out of the database begin so; those of the configuration cannot.
pub(crate) const PREFIX: &str = "api.";

/// Keeps the registry in step with the directory until the server stops.
pub async fn follow_directory(directory: TrunkDirectory, registry: TrunkRegistry) {
    let mut changes = directory.changes();
    let mut known: BTreeSet<String> = BTreeSet::new();
    loop {
        changes.borrow_and_update();
        match directory.read().await {
            Ok(rows) => known = put_into_force(&registry, &known, rows),
            Err(error) => tracing::warn!(%error, "trunks could not be read"),
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Adds, changes and removes; the names now in force.
fn put_into_force(
    registry: &TrunkRegistry,
    before: &BTreeSet<String>,
    rows: Vec<(Row, Option<Secret>)>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (row, password) in rows {
        let name = format!("{PREFIX}{}", row.id);
        let Some(settings) = settings(&name, &row, password) else {
            tracing::warn!(trunk = name, "address of the trunk is unusable");
            continue;
        };
        let is_same = registry
            .find(&name)
            .is_some_and(|trunk| trunk.is_made_of(&settings));
        if !is_same && let Err(error) = registry.upsert(settings) {
            tracing::warn!(trunk = name, %error, "trunk is not put into force");
            continue;
        }
        names.insert(name);
    }
    for gone in before.difference(&names) {
        registry.remove(gone);
    }
    names
}

/// A row as settings: calls go to its address with its credentials, and calls from its address,
/// if that is one and no name, are its own.
fn settings(name: &str, row: &Row, password: Option<Secret>) -> Option<TrunkSection> {
    let address = row.sip_address.trim();
    let lower = address.to_ascii_lowercase();
    let uri = if lower.starts_with("sip:") || lower.starts_with("sips:") {
        address.to_owned()
    } else {
        format!("sip:{address}")
    };
    let parsed = sip::message::Uri::parse(&uri).ok()?;
    let addresses = match &parsed.as_sip()?.host {
        Host::Ip(ip) => vec![ip.to_string()],
        Host::Name(_) => Vec::new(),
    };
    let username = row.auth_username.clone().filter(|_| password.is_some());
    Some(TrunkSection {
        name: name.to_owned(),
        addresses,
        uris: vec![uri],
        password: password.filter(|_| username.is_some()),
        username,
        ..TrunkSection::default()
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::config::SipSection;

    fn row(id: u128, address: &str) -> (Row, Option<Secret>) {
        let row = Row {
            id: Uuid::from_u128(id),
            org: Uuid::from_u128(9),
            label: None,
            provider: None,
            sip_address: address.to_owned(),
            auth_username: Some("user".to_owned()),
            auth_password: None,
            email: None,
            krisp_enabled: false,
        };
        (row, Some(Secret::new("secret")))
    }

    #[test]
    fn rows_come_change_and_go_while_the_configuration_stays() {
        let own = TrunkSection {
            name: "own".to_owned(),
            ..TrunkSection::default()
        };
        let registry = TrunkRegistry::new(&SipSection::default(), &[own]);
        let changes = registry.changes();
        let rows = || vec![row(1, "192.0.2.7:5070"), row(2, "sip.carrier.example")];
        let known = put_into_force(&registry, &BTreeSet::new(), rows());
        assert_eq!(registry.all().len(), 3);
        let first = registry.find(known.first().unwrap()).unwrap();
        assert_eq!(first.settings().uris, ["sip:192.0.2.7:5070"]);
        assert_eq!(first.addresses()[0].to_string(), "192.0.2.7");
        assert!(first.credentials().is_some());
        assert_eq!(registry.guard().trusted.len(), 1);
        let so_far = *changes.borrow();
        let known = put_into_force(&registry, &known, rows());
        assert_eq!(
            *changes.borrow(),
            so_far,
            "what has not changed is left alone"
        );
        let known = put_into_force(
            &registry,
            &known,
            vec![row(2, "sip:other.example;transport=tls")],
        );
        assert_eq!(registry.all().len(), 2);
        let second = registry.find(known.first().unwrap()).unwrap();
        assert_eq!(second.settings().uris, ["sip:other.example;transport=tls"]);
        let known = put_into_force(&registry, &known, vec![row(3, "not an address")]);
        assert!(known.is_empty());
        assert_eq!(registry.all().len(), 1);
        assert!(registry.find("own").is_some());
    }
}
