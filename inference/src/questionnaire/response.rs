//! A filled questionnaire as a QuestionnaireResponse of FHIR R4, and back. Whose it is, and who asked, the caller
//! adds: nothing here knows.

use serde_json::{Map, Value, json};

use super::answer::{Answer, is_moment};
use super::filling::{AnswerError, Filling};
use super::item::Kind;
use super::reading::{MAX_DEPTH, Questionnaire};

/// Why there is no response, or why one cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The moment is none.
    #[error("the moment of writing must be a date and time with a zone, as 2024-05-31T08:00:00Z")]
    Authored,
    /// It is no response.
    #[error("this is no QuestionnaireResponse of FHIR R4")]
    NotAResponse,
    /// It answers another questionnaire.
    #[error("the response belongs to another questionnaire")]
    OtherQuestionnaire,
    /// An item or an answer is malformed, or lies too deep.
    #[error("an item of the response is malformed, near {0:.80?}")]
    Malformed(String),
    /// An answer does not fit.
    #[error("an answer of the response is refused")]
    Answer(#[from] AnswerError),
}

impl Filling<'_> {
    /// The response as FHIR: `completed`, or `in-progress` while something required is missing. Answers of items that
    /// are not enabled are left out. The words of questions stand in `language`.
    pub fn response(&self, authored: &str, language: &str) -> Result<Value, ResponseError> {
        if !is_moment(authored) {
            return Err(ResponseError::Authored);
        }
        let status = if self.missing().is_empty() { "completed" } else { "in-progress" };
        let mut response =
            json!({ "resourceType": "QuestionnaireResponse", "status": status, "authored": authored });
        let Questionnaire { url, version, .. } = self.questionnaire;
        let canonical = match (url.as_str(), version.as_str()) {
            ("", _) => None,
            (url, "") => Some(url.to_owned()),
            (url, version) => Some(format!("{url}|{version}")),
        };
        if let Some(canonical) = canonical {
            response["questionnaire"] = json!(canonical);
        }
        let items = self.write(&self.questionnaire.roots, language);
        if !items.is_empty() {
            response["item"] = Value::Array(items);
        }
        Ok(response)
    }

    /// The items among `places` that hold something. Recursion is as deep as items may lie.
    fn write(&self, places: &[usize], language: &str) -> Vec<Value> {
        let mut written = Vec::new();
        for place in places.iter().copied().filter(|place| self.state.present[*place]) {
            let item = &self.questionnaire.items()[place];
            let mut object = Map::new();
            object.insert("linkId".to_owned(), json!(item.link_id));
            let words = item.text.in_language(language);
            if !words.is_empty() {
                object.insert("text".to_owned(), json!(words));
            }
            let inside = self.write(&item.children, language);
            let mut answers: Vec<Value> = self.state.answers[place].iter().map(Answer::write).collect();
            match answers.first_mut() {
                _ if inside.is_empty() => {}
                Some(first) => first["item"] = Value::Array(inside),
                None => drop(object.insert("item".to_owned(), Value::Array(inside))),
            }
            if !answers.is_empty() {
                object.insert("answer".to_owned(), Value::Array(answers));
            }
            written.push(Value::Object(object));
        }
        written
    }

    /// Reads a response to this questionnaire. Every answer is checked as if it were given now; unknown items are
    /// refused, calculated ones worked out anew.
    pub fn of_response<'q>(
        questionnaire: &'q Questionnaire,
        response: &Value,
    ) -> Result<Filling<'q>, ResponseError> {
        let is_response = response.get("resourceType").is_some_and(|it| it == "QuestionnaireResponse");
        let of = response.as_object().filter(|_| is_response).ok_or(ResponseError::NotAResponse)?;
        if let Some(canonical) = of.get("questionnaire") {
            let url = canonical.as_str().and_then(|it| it.split('|').next());
            if url != Some(&questionnaire.url) {
                return Err(ResponseError::OtherQuestionnaire);
            }
        }
        let mut filling = Filling::new(questionnaire);
        read(of, &mut filling, 0)?;
        filling.follow();
        Ok(filling)
    }
}

/// Takes the items in `item` of an object.
fn read(of: &Map<String, Value>, filling: &mut Filling<'_>, depth: usize) -> Result<(), ResponseError> {
    let link_id = of.get("linkId").and_then(Value::as_str).unwrap_or_default();
    let malformed = || ResponseError::Malformed(link_id.to_owned());
    let Some(items) = of.get("item") else { return Ok(()) };
    // Items lie in answers, so each level of the questionnaire may be two here.
    if depth > 2 * MAX_DEPTH {
        return Err(malformed());
    }
    for item in items.as_array().ok_or_else(malformed)? {
        let item = item.as_object().ok_or_else(malformed)?;
        let link_id = item.get("linkId").and_then(Value::as_str).ok_or_else(malformed)?;
        let malformed = || ResponseError::Malformed(link_id.to_owned());
        let known = filling.questionnaire.item(link_id);
        let known = known.ok_or_else(|| AnswerError::Unknown(link_id.to_owned()))?;
        let written = match item.get("answer") {
            None => &Vec::new(),
            Some(written) => written.as_array().ok_or_else(malformed)?,
        };
        let mut answers = Vec::new();
        for answer in written {
            let answer = answer.as_object().ok_or_else(malformed)?;
            let value = Answer::read(answer, "value").map_err(|()| malformed())?.ok_or_else(malformed)?;
            let option = known.options.iter().find(|option| option.value.is(&value));
            answers.push(option.map_or(value, |option| option.value.clone()));
            read(answer, filling, depth + 1)?;
        }
        let is_taken = known.is_question() && !known.is_calculated();
        if is_taken || (known.kind == Kind::Group && !answers.is_empty()) {
            filling.take(link_id, answers)?;
        }
        read(item, filling, depth + 1)?;
    }
    Ok(())
}
