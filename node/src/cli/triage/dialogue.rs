//! The self-check as a dialogue on a terminal. Nothing of it is kept.

use std::io::{self, BufRead, Write};

use inference::triage::{Answer, Ask, Dialogue, Known, MAX_QUESTIONS, Person, Question, Sex, Urgency};

use super::heard::Heard;
use super::words::{self, Language, say};
use crate::cli::output;
use crate::service::problem::{Problem, Tried};

/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 64 * 1024;

pub(super) fn run(person: Person, mut known: Known, language: Language) -> Result<(), Problem> {
    output::line(say(
        language,
        "Self-check: how soon to get help. It is no diagnosis. If you think it is an emergency, stop here and call your local \
         emergency number.\nAnswer y (yes), n (no) or ? (do not know); an empty line means do not know, Ctrl-D ends. \
         Nothing is kept.\n",
        "自我检查：帮助判断就医的缓急，不是诊断。如果您认为情况紧急，请不要继续，立即拨打当地急救电话（中国大陆：120）。\n\
         请回答 y（是）、n（否）或 ?（不知道）；空行表示不知道，Ctrl-D 结束。内容不会保存。\n",
    ));
    let mut heard = Heard::default();
    if let Some(text) =
        ask(say(language, "What is wrong, in your own words?", "请用您自己的话说说哪里不舒服："))?
    {
        heard = Heard::of(&text, language, &mut known)?;
    }
    let mut dialogue = Dialogue::new(person, known, MAX_QUESTIONS);
    let mut who = person;
    while let Some(question) = dialogue.next_questions(1).into_iter().next() {
        if !answer(&mut dialogue, &mut who, &question, language)? {
            break;
        }
        if dialogue.assess().urgency == Urgency::Emergency {
            break;
        }
    }
    output::line("");
    words::show(&dialogue.assess(), &dialogue, &heard, language);
    Ok(())
}

/// Asks one question; false when the person has ended the dialogue.
fn answer(
    dialogue: &mut Dialogue,
    who: &mut Person,
    question: &Question,
    language: Language,
) -> Result<bool, Problem> {
    let text = format!("{} ({})", question.text.text(language), question.why.text(language));
    loop {
        let Some(said) = ask(&text)? else { return Ok(false) };
        let said = said.trim().to_lowercase();
        let yes = match said.as_str() {
            "y" | "yes" | "是" | "有" => Some(Answer::Yes),
            "n" | "no" | "否" | "没有" | "不是" => Some(Answer::No),
            "" | "?" | "？" | "不知道" => Some(Answer::Unknown),
            _ => None,
        };
        let number = said.parse::<f64>().ok();
        match (question.ask, yes, number) {
            (Ask::Age, _, Some(years)) if (0.0..=125.0).contains(&years) => who.age_years = Some(years),
            (Ask::Sex, ..) if matches!(said.as_str(), "f" | "female" | "w" | "女") => {
                who.sex = Some(Sex::Female);
            }
            (Ask::Sex, ..) if matches!(said.as_str(), "m" | "male" | "男") => who.sex = Some(Sex::Male),
            (Ask::Pregnant, Some(Answer::Yes), _) => who.pregnant = Some(true),
            (Ask::Pregnant, Some(Answer::No), _) => who.pregnant = Some(false),
            (Ask::Duration, _, Some(days)) if (0.0..=36_500.0).contains(&days) => {
                dialogue.lasts(Some(days * 24.0)).tried("take the duration")?;
                return Ok(true);
            }
            (Ask::Duration, Some(Answer::Unknown), _) => {
                dialogue.lasts(None).tried("take the duration")?;
                return Ok(true);
            }
            (Ask::Age | Ask::Sex | Ask::Pregnant, Some(Answer::Unknown), _) => {}
            (Ask::Finding(finding), Some(yes), _) => {
                dialogue.answer(finding, yes);
                return Ok(true);
            }
            (ask, ..) => {
                output::line(hint(ask, language));
                continue;
            }
        }
        dialogue.learn(question.ask, *who);
        return Ok(true);
    }
}

fn hint(ask: Ask, language: Language) -> &'static str {
    match ask {
        Ask::Age => say(language, "A number of years, or ?", "请输入岁数，或 ?"),
        Ask::Sex => say(language, "f (female), m (male), or ?", "女、男，或 ?"),
        Ask::Duration => say(language, "A number of days, or ?", "请输入天数，或 ?"),
        Ask::Pregnant | Ask::Finding(_) => say(language, "y, n or ?", "请输入 y、n 或 ?"),
    }
}

/// One line from the person; nothing when they have ended it.
fn ask(text: &str) -> Result<Option<String>, Problem> {
    output::line(text);
    output::bytes(b"> ").tried("ask")?;
    io::stdout().flush().tried("ask")?;
    let mut line = String::new();
    let read =
        io::Read::take(io::stdin().lock(), MAX_LINE_BYTES).read_line(&mut line).tried("read the answer")?;
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}
