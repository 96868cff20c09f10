//! Keys: what stands in the database in place of a subject, and what an event asks for. Pure.
//!
//! Whether a subject on a list and an event's subject match is decided by equality of keys, so that an index can answer:
//!
//! * A *simple* subject has one key for each of its identifiers. A simple event asks for its own, a complex one for those
//!   of its members.
//! * A *complex* subject has one key for each set of its members, the empty one too, bound to all the names it has (its
//!   *shape*). An event that knows the shapes on a list asks, for each, for the key of the members both have: that is
//!   equal if and only if the two agree in all of them, and if they have none in common, it is the key of the empty set.
//!   It has a key for each member alone besides, which simple events ask for.
//! * To be *covered* by a complex subject, an event asks for the key of the whole shape, and only if it has all of it.
//!
//! An identifier is its canonical text; aliases are several, and each choice of one per member is a key of its own. Keys
//! are HMAC-SHA-256 under the issuer's secret: without it nobody can test a guessed e-mail address against the database.

use std::collections::{BTreeMap, BTreeSet};

use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use ssf_common::subject::{Simple, Subject};

/// A keyed digest, cut to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct Key(pub(crate) [u8; 16]);

impl Key {
    /// As an operator reads it.
    pub(crate) fn hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Makes the keys of one issuer's subjects.
#[derive(Clone)]
pub(crate) struct Digester(PKey<Private>);

/// What is stored of a subject on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The subject itself.
    pub(crate) digest: Key,
    /// Which members it has, if it is complex.
    pub(crate) shape: Option<Shape>,
    /// What events find it by; sorted, each once, never empty.
    pub(crate) keys: Vec<Key>,
}

/// A set of member names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    /// The set.
    pub(crate) id: Key,
    /// Its names, sorted.
    pub(crate) names: Vec<Key>,
}

/// An event's subject, ready to ask.
pub(crate) struct Asking<'a> {
    digester: &'a Digester,
    /// Keys of simple subjects that match: what an event asks for whatever shapes a list has.
    pub(crate) simple: Vec<Key>,
    /// The event is simple: keys of complex subjects that have it as a member.
    pub(crate) as_member: Vec<Key>,
    /// The event is complex: its members by the digests of their names.
    members: BTreeMap<Key, Vec<String>>,
}

/// A subject that could be found by more keys than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subject has more than {MAX_KEYS} combinations of members and aliases; name fewer")]
pub struct TooManyKeys;

impl Digester {
    /// `secret` should have 256 bits of chance, and is never empty.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(PKey::hmac(secret).expect("OpenSSL takes any key that is not empty unless memory is exhausted"))
    }

    /// What is stored of `subject`.
    pub(crate) fn entry(&self, subject: &Subject) -> Result<Entry, TooManyKeys> {
        let digest = self.digest(Domain::Subject, &[subject.canonical().as_bytes()]);
        let (shape, keys) = match subject {
            Subject::Simple(simple) => (None, self.each(Domain::Simple, &canonical(simple))),
            Subject::Complex(complex) => {
                let members = self.named(complex.members());
                let bare: Vec<String> = members.values().flatten().cloned().collect();
                let chosen = members.values().fold(1, |product: usize, ids| product.saturating_mul(ids.len() + 1));
                if chosen.saturating_add(bare.len()) > MAX_KEYS {
                    return Err(TooManyKeys);
                }
                let shape = self.shape(members.keys().copied().collect());
                let sets = members.iter().fold(vec![Vec::new()], |so_far, (name, ids)| {
                    let with = extended(&so_far, *name, ids);
                    so_far.into_iter().chain(with).collect()
                });
                let mut keys = self.each(Domain::Member, &bare);
                keys.extend(sets.iter().map(|set| self.combined(&shape, set)));
                (Some(shape), keys)
            }
        };
        let keys: BTreeSet<Key> = keys.into_iter().collect();
        if keys.len() > MAX_KEYS {
            Err(TooManyKeys)
        } else {
            Ok(Entry { digest, shape, keys: keys.into_iter().collect() })
        }
    }

    /// An event's subject, ready to ask.
    pub(crate) fn asking(&self, subject: &Subject) -> Asking<'_> {
        let (identifiers, as_member, members) = match subject {
            Subject::Simple(simple) => {
                let identifiers = canonical(simple);
                let as_member = self.each(Domain::Member, &identifiers);
                (identifiers, as_member, BTreeMap::new())
            }
            Subject::Complex(complex) => {
                let members = self.named(complex.members());
                (members.values().flatten().cloned().collect(), Vec::new(), members)
            }
        };
        Asking { digester: self, simple: self.each(Domain::Simple, &identifiers), as_member, members }
    }

    fn named(&self, members: &BTreeMap<String, Simple>) -> BTreeMap<Key, Vec<String>> {
        let named =
            |(name, simple): (&String, &Simple)| (self.digest(Domain::Name, &[name.as_bytes()]), canonical(simple));
        members.iter().map(named).collect()
    }

    fn shape(&self, names: Vec<Key>) -> Shape {
        let parts: Vec<&[u8]> = names.iter().map(|name| name.0.as_slice()).collect();
        Shape { id: self.digest(Domain::Shape, &parts), names }
    }

    fn each(&self, domain: Domain, identifiers: &[String]) -> Vec<Key> {
        identifiers.iter().map(|id| self.digest(domain, &[id.as_bytes()])).collect()
    }

    /// The key of a set of members, in order of their names, of a subject of this shape.
    fn combined(&self, shape: &Shape, set: &[Atom<'_>]) -> Key {
        let atoms = set.iter().flat_map(|(name, id)| [name.0.as_slice(), id.as_bytes()]);
        let parts: Vec<&[u8]> = std::iter::once(shape.id.0.as_slice()).chain(atoms).collect();
        self.digest(Domain::Combined, &parts)
    }

    /// Each part is preceded by its length: no two lists of parts are written the same.
    fn digest(&self, domain: Domain, parts: &[&[u8]]) -> Key {
        let mut written = vec![domain as u8];
        for part in parts {
            written.extend_from_slice(&(part.len() as u64).to_be_bytes());
            written.extend_from_slice(part);
        }
        let digest = Signer::new(MessageDigest::sha256(), &self.0)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(&written))
            .expect("OpenSSL computes HMAC-SHA-256 of any message unless memory is exhausted");
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Key(key)
    }
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digester(***)")
    }
}

