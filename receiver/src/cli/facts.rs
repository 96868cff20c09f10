//! `ssf-receiver facts`: what the running service knows of whom a session belongs to, over its own HTTP interface.

use std::fmt::Write as _;

use clap::Args;
use ssf_receiver::config::Settings;

use super::ask::{address, ask};
use super::print::{print, print_json};

/// Ask for what issuers told of a session's user and device.
#[derive(Debug, Args)]
pub(super) struct Facts {
    /// The session, as the application registered it
    sid: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Facts {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let mut url = address(settings)?;
        url.set_path("/v1/facts");
        url.query_pairs_mut().append_pair("sid", &self.sid);
        let answer = ask(settings, url).await?;
        if self.json {
            return print_json(&answer);
        }
        let mut text = String::new();
        for fact in answer["facts"].as_array().into_iter().flatten() {
            let member = |name: &str| fact[name].as_str().unwrap_or_default().to_owned();
            let _ = writeln!(
                text,
                "{:<14} {:<18} {:<20} since {} ({})",
                member("kind"),
                member("name"),
                member("value"),
                member("occurred_at"),
                member("event_type")
            );
        }
        print(if text.is_empty() { "nothing is known\n" } else { &text })
    }
}
