//! How a command ends: what it says, and its exit code.

use std::process::ExitCode;

use ssf_common::runtime::telemetry::chain;
use ssf_receiver::interop::{Fault, Finding, Findings, Mask};

/// Exit codes, as `--help` tells them.
pub(in crate::cli) const EXIT_CODES: &str = "\
Exit codes:
  0  the answer is as the specifications say (warnings may have been printed)
  1  the exchange failed: no answer, or the transmitter said no
  2  the command line or the settings cannot be meant
  3  the answer breaks a specification; standard error cites the section";

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Good,
    Failed,
    Usage,
    Breach,
}

/// The settings cannot be meant.
pub(in crate::cli) fn not_meant(error: &anyhow::Error) -> ExitCode {
    Ending::usage(&chain(error.as_ref())).into()
}

impl Ending {
    /// Of a command that found these.
    pub(super) const fn of(is_breach: bool) -> Self {
        if is_breach { Self::Breach } else { Self::Good }
    }

    /// Says why there is nothing more to be done.
    pub(super) fn fault(fault: &Fault) -> Self {
        // What the transmitter said stands in it, masked already where a credential could be.
        let text = Mask::default().line(&chain(fault));
        match (fault, fault.breaks()) {
            (Fault::Usage(_) | Fault::Settings(_), _) => Self::usage(&text),
            (_, Some(section)) => {
                eprintln!("breach: {section}: {text}");
                Self::Breach
            }
            (_, None) => {
                eprintln!("error: {text}");
                Self::Failed
            }
        }
    }

    /// Says what is wrong with what was asked for.
    pub(super) fn usage(text: &str) -> Self {
        eprintln!("error: {text}");
        Self::Usage
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Good => 0,
            Ending::Failed => 1,
            Ending::Usage => 2,
            Ending::Breach => 3,
        })
    }
}

/// Says all that was found.
pub(super) fn say(findings: &Findings, mask: &Mask, is_lenient: bool) {
    findings.iter().for_each(|finding| say_one(finding, mask, is_lenient));
}

/// Says one of them.
pub(super) fn say_one(finding: &Finding, mask: &Mask, is_lenient: bool) {
    let weight = if finding.is_a_breach(is_lenient) { "breach" } else { "warning" };
    eprintln!("{weight}: {}", mask.line(&finding.to_string()));
}
