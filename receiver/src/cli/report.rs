//! `ssf-receiver report`: how the windows were kept, asked of the running service over its own HTTP interface, which knows
//! the terms in force; written as text, JSON, CSV or a picture.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use ssf_common::runtime::Env;
use ssf_receiver::config::Settings;
use ssf_receiver::proof::{Lines, WindowsReport, chart, csv, text};
use url::Url;

use super::ask::{address, ask, since_when};
use super::print::print;

/// Ask for the report on the windows.
#[derive(Debug, Args)]
pub(super) struct Report {
    /// Count decisions received since then: 24h, 7d (ago), RFC 3339 text or seconds since 1970
    #[arg(long, value_name = "TIME", default_value = "24h")]
    since: String,
    /// Only this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// The form: text and json and svg of the figures, csv with a line per cut-off
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to this file and not to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
    Svg,
}

impl Report {
    pub(super) async fn run(self, settings: &Settings, env: &Env) -> anyhow::Result<()> {
        let since = since_when(&self.since, env.now())?;
        if self.format == Format::Csv {
            return self.csv(settings, &since).await;
        }
        let report: WindowsReport = read(settings, self.url(settings, "/v1/windows", &since)?).await?;
        let written = match self.format {
            Format::Json => serde_json::to_string_pretty(&report)? + "\n",
            Format::Svg => chart::svg(&report),
            Format::Text | Format::Csv => text::text(&report),
        };
        self.write(&written, false)
    }

    /// Page by page: there may be more cut-offs than anybody wants to hold.
    async fn csv(&self, settings: &Settings, since: &str) -> anyhow::Result<()> {
        self.write(&csv::header(), false)?;
        let mut after: Option<String> = None;
        loop {
            let mut url = self.url(settings, "/v1/windows/cutoffs", since)?;
            url.query_pairs_mut().append_pair("limit", "1000");
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let page: Lines = read(settings, url).await?;
            self.write(&csv::lines(&page.cutoffs), true)?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn url(&self, settings: &Settings, path: &str, since: &str) -> anyhow::Result<Url> {
        let mut url = address(settings)?;
        url.set_path(path);
        url.query_pairs_mut().append_pair("since", since);
        if let Some(upstream) = &self.upstream {
            url.query_pairs_mut().append_pair("upstream", upstream);
        }
        Ok(url)
    }

    fn write(&self, text: &str, is_more: bool) -> anyhow::Result<()> {
        let Some(path) = &self.out else { return print(text) };
        let mut options = std::fs::OpenOptions::new();
        let opened = options.write(true).create(true).append(is_more).truncate(!is_more).open(path);
        opened
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

async fn read<T: DeserializeOwned>(settings: &Settings, url: Url) -> anyhow::Result<T> {
    let answer = ask(settings, url).await?;
    serde_json::from_value(answer).context("the service answered in another form; is it of the same version?")
}
