//! Scenario `sign`: our whole SET beside the bare signature of the same key, on one core, in turns.

use std::time::{Duration, Instant};

use serde_json::json;
use ssf_common::clock::Timestamp;
use ssf_common::event::{Event, EventType, Vocabulary};
use ssf_common::jwks::{Algorithm, SigningKey};
use ssf_common::set::{Audience, Claims, DEFAULT_TIMELINE_CLAIM, Timeline, sign};
use ssf_common::subject::Subject;

use crate::figures::Figure;
use crate::openssl_signer::BareSigner;

/// A few seconds per algorithm.
pub(crate) fn measure(seconds: Option<u64>) -> anyhow::Result<Vec<Figure>> {
    let time = Duration::from_secs(seconds.unwrap_or(4));
    Algorithm::ALL.into_iter().map(|algorithm| one(algorithm, time)).collect()
}

fn one(algorithm: Algorithm, time: Duration) -> anyhow::Result<Figure> {
    let key = SigningKey::generate(algorithm)?;
    let bare = BareSigner::of(&key)?;
    let (claims, vocabulary) = (claims()?, Vocabulary::default());
    let whole = || sign(&claims, &vocabulary, &key, Some(DEFAULT_TIMELINE_CLAIM));
    let message = whole()?.rsplit_once('.').map(|(signed, _)| signed.to_owned()).unwrap_or_default();
    let (mut ours, mut limit) = (Pace::default(), Pace::default());
    let began = Instant::now();
    while began.elapsed() < time {
        ours.run(|| whole().map(drop).map_err(Into::into))?;
        limit.run(|| bare.sign(message.as_bytes()).map(drop))?;
    }
    Ok(Figure::new("sign", format!("{algorithm} SETs signed per core"), ours.per_second(), "1/s")
        .beside(limit.per_second()))
}

#[derive(Default)]
struct Pace {
    done: u32,
    took: Duration,
}

impl Pace {
    fn run(&mut self, work: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let began = Instant::now();
        for _ in 0..IN_TURN {
            work()?;
        }
        self.took += began.elapsed();
        self.done += IN_TURN;
        Ok(())
    }

    fn per_second(&self) -> f64 {
        f64::from(self.done) / self.took.as_secs_f64()
    }
}

/// A session-revoked as the transmitter sends it.
pub(crate) fn claims() -> anyhow::Result<Claims> {
    let at = Timestamp::from_unix_millis(1_795_000_000_123);
    let payload = json!({"event_timestamp": 1_795_000_000, "reason_admin": {"en": "decided by the identity provider"}});
    Ok(Claims {
        iss: "https://idp.example".into(),
        aud: Audience::from("https://rp.example"),
        jti: "01a20039-bfd4-77e4-9424-8754f86960ca".into(),
        iat: at,
        txn: Some("01a20039-bfcd-7bc8-9481-edfee0dfcffe".into()),
        toe: None,
        sub_id: Subject::parse(&json!({"format": "iss_sub", "iss": "https://idp.example", "sub": "user-1234"}))?,
        event: Event::parse(EventType::SessionRevoked, &payload)?,
        timeline: Some(Timeline { occurred: at, recorded: at, fanned_out: at, taken: at }),
    })
}

const IN_TURN: u32 = 50;
