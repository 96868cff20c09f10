//! Bytes from a stranger → [`VerifiedSet`], or a [`Refusal`] that says why not.

use std::ops::Deref;
use std::time::Duration;

use serde_json::{Map, Number, Value};

use super::{Audience, Claims, DEFAULT_TIMELINE_CLAIM, Refusal};
use crate::clock::Timestamp;
use crate::event::{Event, EventType, Vocabulary};
use crate::id::{IssuerUrl, Jti, KeyId, Txn};
use crate::jwks::{Algorithm, KeyRefusal, VerifyingKeys};
use crate::jwt::{Compact, Header};
use crate::moment::Moment;
use crate::subject::{KNOWN_MEMBERS, Simple, Subject};

/// What a receiver expects of one stream.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The issuer, byte for byte.
    pub issuer: IssuerUrl,
    /// The names by which the receiver may be addressed.
    pub audiences: Vec<String>,
    /// The algorithms allowed.
    pub algorithms: Vec<Algorithm>,
    /// The longest SET read, in bytes.
    pub max_bytes: usize,
    /// How event types are named.
    pub vocabulary: Vocabulary,
    /// The private claim that carries the transmitter's timeline.
    pub timeline_claim: String,
    /// The transmitter's `critical_subject_members` (SSF 1.0 §7.1).
    pub critical_members: Vec<String>,
    /// Which shapes are accepted.
    pub shapes: Shapes,
    /// The session id that means every session of the user, if this issuer has one (Keycloak: `ALL`).
    pub every_session: Option<String>,
}

/// How far a SET may depart from the letter in its form. Nothing that makes it trustworthy is ever loosened: `typ`,
/// `alg`, `kid`, signature, `iss`, `aud`, `jti`, `iat` and the prohibition of `exp` and `sub` hold for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shapes {
    /// SSF 1.0, CAEP 1.0 and the CAEP interoperability profile to the letter: `event_timestamp` in seconds, and
    /// `reason_admin` where the profile asks for it (§2.4 there).
    Strict,
    /// What careless peers do: `event_timestamp` in milliseconds, no `reason_admin`.
    #[default]
    Lenient,
    /// Also what was before SSF 1.0: the subject inside the event, `subject_type` for `format`, a verification without
    /// any subject.
    Legacy,
}

impl Policy {
    /// The policy for a stream of `issuer` to `audiences`: every algorithm of ours, 64 KiB, today's
    /// shapes.
    pub fn new(issuer: IssuerUrl, audiences: Vec<String>) -> Self {
        Self {
            issuer,
            audiences,
            algorithms: Algorithm::ALL.to_vec(),
            max_bytes: 64 * 1024,
            vocabulary: Vocabulary::default(),
            timeline_claim: DEFAULT_TIMELINE_CLAIM.to_owned(),
            critical_members: Vec::new(),
            shapes: Shapes::default(),
            every_session: None,
        }
    }
}

/// A SET whose form, signature, issuer and audience were checked. Only [`verify`] makes one; only it enters an inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedSet(Claims);

impl VerifiedSet {
    /// The claims, for those who keep them.
    pub fn into_claims(self) -> Claims {
        self.0
    }
}

impl Deref for VerifiedSet {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0
    }
}

/// Verifies one SET (RFC 8417 §2, SSF 1.0 §4.1, RFC 8725 §3): size, form, header, signature, then claims.
///
/// # Errors
/// The first check that fails. [`Refusal::UnknownKey`] is the one after which a caller may fetch the key set anew and
/// ask again.
pub fn verify(raw: &[u8], policy: &Policy, keys: &VerifyingKeys, now: Timestamp) -> Result<VerifiedSet, Refusal> {
    if raw.len() > policy.max_bytes {
        return Err(Refusal::TooLarge(policy.max_bytes));
    }
    let compact = Compact::split(raw).map_err(|_| Refusal::NotACompactJws)?;
    let (algorithm, key_id) = read_header(compact.header().ok_or(Refusal::MalformedHeader)?, policy)?;
    compact.verify(keys, &key_id, algorithm).map_err(|refusal| match refusal {
        KeyRefusal::Unknown => Refusal::UnknownKey(key_id),
        KeyRefusal::Unfit => Refusal::UnfitKey,
        KeyRefusal::BadSignature => Refusal::BadSignature,
    })?;
    let payload = compact.payload().ok_or(Refusal::MalformedPayload)?;
    read_claims(&payload, policy, now).map(VerifiedSet)
}

fn read_header(header: Header, policy: &Policy) -> Result<(Algorithm, KeyId), Refusal> {
    if !header.is_type("secevent+jwt") {
        return Err(Refusal::WrongType);
    }
    if header.is_critical {
        return Err(Refusal::CriticalHeader);
    }
    let algorithm = header.algorithm.filter(|algorithm| policy.algorithms.contains(algorithm));
    Ok((algorithm.ok_or(Refusal::AlgorithmNotAllowed)?, header.key_id.ok_or(Refusal::MissingKeyId)?))
}

