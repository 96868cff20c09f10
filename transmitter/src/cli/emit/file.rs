//! Many decisions in a file. It is read twice: first every line is checked, so that a file with a fault sends nothing; then
//! it is recorded portion by portion, each in one transaction with its number. The batch's id is made from the file and
//! what was said with it, so that whoever is interrupted runs the same command again and nothing is sent twice.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use ssf_common::runtime::Env;
use ssf_transmitter::backlog::batch;
use ssf_transmitter::config::Settings;
use ssf_transmitter::issuer::Issuer;
use ssf_transmitter::outbox::{BatchId, Draft, NewBatch, NewEvent, record_portion};

use super::super::database::Database;
use super::progress::{Recording, watch};

/// What is to be sent, and how.
pub(super) struct Orders<'a> {
    pub(super) path: &'a Path,
    /// What the arguments say of every line that does not say it itself.
    pub(super) common: Map<String, Value>,
    pub(super) label: Option<&'a str>,
    pub(super) watch: bool,
}

/// Checks the file, records it, and waits for its end if that is asked for; what is to be said.
pub(super) async fn send(
    settings: &Settings,
    at: Option<&str>,
    database: &Database,
    orders: &Orders<'_>,
    env: &Env,
) -> anyhow::Result<String> {
    let issuer = database.issuer(settings, at).await?;
    let reader = Reader { settings, issuer: &issuer, orders, env };
    let (events, digest) = reader.read(|_| async { Ok(()) }).await?;
    anyhow::ensure!(events > 0, "{} holds no decision", orders.path.display());
    let id = reader.batch(&digest);
    let announced = Some(i64::try_from(events)?);
    let bar = Recording::of(events);
    let (mut portion, mut known) = (0, 0);
    let recorded = reader
        .read(async |mut of_portion: Vec<NewEvent>| {
            for event in &mut of_portion {
                event.batch = Some(id);
            }
            let batch = NewBatch { id, issuer: issuer.id, portion, announced };
            let mut conn = database.pool.acquire().await?;
            if !record_portion(&mut conn, &batch, &of_portion, env.now()).await? {
                known += of_portion.len();
            }
            portion += 1;
            bar.advance(of_portion.len());
            Ok(())
        })
        .await;
    let (_, again) = recorded.with_context(|| {
        format!("the batch {id} was interrupted; run the same command again, and what is recorded is not sent twice")
    })?;
    anyhow::ensure!(again == digest, "{} changed while it was read", orders.path.display());
    bar.done();
    if orders.watch {
        let progress = watch(database, &issuer, id).await?;
        return Ok(serde_json::to_string(&progress)?);
    }
    let mut conn = database.pool.acquire().await?;
    let progress = batch::progress(&mut conn, issuer.id, id).await?;
    let state = progress.map(|progress| json!(progress.state));
    Ok(json!({"batch_id": id, "events": events, "recorded_before": known, "state": state}).to_string())
}

struct Reader<'a> {
    settings: &'a Settings,
    issuer: &'a Issuer,
    orders: &'a Orders<'a>,
    env: &'a Env,
}

impl Reader<'_> {
    /// Reads the file to its end and hands on its events portion by portion; how many there were, and the digest of it all.
    async fn read<F>(&self, mut take: F) -> anyhow::Result<(usize, Vec<u8>)>
    where
        F: AsyncFnMut(Vec<NewEvent>) -> anyhow::Result<()>,
    {
        let path = self.orders.path;
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let (mut file, mut digest) = (BufReader::new(file), Sha256::new());
        let (mut events, mut portion, mut line, mut number) = (0, Vec::with_capacity(PORTION), Vec::new(), 0_u64);
        loop {
            line.clear();
            if file.read_until(b'\n', &mut line).with_context(|| format!("{} cannot be read", path.display()))? == 0 {
                break;
            }
            number += 1;
            digest.update(&line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            let event = self.event(&line).with_context(|| format!("line {number} of {}", path.display()))?;
            portion.push(event);
            events += 1;
            if portion.len() == PORTION {
                take(std::mem::replace(&mut portion, Vec::with_capacity(PORTION))).await?;
            }
        }
        if !portion.is_empty() {
            take(portion).await?;
        }
        Ok((events, digest.finalize().to_vec()))
    }

    /// The decision on a line. Errors name members and never quote a value.
    fn event(&self, line: &[u8]) -> anyhow::Result<NewEvent> {
        let written: Value = serde_json::from_slice(line).map_err(|_| anyhow::anyhow!("is not JSON"))?;
        let Value::Object(written) = written else { anyhow::bail!("is not a JSON object") };
        let mut draft = self.orders.common.clone();
        if written.contains_key("subject") {
            draft.extend(written);
        } else {
            anyhow::ensure!(
                draft.contains_key("type"),
                "is a subject identifier, and no type was given: emit TYPE --file …"
            );
            draft.insert("subject".to_owned(), Value::Object(written));
        }
        let draft: Draft = serde_json::from_value(Value::Object(draft))
            .map_err(|_| anyhow::anyhow!("is not an event: a JSON object with type and subject"))?;
        Ok(draft.check(self.issuer.id, &self.settings.vocabulary(), self.env)?)
    }

    /// The same for the same file, said the same with it, at the same issuer.
    fn batch(&self, digest: &[u8]) -> BatchId {
        let said = json!([self.issuer.url, self.orders.common, self.orders.label, PORTION]).to_string();
        let whole = Sha256::new().chain_update(said).chain_update([0]).chain_update(digest).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&whole[..16]);
        BatchId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// Decisions recorded in one transaction.
const PORTION: usize = 1_000;
