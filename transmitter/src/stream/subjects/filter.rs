//! What the fan-out asks: which of the deliveries it plans go to streams that do not want the event's subject.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sqlx::PgConnection;
use ssf_common::clock::Timestamp;
use ssf_common::id::StreamId;
use ssf_common::protocol::DefaultSubjects;
use ssf_common::runtime::telemetry::chain;
use ssf_common::subject::{Simple, Subject};

use super::Subjects;
use super::keys::{Asking, Digester, Key, Shape, TooManyKeys};
use super::secret::SecretError;
use super::store::filter::{self as store, Answer, Probe};
use crate::issuer::IssuerId;
use crate::stream::StreamKey;

/// A planned delivery to a stream that filters by subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Whose event.
    pub(crate) issuer: IssuerId,
    /// Which event; what is asked about one event stands together.
    pub(crate) seq: i64,
    /// Its subject.
    pub(crate) subject: Option<&'a Value>,
    /// To whom.
    pub(crate) stream: StreamKey,
}

/// What is known of a stream's list without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Whether it has all subjects but those removed, or only those added.
    pub(crate) default: DefaultSubjects,
    /// Whether any was removed.
    pub(crate) excludes: bool,
    /// The sets of member names of its complex subjects.
    pub(crate) shapes: Vec<Shape>,
}

impl Subjects {
    /// The places in `asked` of what is not wanted, by two statements however long the lists are (more only for tens of
    /// thousands of questions). Where it cannot be told, the event is wanted: one too many does less harm than a missed
    /// revocation.
    pub(crate) async fn unwanted(
        &self,
        conn: &mut PgConnection,
        asked: &[Asked<'_>],
        now: Timestamp,
    ) -> sqlx::Result<HashSet<usize>> {
        if asked.is_empty() {
            return Ok(HashSet::new());
        }
        let streams: HashSet<StreamKey> = asked.iter().map(|asked| asked.stream).collect();
        let filters = store::filters(&mut *conn, &streams.into_iter().collect::<Vec<_>>()).await?;
        let digesters = self.digesters(&mut *conn, asked).await?;
        let (mut probes, mut judged) = (Vec::new(), Vec::new());
        let mut place = 0;
        for about_one in asked.chunk_by(|one, two| one.seq == two.seq) {
            let mut event = Event::of(&about_one[0], &digesters);
            for asked in about_one {
                if let Some(filter) = filters.get(&asked.stream)
                    && event.asks(filter, asked.stream, &mut probes)
                {
                    judged.push((place, filter.default));
                }
                place += 1;
            }
        }
        let mut answers = HashSet::new();
        for some in probes.chunks(PROBES_AT_ONCE) {
            answers.extend(store::answers(&mut *conn, some, now).await?);
        }
        let is_unwanted = |(place, default): &(usize, DefaultSubjects)| {
            let Asked { seq, stream, .. } = asked[*place];
            let says = |hides| answers.contains(&Answer { place: seq, hides, stream });
            !says(false) && (*default == DefaultSubjects::None || says(true))
        };
        Ok(judged.iter().filter(|judged| is_unwanted(judged)).map(|(place, _)| *place).collect())
    }

    /// How the subjects of each issuer are digested.
    async fn digesters(
        &self,
        conn: &mut PgConnection,
        asked: &[Asked<'_>],
    ) -> sqlx::Result<HashMap<IssuerId, Digests>> {
        let mut digesters = HashMap::new();
        for issuer in asked.iter().map(|asked| asked.issuer) {
            if digesters.contains_key(&issuer) {
                continue;
            }
            let digests = match self.secrets.find(&mut *conn, issuer).await {
                Ok(Some(digester)) => Digests::By(digester),
                Ok(None) => Digests::NothingListed,
                Err(SecretError::Database(error)) => return Err(error),
                Err(error) => {
                    tracing::error!(issuer.id = %issuer, error = %chain(&error), "streams of an issuer cannot be filtered by subject and get everything");
                    Digests::Unknown
                }
            };
            digesters.insert(issuer, digests);
        }
        Ok(digesters)
    }
}

/// How an issuer's subjects are digested.
pub(super) enum Digests {
    By(Digester),
    /// No stream of the issuer ever listed a subject.
    NothingListed,
    /// The secret does not open.
    Unknown,
}

/// One event, and what it asks for: the same of every stream, so each question is asked once.
pub(super) struct Event<'a> {
    seq: i64,
    /// The stream that the subject names.
    names_stream: Option<StreamKey>,
    about: About<'a>,
    asked_simple: bool,
    asked_as_member: bool,
    asked_hiding: bool,
    /// By shape: whether what matches, and what covers, could be asked for.
    matching: HashMap<Key, bool>,
    covering: HashSet<Key>,
}

enum About<'a> {
    Subject(Asking<'a>),
    /// No list holds anything.
    Nothing,
    /// It cannot be told.
    Unknown,
}

impl<'a> Event<'a> {
    pub(super) fn of(asked: &Asked<'_>, digesters: &'a HashMap<IssuerId, Digests>) -> Self {
        let subject = asked.subject.and_then(|value| Subject::parse(value).ok());
        let names_stream = match &subject {
            Some(Subject::Simple(Simple::Opaque { id })) => StreamKey::of(&StreamId(id.clone())),
            _ => None,
        };
        let about = match (digesters.get(&asked.issuer), subject) {
            (Some(Digests::By(digester)), Some(subject)) => About::Subject(digester.asking(&subject)),
            (Some(Digests::NothingListed), Some(_)) => About::Nothing,
            _ => About::Unknown,
        };
        Self {
            seq: asked.seq,
            names_stream,
            about,
            asked_simple: false,
            asked_as_member: false,
            asked_hiding: false,
            matching: HashMap::new(),
            covering: HashSet::new(),
        }
    }

    /// Adds what must be asked for `stream` to `probes`, as far as it was not asked for another. `false`: the stream wants
    /// the event, whatever the answers would be.
    pub(super) fn asks(&mut self, filter: &Filter, stream: StreamKey, probes: &mut Vec<Probe>) -> bool {
        let has_all = filter.default == DefaultSubjects::All;
        if self.names_stream == Some(stream) || (has_all && !filter.excludes) {
            return false;
        }
        let asking = match &self.about {
            About::Subject(asking) => asking,
            About::Nothing => return !has_all,
            About::Unknown => return false,
        };
        let place = self.seq;
        let mut ask = |keys: &[Key], hides| probes.extend(keys.iter().map(|key| Probe { place, key: *key, hides }));
        if !std::mem::replace(&mut self.asked_simple, true) {
            ask(&asking.simple, false);
        }
        if !filter.shapes.is_empty() && !std::mem::replace(&mut self.asked_as_member, true) {
            ask(&asking.as_member, false);
        }
        if has_all && asking.is_simple() && !std::mem::replace(&mut self.asked_hiding, true) {
            ask(&asking.simple, true);
        }
        for shape in &filter.shapes {
            let can_be_asked = *self.matching.entry(shape.id).or_insert_with(|| match asking.matching(shape) {
                Ok(keys) => {
                    ask(&keys, false);
                    true
                }
                Err(TooManyKeys) => false,
            });
            if !can_be_asked {
                return false;
            }
            // where there are too many to ask for, nothing is hidden
            if has_all && self.covering.insert(shape.id) {
                ask(&asking.covering(shape).unwrap_or_default(), true);
            }
        }
        true
    }
}

const PROBES_AT_ONCE: usize = 20_000;
