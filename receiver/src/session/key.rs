//! Subject keys: what stands in the database in place of a subject.
//!
//! A key is the keyed digest of a *conjunction* of atoms. An atom is a member name of a complex subject (none for a
//! simple subject that stands alone) with the canonical form of a simple subject. {user U and device D} is one key, and
//! not the same as {user U} or {device D}. Keys of different issuers never meet, because each issuer has its own HMAC
//! key, derived from one root secret; without the root nobody can test a guessed e-mail address against the database.
//! HMAC-SHA-256 derives one from the other: of the root under a fixed purpose, then of the issuer under that. This follows
//! HKDF's two steps (RFC 5869) and is not HKDF: the second has no counter octet.
//!
//! An event names one key ([`Keyring::of_event`]). A session has all the keys an event may name it by
//! ([`Keyring::of_session`]); so whether an event touches a session is equality of keys.

use std::collections::BTreeSet;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use secrecy::{ExposeSecret as _, SecretSlice};
use ssf_common::id::IssuerUrl;
use ssf_common::subject::{Simple, Subject};

use super::describe::Members;

/// A subject, or a conjunction of subjects, of one issuer: HMAC-SHA-256 cut to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct SubjectKey(pub [u8; 16]);

/// What the key of every issuer is derived from.
#[derive(Clone, Debug)]
pub struct Keyring {
    extracted: SecretSlice<u8>,
}

/// More keys than a session or an event may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} combinations of members and identifiers; at most {MAX_KEYS} are allowed: name fewer")]
pub struct TooManyKeys {
    /// How many there would be.
    pub found: usize,
}

impl Keyring {
    /// A keyring on this root secret, which should have 256 bits of chance. Another root makes every stored key
    /// meaningless.
    pub fn new(root: &SecretSlice<u8>) -> Self {
        Self { extracted: hmac(PURPOSE, root.expose_secret()).into() }
    }

    /// The keys by which an event about `subject` is known: one, unless the subject gives aliases.
    pub fn of_event(&self, issuer: &IssuerUrl, subject: &Subject) -> Result<Vec<SubjectKey>, TooManyKeys> {
        let members: Vec<Member<'_>> = match subject {
            Subject::Simple(simple) => vec![(None, canonical(identifiers(simple)))],
            Subject::Complex(complex) => {
                let named = |(name, simple)| (Some(String::as_str(name)), canonical(identifiers(simple)));
                complex.members().iter().map(named).collect()
            }
        };
        within_bounds(members.iter().fold(1, |product: usize, (_, ids)| product.saturating_mul(ids.len())))?;
        let conjunctions = members.iter().fold(vec![Vec::new()], |so_far, member| extended(&so_far, member));
        Ok(self.digests(issuer, &conjunctions))
    }

    /// The keys of everybody a subject names, each alone: what tells that something is about them, too. A tenant or a
    /// group is nobody.
    pub fn of_everybody(&self, issuer: &IssuerUrl, subject: &Subject) -> Vec<SubjectKey> {
        let named: Vec<&Simple> = match subject {
            Subject::Simple(simple) => identifiers(simple),
            Subject::Complex(complex) => {
                let people = complex.members().iter().filter(|(name, _)| !is_wide(name));
                people.flat_map(|(_, simple)| identifiers(simple)).collect()
            }
        };
        let named: Vec<String> = named.into_iter().map(Simple::canonical).collect();
        self.digests(issuer, &named.iter().map(|id| vec![(None, id.as_str())]).collect::<Vec<_>>())
    }

    /// Every key by which an event may name a session with these members: each non-empty set of members with one
    /// identifier of each, and each identifier alone; but a tenant, a unit, a group or an application is not named by its
    /// identifier alone, or whoever may name a user could cut off all of them. Sorted, without repetition.
    pub fn of_session(&self, issuer: &IssuerUrl, members: &Members) -> Result<Vec<SubjectKey>, TooManyKeys> {
        let combined = members.values().fold(1, |product: usize, ids| product.saturating_mul(ids.len() + 1)) - 1;
        within_bounds(combined.saturating_add(members.values().map(Vec::len).sum()))?;
        let members: Vec<Member<'_>> =
            members.iter().map(|(name, ids)| (Some(name.as_str()), canonical(ids.iter().collect()))).collect();
        let mut conjunctions = members.iter().fold(vec![Vec::new()], |so_far, member| {
            let with = extended(&so_far, member);
            so_far.into_iter().chain(with).collect()
        });
        conjunctions.retain(|atoms| !atoms.is_empty());
        let people = members.iter().filter(|(name, _)| !name.is_some_and(is_wide));
        conjunctions.extend(people.flat_map(|(_, ids)| ids).map(|id| vec![(None, id.as_str())]));
        Ok(self.digests(issuer, &conjunctions))
    }

    /// What tells one root secret from another; no issuer's key, for no issuer's name begins with NUL.
    pub(super) fn check_value(&self) -> [u8; 16] {
        let mut value = [0; 16];
        value.copy_from_slice(&hmac(self.extracted.expose_secret(), b"\0check")[..16]);
        value
    }

    fn digests(&self, issuer: &IssuerUrl, conjunctions: &[Vec<Atom<'_>>]) -> Vec<SubjectKey> {
        let issuer_key = hmac(self.extracted.expose_secret(), issuer.as_str().as_bytes());
        let keys: BTreeSet<_> = conjunctions.iter().map(|atoms| digest(&issuer_key, atoms.clone())).collect();
        keys.into_iter().collect()
    }
}

