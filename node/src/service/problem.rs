//! Why a service could not do what was asked, in words for the person who asked.

use std::error::Error;
use std::fmt;

use crate::api::types::ProblemBody;

/// What sort of failure; the API maps it to a status, the CLI to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It should have worked (exit 1).
    Failed,
    /// The request itself is wrong (exit 2).
    WrongUse,
    /// There is no such thing (exit 1).
    NotFound,
    /// Refused for want of a right (exit 3).
    Denied,
    /// Too much is asked at once: the same may work later (exit 1).
    Busy,
}

impl Kind {
    /// Its name on the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::WrongUse => "wrong-use",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Busy => "busy",
        }
    }

    /// Reads [`Kind::name`]; anything unknown is a failure.
    pub(crate) fn from_name(name: &str) -> Self {
        [Self::WrongUse, Self::NotFound, Self::Denied, Self::Busy]
            .into_iter()
            .find(|k| k.name() == name)
            .unwrap_or(Self::Failed)
    }

    /// The process exit code of the contract.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::NotFound | Self::Busy => 1,
            Self::WrongUse => 2,
            Self::Denied => 3,
        }
    }
}

/// What was tried, why it failed, and the next step. Never health data.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What sort of failure.
    pub kind: Kind,
    /// What was tried and why it failed.
    pub message: String,
    /// What to do next.
    pub next: Option<String>,
    /// The result that shows it is printed already, so a program gets no second object.
    pub(crate) shown: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of `kind`.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), next: None, shown: false, source: None }
    }

    /// It should have worked.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The request itself is wrong.
    pub(crate) fn wrong_use(message: impl Into<String>) -> Self {
        Self::new(Kind::WrongUse, message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Refused for want of a right.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// The printed result shows it already.
    #[must_use]
    pub(crate) fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// Keeps the cause, whose chain of messages is appended.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        let mut cause: Option<&dyn Error> = Some(&source);
        while let Some(error) = cause {
            let text = error.to_string();
            if !self.message.ends_with(&text) {
                self.message.push_str(": ");
                self.message.push_str(&text);
            }
            cause = error.source();
        }
        self.source = Some(Box::new(source));
        self
    }
}

/// As the API tells it.
impl From<&Problem> for ProblemBody {
    fn from(problem: &Problem) -> Self {
        Self {
            kind: problem.kind.name().to_owned(),
            message: problem.message.clone(),
            next: problem.next.clone(),
        }
    }
}

/// As the API told it.
impl From<ProblemBody> for Problem {
    fn from(body: ProblemBody) -> Self {
        let kind = Kind::from_name(&body.kind);
        Self { next: body.next, ..Self::new(kind, body.message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

/// Turns an error of a lower crate into a [`Problem`] that says what was tried.
pub(crate) trait Tried<T> {
    /// `action` reads after "cannot", for instance "open the store".
    ///
    /// # Errors
    /// The same failure, in words.
    fn tried(self, action: &str) -> Result<T, Problem>;
}

impl<T, E: Error + Send + Sync + 'static> Tried<T> for Result<T, E> {
    fn tried(self, action: &str) -> Result<T, Problem> {
        self.map_err(|e| Problem::failed(format!("cannot {action}")).because(e))
    }
}
