//! What was noticed about an answer: each with the section it goes against.

use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A recommendation, or an interoperability profile, is not followed.
    Warning,
    /// The specification is broken in a way that transmitters in the field are known for. Leniently it is a warning.
    Known,
    /// The specification is broken.
    Breach,
}

/// One thing noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// The section it goes against.
    pub section: &'static str,
    /// What is wrong: names members, never quotes values.
    pub text: String,
}

/// All that was noticed, in the order it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// The specification is broken.
    pub fn breach(&mut self, section: &'static str, text: impl Into<String>) {
        self.note(Weight::Breach, section, text);
    }

    /// It is broken as others do it too.
    pub fn known(&mut self, section: &'static str, text: impl Into<String>) {
        self.note(Weight::Known, section, text);
    }

    /// Not good, yet allowed.
    pub fn warning(&mut self, section: &'static str, text: impl Into<String>) {
        self.note(Weight::Warning, section, text);
    }

    /// Adds one.
    pub fn note(&mut self, weight: Weight, section: &'static str, text: impl Into<String>) {
        self.0.push(Finding { weight, section, text: text.into() });
    }

    /// Adds those of another answer.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Whether one of them is a breach; leniently, those that peers are known for are not.
    pub fn are_a_breach(&self, is_lenient: bool) -> bool {
        self.iter().any(|finding| finding.is_a_breach(is_lenient))
    }
}

impl Finding {
    /// Whether it breaks the specification.
    pub fn is_a_breach(&self, is_lenient: bool) -> bool {
        match self.weight {
            Weight::Breach => true,
            Weight::Known => !is_lenient,
            Weight::Warning => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.section, self.text)
    }
}
