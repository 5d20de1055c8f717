//! What a model answered about a record of this home, signed by the device, and what the person who looked thought of
//! it. Sealed, one for each model and record: a later answer of other weights or to another reading takes its place.

use keys::{AuditAction, ModelAnswer, ModelOpinion, RecordId, Signed, codec};
use serde::{Deserialize, Serialize};
use store::DocumentKind;

use super::drift::Ended;
use crate::api::types::{ModelInfo, OpinionInfo, OpinionRequest};
use crate::clock;
use crate::service::problem::{Problem, Tried};
use crate::service::{Node, audit};

const VERSION: u8 = 1;
const MAX_DOCUMENT_BYTES: usize = 8 * 1024;
/// Why a person disagrees: a closed list, so that nothing of a patient gets in.
pub(crate) const REASONS: [&str; 5] =
    ["missed-finding", "false-finding", "wrong-class", "poor-input", "other"];

/// What is kept of one record.
#[derive(Serialize, Deserialize)]
struct AnswerDocument {
    version: u8,
    answer: Signed<ModelAnswer>,
    opinion: Option<Signed<ModelOpinion>>,
    /// The day whose counts hold the opinion.
    counted: Option<String>,
}

/// One answer about one record.
pub(crate) struct Answered<'a> {
    pub(crate) model: &'a ModelInfo,
    pub(crate) record: RecordId,
    /// What was read.
    pub(crate) input: &'a [u8],
    /// What was said of it, as JSON.
    pub(crate) output: &'a [u8],
    pub(crate) ended: Ended,
}

impl Node {
    /// Signs and keeps an answer, counts the run, and takes the person's opinion of it if there is one.
    ///
    /// # Errors
    /// [`Problem`] when the opinion is none, or it cannot be kept. An answer without an opinion that cannot be kept is
    /// logged and given all the same: it is a trace, not a permission.
    pub(crate) fn note_answer(
        &self,
        answered: &Answered<'_>,
        opinion: Option<&OpinionRequest>,
    ) -> Result<Option<OpinionInfo>, Problem> {
        if let Some(opinion) = opinion {
            check(opinion)?;
        }
        self.count_run(&answered.model.name, answered.ended);
        let kept = self.keep_answer(answered, opinion);
        match (kept, opinion) {
            (Ok(info), _) => Ok(info),
            (Err(problem), Some(_)) => Err(problem),
            (Err(problem), None) => {
                tracing::error!(%problem, "an answer of a model was not kept");
                Ok(None)
            }
        }
    }

    fn keep_answer(
        &self,
        answered: &Answered<'_>,
        opinion: Option<&OpinionRequest>,
    ) -> Result<Option<OpinionInfo>, Problem> {
        let key = [answered.model.name.as_bytes(), &[0], answered.record.as_bytes()].concat();
        let new = self.answer_of(answered);
        let mut document = match self.kept_answer(&key)?.filter(|kept| self.is_same(kept, &new)) {
            Some(kept) => kept,
            None => AnswerDocument {
                version: VERSION,
                answer: self.keyring.device().sign(&new),
                opinion: None,
                counted: None,
            },
        };
        let Some(opinion) = opinion else {
            self.put_answer(&key, &document, Vec::new())?;
            return Ok(self.opinion_of(&document));
        };
        let before = self.opinion_of(&document);
        let (now, today) = (clock::now(), clock::date(clock::now()));
        let said = ModelOpinion {
            version: ModelOpinion::VERSION,
            answer: document.answer.digest(),
            agree: opinion.agree,
            because: opinion.because.clone(),
            time: now,
        };
        document.opinion = Some(self.keyring.device().sign(&said));
        let counted = document.counted.replace(today.clone());
        let mut event = audit::event(now, AuditAction::ModelOpinion, 1);
        event.1.object = Some(*answered.record.as_bytes());
        self.put_answer(&key, &document, vec![event])?;
        // Who changes their mind is counted once.
        if let (Some(before), Some(date)) = (before, counted) {
            self.change_day(&answered.model.name, &date, |day| {
                let count = if before.agree { &mut day.agreed } else { &mut day.disagreed };
                *count = count.saturating_sub(1);
            });
        }
        self.change_day(&answered.model.name, &today, |day| {
            *(if opinion.agree { &mut day.agreed } else { &mut day.disagreed }) += 1;
        });
        Ok(self.opinion_of(&document))
    }

    fn answer_of(&self, answered: &Answered<'_>) -> ModelAnswer {
        let key = self.keyring.home_key().derive("metaclinic 2026 model answers");
        ModelAnswer {
            version: ModelAnswer::VERSION,
            device: self.keyring.device().id(),
            model: answered.model.name.clone(),
            model_version: answered.model.version.clone(),
            weights_sha256: answered.model.weights_sha256.clone(),
            input: key.keyed_hash(answered.input),
            output: key.keyed_hash(answered.output),
            time: clock::now(),
        }
    }

    fn kept_answer(&self, key: &[u8]) -> Result<Option<AnswerDocument>, Problem> {
        let bytes =
            self.store.document(DocumentKind::ModelAnswer, key).tried("read what was answered before")?;
        let Some(bytes) = bytes else { return Ok(None) };
        let document: AnswerDocument =
            codec::decode("answer of a model", &bytes, MAX_DOCUMENT_BYTES).tried("read a kept answer")?;
        Ok((document.version == VERSION).then_some(document))
    }

    /// Whether the same model said the same of the same before, signed by this device.
    fn is_same(&self, kept: &AnswerDocument, new: &ModelAnswer) -> bool {
        let device = self.keyring.device().id();
        kept.answer.verify(device.as_bytes()).is_ok_and(|old| ModelAnswer { time: new.time, ..old } == *new)
    }

    fn opinion_of(&self, document: &AnswerDocument) -> Option<OpinionInfo> {
        let device = self.keyring.device().id();
        let said = document.opinion.as_ref()?.verify(device.as_bytes()).ok()?;
        let about = said.answer == document.answer.digest();
        about.then(|| OpinionInfo {
            agree: said.agree,
            because: said.because,
            time: clock::rfc3339(said.time),
            answer: keys::base32(&said.answer),
        })
    }

    fn put_answer(
        &self,
        key: &[u8],
        document: &AnswerDocument,
        events: Vec<(keys::Timestamp, keys::AuditEvent)>,
    ) -> Result<(), Problem> {
        let bytes = codec::encode(document);
        self.store
            .put_document(DocumentKind::ModelAnswer, key, &bytes, events)
            .map_err(|error| Problem::failed("cannot keep the answer").because(error).next(audit::RESTART))
    }
}

fn check(opinion: &OpinionRequest) -> Result<(), Problem> {
    match &opinion.because {
        None => Ok(()),
        Some(word) if !opinion.agree && REASONS.contains(&word.as_str()) => Ok(()),
        Some(_) => Err(Problem::wrong_use("this is no reason to disagree")
            .next(format!("with --disagree say --because with one of: {}", REASONS.join(", ")))),
    }
}