impl Asking<'_> {
    /// Whether the event's subject is simple.
    pub(crate) fn is_simple(&self) -> bool {
        self.members.is_empty()
    }

    /// Keys of which a complex subject of this shape has one if and only if it matches. `Err` if there are too many to
    /// ask for. A simple event has none: it asks by [`as_member`](Self::as_member).
    pub(crate) fn matching(&self, shape: &Shape) -> Result<Vec<Key>, TooManyKeys> {
        if self.is_simple() { Ok(Vec::new()) } else { self.in_common(shape) }
    }

    /// Keys of which a complex subject of this shape has one if and only if it covers the event; none if the event lacks
    /// one of its members.
    pub(crate) fn covering(&self, shape: &Shape) -> Result<Vec<Key>, TooManyKeys> {
        if shape.names.iter().all(|name| self.members.contains_key(name)) {
            self.in_common(shape)
        } else {
            Ok(Vec::new())
        }
    }

    fn in_common(&self, shape: &Shape) -> Result<Vec<Key>, TooManyKeys> {
        let common = || shape.names.iter().filter_map(|name| self.members.get_key_value(name));
        if common().fold(1, |product: usize, (_, ids)| product.saturating_mul(ids.len())) > MAX_KEYS {
            return Err(TooManyKeys);
        }
        let sets = common().fold(vec![Vec::new()], |so_far, (name, ids)| extended(&so_far, *name, ids));
        Ok(sets.iter().map(|set| self.digester.combined(shape, set)).collect())
    }
}

/// The canonical texts of what a simple subject is known by.
fn canonical(simple: &Simple) -> Vec<String> {
    simple.identifiers().iter().map(Simple::canonical).collect()
}

/// A member's name and the canonical text of one of its identifiers.
type Atom<'a> = (Key, &'a str);

/// Every set of `so_far` with each of `ids` in turn.
fn extended<'a>(so_far: &[Vec<Atom<'a>>], name: Key, ids: &'a [String]) -> Vec<Vec<Atom<'a>>> {
    let with = |set: &Vec<Atom<'a>>, id: &'a str| set.iter().copied().chain([(name, id)]).collect();
    so_far.iter().flat_map(|set| ids.iter().map(move |id| with(set, id))).collect()
}

/// What a digest stands for. The numbers stand in stored digests.
#[derive(Clone, Copy)]
enum Domain {
    Subject = 1,
    Simple = 2,
    Member = 3,
    Name = 4,
    Shape = 5,
    Combined = 6,
}

/// A subject may be found by no more keys than this. The seven members of SSF 1.0 §3.3 with one identifier each have 135.
pub(crate) const MAX_KEYS: usize = 300;
