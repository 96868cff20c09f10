//! How a stream is signed. SSF has no member for it, so the operator says it: per client for its new streams, per stream
//! for one that is there. A stream goes on with an algorithm there is an active key for until there is one for the
//! algorithm it is to have; `keys` makes that key and switches the stream.

pub(crate) mod store;

use sqlx::PgConnection;
use ssf_common::jwks::Algorithm;

use super::Stream;
use crate::client::Client;

/// How a stream is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// With an active key, unless the issuer has none at all.
    pub(crate) now: Algorithm,
    /// When there is an active key for it, if that is another.
    pub(crate) later: Option<Algorithm>,
}

/// How a new stream of `client` is signed at an issuer whose streams are usually signed with `usual`. Until the caller's
/// transaction ends no key it counts on is retired.
pub(crate) async fn of_new_stream(conn: &mut PgConnection, client: &Client, usual: Algorithm) -> sqlx::Result<Signed> {
    let wanted = store::of_client(&mut *conn, client.key).await?.unwrap_or(usual);
    crate::keys::store::hold(&mut *conn, client.issuer_id).await?;
    Ok(chosen(wanted, usual, &crate::keys::store::active(conn, client.issuer_id).await?))
}

/// Keeps what a stream that was just inserted waits for.
pub(crate) async fn await_key(conn: &mut PgConnection, stream: &Stream, signed: Signed) -> sqlx::Result<()> {
    if let Some(later) = signed.later {
        store::set(&mut *conn, stream.issuer_id, stream.key, later, false, stream.created_at).await?;
        // whoever makes keys hears of it
        crate::issuer::store::ring(conn).await?;
    }
    Ok(())
}

/// As `wanted` if there is an active key for it; until then as the issuer's others, else with whatever there is. Without
/// any active key it waits for one.
fn chosen(wanted: Algorithm, usual: Algorithm, active: &[Algorithm]) -> Signed {
    if active.contains(&wanted) {
        return Signed { now: wanted, later: None };
    }
    let meanwhile = [usual].into_iter().chain(Algorithm::ALL).find(|algorithm| active.contains(algorithm));
    meanwhile.map_or(Signed { now: wanted, later: None }, |now| Signed { now, later: Some(wanted) })
}

#[cfg(test)]
mod tests {
    use Algorithm::{EdDsa, Es256, Ps256, Rs256};

    use super::*;

    #[test]
    fn a_new_stream_is_signed_with_a_key_that_is_active() {
        for (wanted, usual, active, chosen_as) in [
            (Es256, Rs256, &[Rs256, Es256][..], (Es256, None)),
            (Es256, Rs256, &[Rs256, EdDsa], (Rs256, Some(Es256))),
            (Es256, Rs256, &[EdDsa, Ps256], (Ps256, Some(Es256))),
            (Rs256, Rs256, &[EdDsa], (EdDsa, Some(Rs256))),
            (Es256, Rs256, &[], (Es256, None)),
        ] {
            let (now, later) = chosen_as;
            assert_eq!(chosen(wanted, usual, active), Signed { now, later }, "{wanted} {usual} {active:?}");
        }
    }
}
