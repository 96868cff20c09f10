//! The members that a receiver sends about a stream, from the command line or as JSON.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use ssf_common::event::{EventType, Vocabulary};
use ssf_common::id::StreamId;
use ssf_common::protocol::DeliveryMethod;
use ssf_common::runtime::config::{Secret, resolve_secret};
use ssf_receiver::interop::Fault;

use super::peer::secret;

/// A receiver's members of a stream; what is not named is not sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Request")]
pub(super) struct StreamBody {
    /// The event types wanted: short names such as session-revoked, or URIs, separated by commas
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub(super) events: Option<Vec<String>>,
    /// How SETs shall come
    #[arg(long, value_name = "METHOD")]
    delivery: Option<Way>,
    /// Where they shall be pushed to
    #[arg(long, value_name = "URL", requires = "delivery")]
    endpoint_url: Option<String>,
    /// What every push shall have as Authorization; better in a file
    #[arg(long, value_name = "VALUE", value_parser = secret, requires = "delivery", conflicts_with = "authorization_header_file")]
    authorization_header: Option<Secret>,
    /// … or the file it is in
    #[arg(long, value_name = "FILE", requires = "delivery")]
    authorization_header_file: Option<PathBuf>,
    /// The stream's description
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,
    /// The whole body as JSON instead: the text itself, @FILE, or - for standard input; --stream-id is added to it
    #[arg(
        long,
        value_name = "JSON",
        conflicts_with_all = ["events", "delivery", "endpoint_url", "authorization_header", "authorization_header_file", "description"]
    )]
    body: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// They are sent to --endpoint-url (RFC 8935)
    Push,
    /// We ask for them (RFC 8936)
    Poll,
}

impl StreamBody {
    /// The body, for this stream if it is about one that is there.
    pub(super) fn json(&self, stream: Option<&StreamId>, vocabulary: &Vocabulary) -> Result<Value, Fault> {
        let mut members = match &self.body {
            Some(text) => object("--body", text)?,
            None => self.members(vocabulary)?,
        };
        if let Some(stream) = stream {
            members.insert("stream_id".to_owned(), json!(stream));
        }
        Ok(Value::Object(members))
    }

    fn members(&self, vocabulary: &Vocabulary) -> Result<Map<String, Value>, Fault> {
        let mut members = Map::new();
        if let Some(names) = &self.events {
            members.insert("events_requested".to_owned(), json!(event_uris(names, vocabulary)?));
        }
        if let Some(way) = self.delivery {
            members.insert("delivery".to_owned(), self.delivery(way)?);
        }
        if let Some(description) = &self.description {
            members.insert("description".to_owned(), json!(description));
        }
        Ok(members)
    }

    fn delivery(&self, way: Way) -> Result<Value, Fault> {
        let header = authorization(self.authorization_header.as_ref(), self.authorization_header_file.as_deref())?;
        let method = match way {
            Way::Push if self.endpoint_url.is_none() => {
                return Err(Fault::Usage("--delivery push needs an --endpoint-url".to_owned()));
            }
            Way::Push => DeliveryMethod::Push,
            Way::Poll => DeliveryMethod::Poll,
        };
        let mut delivery = json!({ "method": method.urn() });
        if let Some(url) = &self.endpoint_url {
            delivery["endpoint_url"] = json!(url);
        }
        if let Some(header) = header {
            delivery["authorization_header"] = json!(header.expose());
        }
        Ok(delivery)
    }
}

/// The value of a header, from one of the two places it may be in.
pub(super) fn authorization(direct: Option<&Secret>, file: Option<&Path>) -> Result<Option<Secret>, Fault> {
    let found = resolve_secret("authorization_header", direct, file);
    Ok(found.map_err(|error| Fault::Usage(ssf_common::runtime::telemetry::chain(&error)))?.map(Secret::from))
}

/// A JSON object, from wherever the argument says.
pub(super) fn object(argument: &str, text: &str) -> Result<Map<String, Value>, Fault> {
    let wrong = |why: String| Fault::Usage(format!("{argument} {why}"));
    let read = match text.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| wrong(format!("@{path} cannot be read: {error}")))?
        }
        None if text == "-" => {
            let mut read = String::new();
            std::io::stdin().read_to_string(&mut read).map_err(|error| wrong(format!("- cannot be read: {error}")))?;
            read
        }
        None => text.to_owned(),
    };
    match serde_json::from_str(&read) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(wrong("must be a JSON object".to_owned())),
        Err(error) => Err(wrong(format!("is not JSON, at line {} column {}", error.line(), error.column()))),
    }
}

/// The URIs of event types that are named or written out.
pub(super) fn event_uris(names: &[String], vocabulary: &Vocabulary) -> Result<Vec<String>, Fault> {
    let uri = |name: &String| {
        let known = EventType::from_name(name, vocabulary).map(|known| known.uri(vocabulary).to_owned());
        known.ok_or_else(|| {
            Fault::Usage(format!(
                "--events: {name} is not an event type; write a short name such as session-revoked, or a URI"
            ))
        })
    };
    names.iter().map(uri).collect()
}
