//! Memory against its definition: after any history, told to several processes, each answers from memory what one
//! statement in PostgreSQL says.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use ssf_common::random::{Random as _, SeededRandom};
use ssf_harness::TestCluster;
use ssf_receiver::session::{Description, Keyring};
use ssf_receiver::validity::{Definition, Question, Validity};

use crate::rp::{ISSUER, Rp, keyring, prepared};

/// Draws below a bound.
struct Dice(SeededRandom);

impl Dice {
    fn below(&self, bound: u32) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) % bound
    }

    fn one<T: Clone>(&self, of: &[T]) -> T {
        of[self.below(u32::try_from(of.len()).unwrap()) as usize].clone()
    }
}

const EVENTS: [&str; 5] = ["session-revoked", "revalidate", "account-disabled", "account-enabled", "session-presented"];
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const SIDS: [&str; 5] = ["s-1", "s-2", "s-3", "s-4", "s-5"];

fn user(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

/// One thing that happens, at one of the processes.
async fn happen(rp: &Rp, dice: &Dice) {
    let about = rp.clock_seconds() - i64::from(dice.below(4));
    let sid = dice.one(&SIDS);
    match dice.below(10) {
        0..4 => rp.tell(dice.one(&EVENTS), &user(dice.one(&USERS)), &json!({"event_timestamp": about})).await,
        4..6 => {
            let device = format!("device-{}", dice.below(2));
            let body = json!({"subject": user(dice.one(&USERS)), "device": device, "origin": about});
            let (status, answer) = rp.register(sid, body).await;
            assert!([200, 201, 409].contains(&status), "{status} {answer}");
        }
        6..8 => {
            let expires_at = (dice.below(3) == 0).then(|| about + 2);
            let told = json!({"validated": about, "expires_at": expires_at});
            let (status, answer) = rp.call(Method::POST, &format!("/v1/sessions/{sid}/revalidated"), Some(&told)).await;
            assert!([200, 404].contains(&status), "{status} {answer}");
        }
        8 => assert_eq!(rp.call(Method::DELETE, &format!("/v1/sessions/{sid}"), None).await.0, 204),
        _ => {
            let half = "delete from cutoff where get_byte(key, 0) % 2 = $1";
            sqlx::query(half).bind(i32::try_from(dice.below(2)).unwrap()).execute(&rp.pool).await.unwrap();
        }
    }
}

fn questions(rp: &Rp, keyring: &Keyring) -> Vec<Question> {
    let now = rp.clock.as_ref();
    let now = ssf_common::clock::Clock::now(now);
    let named = SIDS.iter().map(|sid| Question::named((*sid).into()));
    let ages = [0, 2, 5, 100];
    let described = USERS.iter().flat_map(|id| ages.map(|age| (*id, now.unix_seconds() - age))).map(|(id, origin)| {
        let told = json!({"issuer": ISSUER, "subject": user(id), "origin": origin});
        let description: Description = serde_json::from_value(told).unwrap();
        Question::Described(description.read(keyring, now).unwrap())
    });
    named.chain(described).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happened_memory_answers_what_the_database_says() {
    let mut states = std::collections::BTreeMap::<String, usize>::new();
    for seed in 0..6 {
        let dice = Dice(SeededRandom::new(seed));
        let database = TestCluster::shared().await.scratch_database("rp").await.unwrap();
        let pool = prepared(&database).await;
        let rps = [Rp::on(pool.clone()).await, Rp::on(pool.clone()).await, Rp::on(pool).await];
        for round in 0..12 {
            for _ in 0..dice.below(8) {
                happen(&rps[dice.below(3) as usize], &dice).await;
                if dice.below(3) == 0 {
                    for rp in &rps {
                        rp.clock.advance(Duration::from_secs(1));
                    }
                }
            }
            for rp in &rps {
                // some sessions are in memory already, some are read now, and some were in memory and changed
                rp.look().await;
                let asked = questions(rp, &keyring());
                let memory = Validity::new(rp.replica.clone(), rp.env());
                let answers = memory.check_all(&asked).await.unwrap();
                let defined = Definition::new(rp.pool.clone(), rp.env()).check_all(&asked).await.unwrap();
                for ((question, answer), defined) in asked.iter().zip(&answers).zip(&defined) {
                    let said = (answer.verdict, answer.asserted);
                    assert_eq!(said, (defined.verdict, defined.asserted), "{seed} {round} {question:?}");
                    *states.entry(format!("{:?}", answer.verdict.reason)).or_default() += 1;
                }
            }
        }
    }
    // the histories have something of everything
    assert!(states.len() >= 6, "{states:?}");
}