/// A member's name (none for a subject that stands alone) and the canonical forms of all it is known by.
type Member<'a> = (Option<&'a str>, Vec<String>);

/// A member's name (none for a subject that stands alone) and the canonical form of who it names.
type Atom<'a> = (Option<&'a str>, &'a str);

/// The identifiers a simple subject gives: aliases are several names of one subject (RFC 9493 §3.2.8).
fn identifiers(simple: &Simple) -> Vec<&Simple> {
    match simple {
        Simple::Aliases { identifiers } => identifiers.iter().collect(),
        one => vec![one],
    }
}

fn canonical(identifiers: Vec<&Simple>) -> Vec<String> {
    identifiers.into_iter().map(Simple::canonical).collect()
}

/// Whether a member of a complex subject stands for many people (SSF 1.0 §3.3).
pub fn is_wide(member: &str) -> bool {
    ["tenant", "org_unit", "group", "application"].contains(&member)
}

fn extended<'a>(so_far: &[Vec<Atom<'a>>], (name, ids): &'a Member<'a>) -> Vec<Vec<Atom<'a>>> {
    let with = |atoms: &Vec<Atom<'a>>, id: &'a str| atoms.iter().copied().chain([(*name, id)]).collect();
    so_far.iter().flat_map(|atoms| ids.iter().map(move |id| with(atoms, id))).collect()
}

const fn within_bounds(found: usize) -> Result<(), TooManyKeys> {
    if found > MAX_KEYS { Err(TooManyKeys { found }) } else { Ok(()) }
}

/// Each text is preceded by its length, and the length of a name is told as one more than it is, so that no name is not
/// an empty one: no two conjunctions are written the same.
fn digest(issuer_key: &[u8], mut atoms: Vec<Atom<'_>>) -> SubjectKey {
    atoms.sort_unstable();
    let mut written = Vec::with_capacity(128);
    for (name, canonical) in atoms {
        written.extend_from_slice(&name.map_or(0, |name| name.len() as u64 + 1).to_be_bytes());
        written.extend_from_slice(name.unwrap_or_default().as_bytes());
        written.extend_from_slice(&(canonical.len() as u64).to_be_bytes());
        written.extend_from_slice(canonical.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hmac(issuer_key, &written)[..16]);
    SubjectKey(key)
}

/// `key` is never empty: OpenSSL takes no empty ones.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    PKey::hmac(key)
        .and_then(|key| Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(message))
        .expect("OpenSSL computes HMAC-SHA-256 with any key and message unless memory is exhausted")
}

/// A session may have no more keys than this, nor an event.
pub const MAX_KEYS: usize = 64;
const PURPOSE: &[u8] = b"ssf-receiver subject key 1";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(&b"a root secret of the tests".to_vec().into())
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
    fn a_tenant_is_named_as_a_tenant_and_by_nothing_less() {
        let issuer = "https://idp.example";
        let session =
            keyring().of_session(&issuer.into(), &members(&[("user", &["u"]), ("tenant", &["acme"])])).unwrap();
        let bare = |id: &str| json!({"format": "opaque", "id": id});
        let as_tenant = json!({"format": "complex", "tenant": bare("acme")});
        assert!(session.contains(&event(issuer, &as_tenant)[0]));
        assert!(session.contains(&event(issuer, &bare("u"))[0]));
        assert!(!session.contains(&event(issuer, &bare("acme"))[0]), "an id alone names nobody's tenant");
        let both = Subject::parse(&json!({"format": "complex", "user": bare("u"), "tenant": bare("acme")})).unwrap();
        assert_eq!(keyring().of_everybody(&issuer.into(), &both), event(issuer, &bare("u")));
    }

    #[test]
    fn the_same_names_in_other_places_are_other_keys() {
        let bare = |id: &str| json!({"format": "opaque", "id": id});
        let keys: Vec<_> = [
            ("https://idp.example", json!({"format": "complex", "user": bare("a"), "device": bare("b")})),
            ("https://idp.example", json!({"format": "complex", "user": bare("b"), "device": bare("a")})),
            ("https://idp.example", json!({"format": "complex", "user": bare("ab")})),
            ("https://idp.example", bare("ab")),
            ("https://idp.example", json!({"format": "complex", "": bare("ab")})),
            ("https://other.example", bare("ab")),
            ("https://idp.example", json!({"format": "email", "email": "ab@example.com"})),
        ]
        .iter()
        .flat_map(|(issuer, subject)| event(issuer, subject))
        .collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 7);
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
        // HMAC-SHA-256 three times, computed once with Python's hmac.
        let expected = u128::from_be_bytes(key[0].0);
        assert_eq!(format!("{expected:032x}"), "f4c7e117a41bdefd9fc2e4c6f2afd1c0");
    }

    #[test]
    fn no_root_secret_is_too_short_to_compute_with() {
        for root in [Vec::new(), vec![b'r'; 10_000]] {
            let keyring = Keyring::new(&root.into());
            assert_eq!(
                keyring.of_event(&"https://idp.example".into(), &Subject::Simple(opaque("u"))).unwrap().len(),
                1
            );
        }
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
