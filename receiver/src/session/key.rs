//! Subject keys: what stands in the database in place of a subject.
//!
//! A key is the keyed digest of a *conjunction* of atoms. An atom is a member name of a complex subject (empty for a
//! simple subject that stands alone) with the canonical form of a simple subject. {user U and device D} is one key, and
//! not the same as {user U} or {device D}. Keys of different issuers never meet, because each issuer has its own HMAC
//! key, derived from one root secret; without the root nobody can test a guessed e-mail address against the database.
//!
//! An event names one key ([`Keyring::of_event`]). A session has all the keys an event may name it by
//! ([`Keyring::of_session`]); so whether an event touches a session is equality of keys.

use std::collections::{BTreeMap, BTreeSet};

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use secrecy::{ExposeSecret as _, SecretString};
use ssf_common::id::IssuerUrl;
use ssf_common::subject::{Simple, Subject};

use super::describe::Members;

/// A subject, or a conjunction of subjects, of one issuer: HMAC-SHA-256 cut to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct SubjectKey(pub [u8; 16]);

/// The root secret, from which the key of every issuer is derived.
#[derive(Clone, Debug)]
pub struct Keyring {
    root: SecretString,
}

/// More keys than a session or an event may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} combinations of members and identifiers; at most {MAX_KEYS} are allowed: name fewer")]
pub struct TooManyKeys {
    /// How many there would be.
    pub found: usize,
}

impl Keyring {
    /// A keyring on this root secret. Another root makes every stored key meaningless.
    pub const fn new(root: SecretString) -> Self {
        Self { root }
    }

    /// The keys by which an event about `subject` is known: one, unless the subject gives aliases.
    pub fn of_event(&self, issuer: &IssuerUrl, subject: &Subject) -> Result<Vec<SubjectKey>, TooManyKeys> {
        let conjunctions = match subject {
            Subject::Simple(simple) => identifiers(simple).into_iter().map(|one| vec![("", one)]).collect(),
            Subject::Complex(complex) => {
                let members = complex.members();
                let found = members
                    .values()
                    .map(|one| identifiers(one).len())
                    .fold(1, |product: usize, n| product.saturating_mul(n));
                within_bounds(found)?;
                members
                    .iter()
                    .fold(vec![Vec::new()], |so_far, (member, simple)| extended(&so_far, member, &identifiers(simple)))
            }
        };
        within_bounds(conjunctions.len())?;
        Ok(self.digests(issuer, &conjunctions))
    }

    /// Every key by which an event may name a session with these members: each non-empty set of members with one
    /// identifier of each, and each identifier alone. Sorted, without repetition.
    pub fn of_session(&self, issuer: &IssuerUrl, members: &Members) -> Result<Vec<SubjectKey>, TooManyKeys> {
        let combined = members.values().fold(1, |product: usize, ids| product.saturating_mul(ids.len() + 1)) - 1;
        within_bounds(combined.saturating_add(members.values().map(Vec::len).sum()))?;
        let mut conjunctions = members.iter().fold(vec![Vec::new()], |so_far, (member, ids)| {
            let with = extended(&so_far, member, &ids.iter().collect::<Vec<_>>());
            so_far.into_iter().chain(with).collect()
        });
        conjunctions.retain(|atoms| !atoms.is_empty());
        conjunctions.extend(members.values().flatten().map(|one| vec![("", one)]));
        Ok(self.digests(issuer, &conjunctions))
    }

    fn digests(&self, issuer: &IssuerUrl, conjunctions: &[Vec<Atom<'_>>]) -> Vec<SubjectKey> {
        let issuer_key = hmac(self.root.expose_secret().as_bytes(), &[PURPOSE, issuer.as_str().as_bytes()].concat());
        let mut canonical = BTreeMap::new();
        let keys: BTreeSet<_> = conjunctions
            .iter()
            .map(|atoms| {
                let atoms = atoms.iter().map(|(member, simple)| {
                    let address = std::ptr::from_ref::<Simple>(simple);
                    (*member, canonical.entry(address).or_insert_with(|| simple.canonical()).clone())
                });
                digest(&issuer_key, atoms.collect())
            })
            .collect();
        keys.into_iter().collect()
    }
}

/// A member name (empty for a subject that stands alone) and who it names.
type Atom<'a> = (&'a str, &'a Simple);

/// The identifiers a simple subject gives: aliases are several names of one subject (RFC 9493 §3.2.8).
fn identifiers(simple: &Simple) -> Vec<&Simple> {
    match simple {
        Simple::Aliases { identifiers } => identifiers.iter().collect(),
        one => vec![one],
    }
}

fn extended<'a>(so_far: &[Vec<Atom<'a>>], member: &'a str, ids: &[&'a Simple]) -> Vec<Vec<Atom<'a>>> {
    so_far
        .iter()
        .flat_map(|atoms| ids.iter().map(move |one| atoms.iter().copied().chain([(member, *one)]).collect()))
        .collect()
}

const fn within_bounds(found: usize) -> Result<(), TooManyKeys> {
    if found > MAX_KEYS { Err(TooManyKeys { found }) } else { Ok(()) }
}