fn read_claims(payload: &Map<String, Value>, policy: &Policy, now: Timestamp) -> Result<Claims, Refusal> {
    for forbidden in ["exp", "sub"] {
        if payload.contains_key(forbidden) {
            return Err(Refusal::ForbiddenClaim(forbidden));
        }
    }
    let iss = IssuerUrl::from(required_text(payload, "iss")?);
    if iss != policy.issuer {
        return Err(Refusal::WrongIssuer);
    }
    let aud = required(payload, "aud")?;
    let aud: Audience = serde_json::from_value(aud.clone()).map_err(|_| Refusal::MalformedClaim("aud"))?;
    if !aud.names_any_of(&policy.audiences) {
        return Err(Refusal::WrongAudience);
    }
    let jti = Jti::from(required_text(payload, "jti")?);
    let iat = issued_at(required(payload, "iat")?, now)?;
    let (event_type, body) = the_event(payload)?;
    let event_type = EventType::from_uri(event_type, &policy.vocabulary);
    let sub_id = the_subject(payload, body, &event_type, policy)?;
    if policy.shapes == Shapes::Strict {
        check_letter(&event_type, body)?;
    }
    let critical = sub_id.check_critical(&policy.critical_members, KNOWN_MEMBERS);
    critical.map_err(|error| Refusal::CriticalMember(error.member))?;
    Ok(Claims {
        iss,
        aud,
        jti,
        iat,
        txn: optional_text(payload, "txn")?.map(Txn::from),
        toe: optional_moment(payload, "toe")?,
        sub_id,
        event: Event::parse(event_type, body)?,
        timeline: payload.get(&policy.timeline_claim).and_then(|claim| serde_json::from_value(claim.clone()).ok()),
    })
}

fn the_event(payload: &Map<String, Value>) -> Result<(&str, &Value), Refusal> {
    let events = required(payload, "events")?.as_object().ok_or(Refusal::MalformedClaim("events"))?;
    let mut members = events.iter();
    match (members.next(), members.next()) {
        (Some((event_type, body)), None) => Ok((event_type, body)),
        _ => Err(Refusal::NotOneEvent),
    }
}

fn the_subject(
    payload: &Map<String, Value>,
    body: &Value,
    event_type: &EventType,
    policy: &Policy,
) -> Result<Subject, Refusal> {
    let is_legacy = policy.shapes == Shapes::Legacy;
    let subject = match (payload.get("sub_id"), body.get("subject")) {
        (Some(sub_id), _) => Subject::parse(sub_id)?,
        (None, Some(subject)) if is_legacy => Subject::parse_legacy(subject)?,
        // It is about the stream, and says so by its state.
        (None, None) if is_legacy && *event_type == EventType::Verification => {
            Subject::Simple(Simple::Opaque { id: "stream".to_owned() })
        }
        _ => return Err(Refusal::MissingClaim("sub_id")),
    };
    Ok(match &policy.every_session {
        Some(id) => subject.of_every_session(id),
        None => subject,
    })
}

/// What the standards ask of an event's members and careless peers forget.
fn check_letter(event_type: &EventType, body: &Value) -> Result<(), Refusal> {
    let in_milliseconds = |at: &Value| at.as_f64().is_some_and(|at| at > LAST_SECOND);
    if body.get("event_timestamp").is_some_and(in_milliseconds) {
        return Err(Refusal::MalformedClaim("event_timestamp"));
    }
    let needs_reason = matches!(event_type, EventType::SessionRevoked | EventType::CredentialChange);
    if needs_reason && body.get("reason_admin").is_none() {
        return Err(Refusal::MissingClaim("reason_admin"));
    }
    Ok(())
}

fn issued_at(iat: &Value, now: Timestamp) -> Result<Timestamp, Refusal> {
    let iat = iat.as_number().and_then(numeric_date).ok_or(Refusal::MalformedClaim("iat"))?;
    if iat > now.plus(CLOCK_TOLERANCE) { Err(Refusal::IssuedInTheFuture) } else { Ok(iat) }
}

/// Whole seconds, rounded down; unlike `event_timestamp`, milliseconds are not tolerated here.
fn numeric_date(number: &Number) -> Option<Timestamp> {
    let seconds = number.as_f64().filter(|s| (0.0..=LAST_SECOND).contains(s))?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the year 9999 just before")]
    Some(Timestamp::from_unix_seconds(seconds.floor() as i64))
}

fn required<'a>(payload: &'a Map<String, Value>, name: &'static str) -> Result<&'a Value, Refusal> {
    payload.get(name).ok_or(Refusal::MissingClaim(name))
}

fn required_text<'a>(payload: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, Refusal> {
    let text = required(payload, name)?.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_TEXT);
    text.filter(|text| !text.contains('\0')).ok_or(Refusal::MalformedClaim(name))
}

fn optional_text<'a>(payload: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    payload.contains_key(name).then(|| required_text(payload, name)).transpose()
}

fn optional_moment(payload: &Map<String, Value>, name: &'static str) -> Result<Option<Moment>, Refusal> {
    let Some(value) = payload.get(name) else { return Ok(None) };
    value.as_number().and_then(Moment::from_number).map(Some).ok_or(Refusal::MalformedClaim(name))
}

/// How far ahead of ours another party's clock may be.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);
const LAST_SECOND: f64 = 253_402_300_799.0;
const MAX_TEXT: usize = 1_024;
