//! What the self-check says, in both languages, and codes for programs.

pub(super) use inference::triage::Language;
use inference::triage::{Ask, Assessment, Basis, Dialogue, Status, Urgency};

use super::heard::Heard;
use crate::cli::output;

/// What every answer says of itself.
pub(super) const LIMITS_EN: &str = "This is advice on how soon to get help, by rules with citations. It is no diagnosis, it is no medical device, and it can be wrong. If you feel it is more urgent than this says, act on your feeling.";
const LIMITS_ZH: &str = "以上按有出处的规则给出就医缓急的建议，不是诊断，也不是医疗器械，可能有误。如果您觉得情况更紧急，请按您的感觉行动。";

/// The language of the environment, as POSIX orders it.
pub(super) fn of_environment() -> Language {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    match set.into_iter().find(|value| !value.is_empty()) {
        Some(value) if value.starts_with("zh") => Language::Zh,
        _ => Language::En,
    }
}

pub(super) fn language_code(language: Language) -> &'static str {
    match language {
        Language::En => "en",
        Language::Zh => "zh",
    }
}

/// One of two texts.
pub(super) fn say(language: Language, en: &'static str, zh: &'static str) -> &'static str {
    match language {
        Language::En => en,
        Language::Zh => zh,
    }
}

pub(super) fn ask_code(ask: Ask) -> &'static str {
    match ask {
        Ask::Age => "age",
        Ask::Sex => "sex",
        Ask::Pregnant => "pregnant",
        Ask::Duration => "duration",
        Ask::Finding(finding) => finding.code(),
    }
}

pub(super) fn status_code(status: Status) -> &'static str {
    match status {
        Status::OtherPerson => "other_person",
        Status::Past => "past",
        Status::Denied => "denied",
        Status::Possible => "possible",
        Status::Uncertain => "uncertain",
        Status::Present => "present",
    }
}

pub(super) fn basis_code(basis: Basis) -> &'static str {
    match basis {
        Basis::Rules => "rules",
        Basis::Suggestion => "suggestion",
        Basis::NotEnoughKnown => "not_enough_known",
    }
}

fn headline(urgency: Urgency, language: Language) -> &'static str {
    match urgency {
        Urgency::Emergency => say(language, "EMERGENCY: get help now", "紧急：请立即求助"),
        Urgency::Clinician => say(language, "See a clinician", "请就医"),
        Urgency::SelfCare => say(language, "Can be looked after at home for now", "目前可以在家自我护理"),
    }
}

/// The verdict for people: what to do first, then why, then what would matter next.
pub(super) fn show(assessment: &Assessment, dialogue: &Dialogue, heard: &Heard, language: Language) {
    output::line(headline(assessment.urgency, language));
    output::line("");
    assessment.words(language).iter().for_each(|paragraph| output::line(paragraph));
    let mut guidelines: Vec<&str> = Vec::new();
    for guideline in assessment.advice.iter().filter_map(|it| it.first_aid.as_deref()) {
        if !guidelines.contains(&guideline) {
            guidelines.push(guideline);
        }
    }
    if !guidelines.is_empty() {
        output::line(say(
            language,
            "\nFirst aid in our own words, after:",
            "\n急救步骤由我们用自己的话写成，依据：",
        ));
        guidelines.iter().for_each(|guideline| output::line(&format!("  - {guideline}")));
    }
    if !assessment.reasons.is_empty() {
        output::line(match assessment.basis {
            Basis::Suggestion => {
                say(language, "\nIf you mean what is asked below:", "\n如果下面的问题正是您的意思：")
            }
            Basis::Rules | Basis::NotEnoughKnown => say(language, "\nWhy:", "\n原因："),
        });
        for reason in &assessment.reasons {
            output::line(&format!("  - {} [{}]", reason.text.text(language), reason.citation));
        }
    }
    if assessment.basis == Basis::NotEnoughKnown {
        output::line(say(
            language,
            "\nToo little is known to say that it can wait, so the careful answer stands.",
            "\n目前了解的情况还不足以判断可以等待，因此给出较谨慎的建议。",
        ));
    }
    let lines = dialogue.hand_off().lines(language);
    if !lines.is_empty() {
        let separator = say(language, ", ", "、");
        output::line(&format!("\n{}{}", say(language, "Understood: ", "已理解："), lines.join(separator)));
    }
    let empty = dialogue.known().findings().is_empty() && assessment.basis == Basis::NotEnoughKnown;
    if empty {
        output::line(say(
            language,
            "\nNo complaint was understood in this. Say in other words what is wrong, or answer questions: metaclinic triage",
            "\n没有从中理解到不适。请换一种说法，或逐步回答问题：metaclinic triage",
        ));
    } else if assessment.not_understood > 0 {
        output::line(say(
            language,
            "\nPart of the text was not understood; it is not taken into account.",
            "\n文字中有一部分未能理解，未予考虑。",
        ));
    }
    if !assessment.questions.is_empty() {
        output::line(say(language, "\nIt would help to know:", "\n还需要了解："));
        for question in &assessment.questions {
            output::line(&format!("  - {}", question.text.text(language)));
        }
    }
    output::line(&format!("\n{}", say(language, LIMITS_EN, LIMITS_ZH)));
    if let Some(note) = heard.note(language) {
        output::note(note);
    }
}