/// Each text is preceded by its length, so no two conjunctions are written the same.
fn digest(issuer_key: &[u8], mut atoms: Vec<(&str, String)>) -> SubjectKey {
    atoms.sort_unstable();
    let mut written = Vec::with_capacity(128);
    for text in atoms.iter().flat_map(|(member, canonical)| [*member, canonical.as_str()]) {
        written.extend_from_slice(&(text.len() as u64).to_be_bytes());
        written.extend_from_slice(text.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hmac(issuer_key, &written)[..16]);
    SubjectKey(key)
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    PKey::hmac(key)
        .and_then(|key| Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(message))
        .expect("OpenSSL computes HMAC-SHA-256 of any key and message unless memory is exhausted")
}

/// A session may have no more keys than this, nor an event.
pub const MAX_KEYS: usize = 64;
const PURPOSE: &[u8] = b"ssf-receiver subject key 1\0";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(SecretString::from("a root secret of the tests"))
    }

    fn event(issuer: &str, subject: &Value) -> Vec<SubjectKey> {
        keyring().of_event(&issuer.into(), &Subject::parse(subject).unwrap()).unwrap()
    }

    fn opaque(id: &str) -> Simple {
        Simple::Opaque { id: id.to_owned() }
    }

    fn members(of: &[(&str, &[&str])]) -> Members {
        of.iter().map(|(name, ids)| ((*name).to_owned(), ids.iter().map(|id| opaque(id)).collect())).collect()
    }

    #[test]
    fn a_session_is_known_by_every_conjunction_of_its_members_and_by_every_identifier_alone() {
        let session = keyring()
            .of_session(
                &"https://idp.example".into(),
                &members(&[("user", &["u", "v"]), ("device", &["d"]), ("session", &["s"])]),
            )
            .unwrap();
        let bare = |id: &str| json!({"format": "opaque", "id": id});
        let names = [
            bare("u"),
            bare("v"),
            bare("d"),
            bare("s"),
            json!({"format": "complex", "user": bare("u")}),
            json!({"format": "complex", "user": bare("v")}),
            json!({"format": "complex", "device": bare("d")}),
            json!({"format": "complex", "session": bare("s")}),
            json!({"format": "complex", "user": bare("u"), "device": bare("d")}),
            json!({"format": "complex", "user": bare("v"), "device": bare("d")}),
            json!({"format": "complex", "user": bare("u"), "session": bare("s")}),
            json!({"format": "complex", "user": bare("v"), "session": bare("s")}),
            json!({"format": "complex", "session": bare("s"), "device": bare("d")}),
            json!({"format": "complex", "user": bare("u"), "session": bare("s"), "device": bare("d")}),
            json!({"format": "complex", "user": bare("v"), "session": bare("s"), "device": bare("d")}),
        ];
        let expected: BTreeSet<_> = names.iter().flat_map(|name| event("https://idp.example", name)).collect();
        assert_eq!(expected.len(), names.len());
        assert_eq!(session, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_same_names_in_other_places_are_other_keys() {
        let bare = |id: &str| json!({"format": "opaque", "id": id});
        let keys: Vec<_> = [
            ("https://idp.example", json!({"format": "complex", "user": bare("a"), "device": bare("b")})),
            ("https://idp.example", json!({"format": "complex", "user": bare("b"), "device": bare("a")})),
            ("https://idp.example", json!({"format": "complex", "user": bare("ab")})),
            ("https://idp.example", bare("ab")),
            ("https://other.example", bare("ab")),
            ("https://idp.example", json!({"format": "email", "email": "ab@example.com"})),
        ]
        .iter()
        .flat_map(|(issuer, subject)| event(issuer, subject))
        .collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 6);
    }

    #[test]
    fn an_event_with_aliases_is_known_by_each_of_them() {
        let (mail, sub) = (
            json!({"format": "email", "email": "a@example.com"}),
            json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "1"}),
        );
        let aliases = json!({"format": "aliases", "identifiers": [mail, sub]});
        let one_by_one: BTreeSet<_> = [&mail, &sub].into_iter().flat_map(|s| event("https://idp.example", s)).collect();
        assert_eq!(event("https://idp.example", &aliases), one_by_one.into_iter().collect::<Vec<_>>());
        let complex = json!({"format": "complex", "user": aliases, "tenant": {"format": "opaque", "id": "t"}});
        assert_eq!(event("https://idp.example", &complex).len(), 2);
    }

    #[test]
    fn keys_never_change_from_one_version_to_the_next() {
        // They stand in databases: if this fails, every stored session is lost.
        let key = event("https://idp.example", &json!({"format": "email", "email": "a@example.com"}));
        // HMAC-SHA-256 twice, computed once with Python's hmac.
        let expected = u128::from_be_bytes(key[0].0);
        assert_eq!(format!("{expected:032x}"), "1f0067f17ccf4bc808288233198a9c12");
    }

    #[test]
    fn more_keys_than_the_bound_are_refused_before_they_are_made() {
        let many: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let refused = keyring().of_session(&"https://idp.example".into(), &members(&[("user", &many)])).unwrap_err();
        assert_eq!(refused, TooManyKeys { found: 80 });
        let everything: Vec<(String, &[&str])> = (0..32).map(|n| (format!("m{n}"), many.as_slice())).collect();
        let everything: Vec<(&str, &[&str])> = everything.iter().map(|(name, ids)| (name.as_str(), *ids)).collect();
        assert!(keyring().of_session(&"https://idp.example".into(), &members(&everything)).is_err());
    }
}
