//! What the user sees while it runs: one line per step, and a bar where there is much to do.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The list of steps. Each is announced when it begins and ticked off when the next one does.
pub(crate) struct Steps {
    bar: Option<ProgressBar>,
    began: Instant,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { bar: None, began: Instant::now() }
    }

    /// Ticks off the present step and begins another.
    pub(crate) fn next(&mut self, what: &str) {
        self.done();
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.set_style(style("{spinner} {msg}"));
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bar = Some(bar);
    }

    /// A step of so many parts; [`part`](Self::part) counts them.
    pub(crate) fn next_of(&mut self, what: &str, parts: usize) {
        self.done();
        let bar = ProgressBar::new(u64::try_from(parts).unwrap_or(u64::MAX)).with_message(what.to_owned());
        bar.set_style(style("{spinner} {msg} {bar:30} {pos}/{len}"));
        self.bar = Some(bar);
    }

    /// One part is done.
    pub(crate) fn part(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Ticks off the present step.
    pub(crate) fn done(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            line(&format!("✓ {}", bar.message()));
        }
    }

    /// Since the first step.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// A line for the user.
#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// What went wrong, with its causes.
#[expect(clippy::print_stderr, reason = "the demo speaks to a person")]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("✗ {error:#}");
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
