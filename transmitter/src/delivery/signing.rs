//! From a taken delivery to a signed SET: the claims are fixed by its row, so every attempt says the same.

use std::collections::HashMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::Value;
use ssf_common::clock::Timestamp;
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::id::{IssuerUrl, Jti};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::set::{Audience, Claims, Timeline, sign};
use ssf_common::subject::Subject;

use super::{DeliveryId, Taken};
use crate::issuer::IssuerId;
use crate::keys::SealingKey;
use crate::outbox::outgoing;
use crate::tenant::{Tenant, Tenants};

/// Builds and signs SETs. Clones share keys. Signing RS256 takes about 0.4 ms of a core, so it runs on tokio's blocking
/// threads, not on those that serve connections.
#[derive(Clone, Debug)]
pub struct SigningDesk(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    tenants: Tenants,
    sealing: SealingKey,
    vocabulary: Arc<Vocabulary>,
    timeline_claim: Option<String>,
}

impl SigningDesk {
    /// `timeline_claim` of `None` leaves the timeline out of every SET.
    pub fn new(
        tenants: Tenants,
        sealing: SealingKey,
        vocabulary: Arc<Vocabulary>,
        timeline_claim: Option<String>,
    ) -> Self {
        Self(Arc::new(Desk { tenants, sealing, vocabulary, timeline_claim }))
    }

    /// The SET of one delivery.
    pub async fn sign(&self, taken: Taken) -> Result<String, Unsendable> {
        let desk = Arc::clone(&self.0);
        let signer = desk.signer(&taken).await?;
        tokio::task::spawn_blocking(move || desk.sign(&taken, &signer)).await.map_err(|_| Unsendable::Signature)?
    }

    /// The SETs of several deliveries, each with its id, in their order.
    pub async fn sign_all(&self, taken: Vec<Taken>) -> Vec<(DeliveryId, Result<String, Unsendable>)> {
        let desk = Arc::clone(&self.0);
        // those of one stream share a signer: it is looked for once
        let mut signers: HashMap<(IssuerId, String), Result<Signer, Unsendable>> = HashMap::new();
        let mut with_signers = Vec::with_capacity(taken.len());
        for one in taken {
            let of = (one.issuer, one.algorithm.clone());
            if !signers.contains_key(&of) {
                signers.insert(of.clone(), desk.signer(&one).await);
            }
            let signer = signers.get(&of).cloned().unwrap_or(Err(Unsendable::NoKey));
            with_signers.push((one, signer));
        }
        let sign = move |(one, signer): (Taken, Result<Signer, Unsendable>)| {
            (one.id, signer.and_then(|signer| desk.sign(&one, &signer)))
        };
        let signed = tokio::task::spawn_blocking(move || with_signers.into_iter().map(sign).collect());
        signed.await.unwrap_or_default()
    }

    /// The header to send with a push.
    pub fn authorization(&self, taken: &Taken) -> Result<Option<SecretString>, Unsendable> {
        let sealed = taken.authorization_sealed.as_deref();
        sealed
            .map(|sealed| {
                self.0.sealing.open(sealed, &authorization_place(taken.stream)).map_err(|_| Unsendable::Sealed)
            })
            .transpose()
    }
}

/// Who signs: the issuer and its key.
#[derive(Clone)]
struct Signer {
    tenant: Arc<Tenant>,
    key: Arc<SigningKey>,
}

impl Desk {
    /// With what `taken` is signed. What this process knows of keys is read anew when it is too old, or when another
    /// process may just have let a first key of this algorithm sign.
    async fn signer(&self, taken: &Taken) -> Result<Signer, Unsendable> {
        let algorithm: Algorithm = taken.algorithm.parse().map_err(|_| Unsendable::NoKey)?;
        let has_key = |tenant: &Tenant| tenant.ring.signer(algorithm).is_some();
        let tenant = self.tenants.fresh(taken.issuer, has_key).await.ok_or(Unsendable::NoKey)?;
        let key = Arc::clone(tenant.ring.signer(algorithm).ok_or(Unsendable::NoKey)?);
        Ok(Signer { tenant, key })
    }

    fn sign(&self, taken: &Taken, Signer { tenant, key }: &Signer) -> Result<String, Unsendable> {
        let content = Content {
            id: taken.id,
            issuer: &tenant.issuer.url,
            audience: &taken.audience,
            event_type: &taken.event_type,
            subject: &taken.subject,
            payload: &taken.payload,
            txn: &taken.txn,
            occurred_at: taken.occurred_at,
            recorded_at: taken.recorded_at,
            fanned_out_at: taken.fanned_out_at,
            first_taken_at: Some(taken.first_taken_at),
        };
        let claims = content.claims(&self.vocabulary)?;
        let claim = self.timeline_claim.as_deref().filter(|_| taken.timeline_claim);
        sign(&claims, &self.vocabulary, key, claim).map_err(|_| Unsendable::Signature)
    }
}

/// What a delivery says, whether it waits or is a dead letter.
pub(crate) struct Content<'a> {
    pub(crate) id: DeliveryId,
    pub(crate) issuer: &'a IssuerUrl,
    pub(crate) audience: &'a [String],
    pub(crate) event_type: &'a str,
    pub(crate) subject: &'a Value,
    pub(crate) payload: &'a Value,
    pub(crate) txn: &'a str,
    pub(crate) occurred_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) fanned_out_at: Timestamp,
    /// Without it there is no timeline yet.
    pub(crate) first_taken_at: Option<Timestamp>,
}

impl Content<'_> {
    /// The claims of its SET: the same at every attempt.
    pub(crate) fn claims(&self, vocabulary: &Vocabulary) -> Result<Claims, Unsendable> {
        let event_type = EventType::from_uri(self.event_type, vocabulary);
        Ok(Claims {
            iss: self.issuer.clone(),
            aud: Audience(self.audience.to_vec()),
            jti: Jti(self.id.to_string()),
            iat: Timestamp::from_unix_seconds(self.fanned_out_at.unix_seconds()),
            txn: Some(self.txn.into()),
            toe: None,
            sub_id: Subject::parse(self.subject).map_err(|_| Unsendable::Malformed)?,
            event: outgoing(event_type, self.payload, self.occurred_at).map_err(|_| Unsendable::Malformed)?,
            timeline: self.first_taken_at.map(|taken| Timeline {
                occurred: self.occurred_at,
                recorded: self.recorded_at,
                fanned_out: self.fanned_out_at,
                taken,
            }),
        })
    }
}

/// Where a stream's authorization header is sealed for.
pub(crate) fn authorization_place(stream: crate::stream::StreamKey) -> String {
    format!("stream.authorization:{stream}")
}

/// Why a delivery cannot become a SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// No active key of the stream's algorithm, or the keys cannot be read, or the issuer is not served here.
    #[error("there is no active key for the stream's algorithm, or it cannot be read now")]
    NoKey,
    /// The stored event is not one.
    #[error("the stored event cannot be read")]
    Malformed,
    /// OpenSSL refused.
    #[error("the SET could not be signed")]
    Signature,
    /// The authorization header does not open.
    #[error("the stream's authorization header does not open with the configured sealing key")]
    Sealed,
}

impl Unsendable {
    /// Whether trying again later is pointless.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Malformed)
    }
}
