//! API keys: `<brand>_<live|test>_<id><secret><check>`, shown once, kept as a digest.

use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::principal::{Mode, Product};
use super::vault::Vault;
use crate::config::Secret;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_CHARACTERS: usize = 10;
/// 62^32 is more than 190 bits.
const SECRET_CHARACTERS: usize = 32;
const CHECK_CHARACTERS: usize = 6;
/// Shortest key that a client may bring itself.
pub const OWN_KEY_CHARACTERS_MIN: usize = 32;

/// A key as it is shown once.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The whole, for its owner.
    pub text: Secret,
    /// What of it may be shown later, and what it is found by.
    pub prefix: String,
    /// What is stored to check it.
    pub digest: [u8; 32],
}

/// A new random key.
#[must_use]
pub fn generate(vault: &Vault, product: Product, mode: Mode) -> NewKey {
    let brand = format!("{}_{}_", product.key_brand(), mode.name());
    let id = random_text(ID_CHARACTERS);
    let secret = random_text(SECRET_CHARACTERS);
    let text = format!("{brand}{id}{secret}");
    let text = format!("{text}{}", check_text(&text));
    NewKey {
        prefix: format!("{brand}{id}"),
        digest: vault.digest("api-key", &text),
        text: Secret::new(text),
    }
}

/// A key that its owner made. It is found by its digest's beginning, so that nothing of it shows.
#[must_use]
pub fn adopt(vault: &Vault, text: &str) -> NewKey {
    NewKey {
        prefix: own_prefix(vault, text),
        digest: vault.digest("api-key", text),
        text: Secret::new(text),
    }
}

/// What the row of `text` is found by: its visible beginning if it is one of ours, else what
/// [`adopt`] gave it. `None` for a mistyped key of ours.
#[must_use]
pub fn lookup(vault: &Vault, text: &str) -> Option<String> {
    let brand = [Product::Kupe, Product::Kros, Product::Vaani]
        .into_iter()
        .flat_map(|product| [Mode::Live, Mode::Test].map(|mode| (product, mode)))
        .map(|(product, mode)| format!("{}_{}_", product.key_brand(), mode.name()))
        .find(|brand| text.starts_with(brand));
    let Some(brand) = brand else {
        return (text.len() >= OWN_KEY_CHARACTERS_MIN).then(|| own_prefix(vault, text));
    };
    let length = brand.len() + ID_CHARACTERS + SECRET_CHARACTERS + CHECK_CHARACTERS;
    if text.len() != length || !text.is_ascii() {
        return None;
    }
    let (body, check) = text.split_at(length - CHECK_CHARACTERS);
    (check_text(body) == check).then(|| text[..brand.len() + ID_CHARACTERS].to_owned())
}

/// Whether `text` is the key whose digest is stored.
#[must_use]
pub fn matches(vault: &Vault, text: &str, digest: &[u8]) -> bool {
    vault.digest("api-key", text)[..].ct_eq(digest).into()
}

fn own_prefix(vault: &Vault, text: &str) -> String {
    let hash = vault.digest("api-key-lookup", text);
    let hex: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("own_{hex}")
}

fn random_text(characters: usize) -> String {
    let mut random = rand::rng();
    (0..characters)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect()
}

/// Tells a mistyped key without asking the database.
fn check_text(body: &str) -> String {
    Sha256::digest(body)[..CHECK_CHARACTERS]
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_prefix_and_a_typing_mistake_is_seen() {
        let vault = Vault::new([1; 32]);
        let key = generate(&vault, Product::Kros, Mode::Test);
        let text = key.text.reveal();
        assert!(text.starts_with("kros_test_"), "{text}");
        assert_eq!(lookup(&vault, text), Some(key.prefix.clone()));
        assert!(matches(&vault, text, &key.digest));
        assert!(!matches(&Vault::new([2; 32]), text, &key.digest));
        for index in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[index] = if wrong[index] == b'x' { b'y' } else { b'x' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(!matches(&vault, &wrong, &key.digest));
            assert_ne!(lookup(&vault, &wrong), Some(key.prefix.clone()), "{wrong}");
        }
        assert_eq!(lookup(&vault, ""), None);
        assert_eq!(lookup(&vault, "short"), None);
    }

    #[test]
    fn a_key_that_its_owner_made_shows_nothing_of_itself() {
        let vault = Vault::new([1; 32]);
        let text = "0f7be6a1b2c94d3ea5f60718293a4b5c";
        let key = adopt(&vault, text);
        assert_eq!(lookup(&vault, text), Some(key.prefix.clone()));
        assert!(matches(&vault, text, &key.digest));
        assert!(!text.contains(key.prefix.trim_start_matches("own_")));
    }
}
