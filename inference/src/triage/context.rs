//! What the words around a finding make of it, in English: denied, past, another person's, uncertain. In the
//! manner of NegEx and ConText (Chapman et al. 2001; Harkema et al. 2009): a cue opens a scope, and a word that
//! starts something new closes it. Where a sentence can be read both ways, the finding stays present.

use super::cues::{
    CHILDREN, CLOSES, DENIES, MAX_SENTENCE, NO_PAST, NOT, ONSETS, OVER, PAST, PAST_H, RELATIVES, REPORTS,
    STARTS, STILL, TELLS, UNITS, UNSURE,
};
use super::known::Status;
use super::lexicon::hides;
use super::measure::Span;
use super::pattern::Hit;
use super::tokens::{Kind, Token};

/// The words before a finding and after it, as far as they bear on it.
#[derive(Clone, Copy, Default, Debug)]
struct Around {
    denied: bool,
    past: bool,
    other: bool,
    unsure: bool,
}

/// The context of each token of a text.
pub(crate) struct Context<'a> {
    tokens: &'a [Token],
    around: Vec<Around>,
    /// Tokens that are part of a phrase, so that their "no" is not a cue.
    inside: Vec<bool>,
    speaks_of_self: bool,
}

/// Whether the "I" at this place only tells who reports of somebody else: "I am with her", "please help me".
fn stands_by(tokens: &[Token], at: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |it| it.word.as_str());
    if word(Some(at)) == "me" {
        return matches!(
            word(at.checked_sub(1)),
            "to" | "with" | "beside" | "told" | "tells" | "telling" | "called" | "help" | "asked" | "by"
        );
    }
    const BETWEEN: [&str; 8] = ["am", "was", "have", "do", "not", "just", "really", "also"];
    let next = (at + 1..at + 4).map(|at| word(Some(at))).find(|it| !BETWEEN.contains(it));
    next.is_some_and(|next| REPORTS.contains(&next))
}

impl<'a> Context<'a> {
    pub(crate) fn of(tokens: &'a [Token], hits: &[Hit], times: &[Span], has_patient: bool) -> Context<'a> {
        let mut inside = vec![false; tokens.len()];
        for hit in hits.iter().filter(|hit| hit.solid || hit.negative || hides(hit.owner)) {
            inside[hit.start..hit.end].fill(true);
        }
        let speaks_of_self = has_patient
            || (0..tokens.len()).any(|at| {
                matches!(tokens[at].word.as_str(), "i" | "i'm" | "i've" | "im" | "ive" | "me" | "myself")
                    && !stands_by(tokens, at)
            });
        let mut context =
            Context { tokens, around: vec![Around::default(); tokens.len()], inside, speaks_of_self };
        let mut start = 0;
        for at in 0..=tokens.len() {
            let ends = at == tokens.len() || tokens[at].kind == Kind::Stop;
            if ends || at - start >= MAX_SENTENCE {
                context.sentence(start, at);
                start = at + usize::from(ends);
            }
        }
        for time in times.iter().filter(|time| time.ago && time.hours >= PAST_H) {
            context.long_ago(time);
        }
        context
    }

    /// What the surroundings make of a phrase that says something is there.
    pub(crate) fn status(&self, start: usize, end: usize, background: bool, grave: bool) -> Status {
        let around = self.around[start];
        let after = self.after(end);
        if around.other {
            Status::OtherPerson
        } else if around.denied || after == Some(Status::Denied) {
            Status::Denied
        } else if !background && (around.past || after == Some(Status::Past) && !grave) {
            Status::Past
        } else if around.unsure {
            Status::Uncertain
        } else {
            Status::Present
        }
    }

    /// What the surroundings make of a clause without a phrase: another person's or past where any of its words is,
    /// else what they make of its last word.
    pub(crate) fn of_clause(&self, words: &[usize]) -> Status {
        let all = || words.iter().map(|at| self.status(*at, *at + 1, false, false));
        let away = all().find(|it| matches!(it, Status::OtherPerson | Status::Past));
        away.or_else(|| all().next_back()).unwrap_or(Status::Present)
    }

    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |it| it.word.as_str())
    }

    fn sentence(&mut self, start: usize, end: usize) {
        let mut denied: Option<bool> = None;
        for at in start..end {
            if self.tokens[at].kind == Kind::Comma {
                denied = denied.filter(|lists| self.continues(at, end, *lists));
            } else if self.closes(at) && !self.inside[at] {
                denied = None;
            } else if let Some(lists) = self.denies(at, end) {
                denied = Some(lists);
            }
            self.around[at].denied = denied.is_some();
            self.history(at, end);
            self.person(at, start, end);
            if self.is_unsure(at) {
                let to = self.clause_end(at, end);
                self.mark(at, to, |around| around.unsure = true);
            }
            let since = at > 0 && matches!(self.word(at - 1), "since" | "from");
            if PAST.contains(&self.word(at)) && !self.inside[at] && !since || self.is_once(at) {
                let (from, to) = (self.clause_start(at, start), self.clause_end(at, end));
                self.mark(from, to, |around| around.past = true);
            }
        }
    }

    /// Whether a denial opens here; true if it goes on over commas.
    fn denies(&self, at: usize, end: usize) -> Option<bool> {
        if self.inside[at] {
            return None;
        }
        let word = self.word(at);
        let (next, second) = (self.word(at + 1), self.word(at + 2));
        if DENIES.contains(&word) {
            let negative = word != "negative" && word != "absence" || matches!(next, "for" | "of");
            let twice = at > 0 && NOT.contains(&self.word(at - 1)) || matches!(next, "no" | "not");
            return (negative && !(twice && word != "none")).then_some(true);
        }
        if word == "free" && next == "of" || word == "ruled" && next == "out" {
            return Some(true);
        }
        if !NOT.contains(&word) || next == "," {
            return None;
        }
        let still = STILL.contains(&next) && !self.inside.get(at + 1).is_some_and(|it| *it)
            || (matches!(
                next,
                "any"
                    | "been"
                    | "be"
                    | "getting"
                    | "really"
                    | "much"
                    | "a"
                    | "it"
                    | "known"
                    | "seem"
                    | "clear"
                    | "sign"
            ) && STILL.contains(&second));
        let doubt = matches!(next, "sure" | "certain" | "idea" | "longer");
        let first_ever = word == "never"
            && (at..end).any(|it| matches!(self.word(it), "like" | "before" | "such" | "bad" | "worse"));
        let undone = at > 0 && word == "without" && NOT.contains(&self.word(at - 1));
        (!still && !doubt && !first_ever && !undone).then_some(false)
    }

    fn closes(&self, at: usize) -> bool {
        let word = self.word(at);
        if word == "with" {
            // "no problems with X" denies X; "no fever with a cough" does not deny the cough.
            return at == 0
                || !matches!(
                    self.word(at - 1),
                    "problem" | "problems" | "trouble" | "difficulty" | "issues"
                );
        }
        let starts_new = matches!(word, "and" | "just")
            && (STARTS.contains(&self.word(at + 1))
                || matches!(self.word(at + 1), "a" | "an" | "severe" | "new" | "also" | "worsening"));
        CLOSES.contains(&word) || starts_new
    }

    /// Whether a list of denied things goes on after this comma.
    fn continues(&self, comma: usize, end: usize, lists: bool) -> bool {
        if matches!(self.word(comma), "/" | ":" | "(" | ")") {
            return true;
        }
        let mut at = comma + 1;
        let mut in_first = true;
        while at < end && !CLOSES.contains(&self.word(at)) {
            let word = self.word(at);
            if STARTS.contains(&word) && in_first {
                return false;
            }
            if matches!(word, "or" | "nor") && !lists {
                return true;
            }
            if self.tokens[at].kind == Kind::Comma {
                if lists {
                    return true;
                }
                in_first = true;
            }
            at += 1;
        }
        lists
    }

    /// "History of", "used to", "no longer".
    fn history(&mut self, at: usize, end: usize) {
        let (word, next) = (self.word(at), self.word(at + 1));
        let before = if at > 0 { self.word(at - 1) } else { "" };
        let family = word == "family" && matches!(next, "history" | "members" | "member") || word == "fh";
        if family {
            let to = (at..end)
                .find(|it| matches!(self.word(*it), "but" | "however" | "presents" | "now"))
                .unwrap_or(end);
            self.mark(at, to, |around| around.other = true);
            return;
        }
        let past = match word {
            "history" => {
                let present = UNITS.contains(&before)
                    || NO_PAST.contains(&before)
                    || next == "of" && self.word(at + 2) == "present";
                !present && (next == "of" || matches!(before, "medical" | "past" | "surgical") || next == ":")
            }
            "used" => next == "to",
            "longer" => before == "no",
            "h" => next == "/" && self.word(at + 2) == "o",
            _ => false,
        };
        if past {
            let to = (at + 1..end).find(|it| {
                let starts = STARTS.contains(&self.word(*it))
                    || matches!(self.word(*it), "but" | "who" | "however" | "with");
                starts && *it > at + 2
                    || self.tokens[*it].kind == Kind::Comma && word != "history" && self.word(*it) == ","
            });
            self.mark(at, to.unwrap_or(end), |around| around.past = true);
        }
    }

    fn person(&mut self, at: usize, start: usize, end: usize) {
        let word = self.word(at);
        let is_child = CHILDREN.contains(&word);
        if !RELATIVES.contains(&word) && !is_child || self.inside[at] {
            return;
        }
        let before: Vec<&str> = (at.saturating_sub(3).max(start)..at).map(|it| self.word(it)).collect();
        let owned = before.iter().any(|it| matches!(*it, "my" | "his" | "her" | "their" | "our"));
        let tells = (at + 1..(at + 4).min(end)).any(|it| TELLS.contains(&self.word(it)));
        // "A 30-year-old mother" is the patient.
        let described =
            before.iter().any(|it| matches!(*it, "old" | "a" | "an" | "new" | "young" | "pregnant"));
        let beside = before
            .iter()
            .any(|it| matches!(*it, "by" | "with" | "tell" | "told" | "from" | "to" | "for" | "than"));
        if tells || beside || described && !owned || is_child && !owned {
            return;
        }
        let now = (at + 1..end).take(4).any(|it| {
            matches!(
                self.word(it),
                "has"
                    | "is"
                    | "cannot"
                    | "keeps"
                    | "feels"
                    | "suddenly"
                    | "just"
                    | "looks"
                    | "started"
                    | "complains"
                    | "woke"
                    | "collapsed"
                    | "swallowed"
                    | "took"
                    | "fell"
            )
        });
        let is_patient = !self.speaks_of_self && (is_child || now);
        if is_patient {
            return;
        }
        if before.contains(&"in") {
            let from = self.clause_start(at, start);
            self.mark(from, at, |around| around.other = true);
        }
        let to = self.clause_end(at, end);
        self.mark(at, to, |around| around.other = true);
    }

    fn is_unsure(&self, at: usize) -> bool {
        let word = self.word(at);
        let case = word != "case" || at > 0 && self.word(at - 1) == "in";
        UNSURE.contains(&word) && case
            || matches!(word, "sure" | "certain") && at > 0 && self.word(at - 1) == "not"
    }

    /// "In the past", "last year", "as a child".
    fn is_once(&self, at: usize) -> bool {
        match self.word(at) {
            "past" => {
                at > 1 && self.word(at - 1) == "the" && self.word(at - 2) == "in" && !self.names_time(at + 1)
            }
            "last" => matches!(self.word(at + 1), "year" | "summer" | "winter" | "spring" | "autumn"),
            "as" => {
                self.word(at + 1) == "a" && matches!(self.word(at + 2), "child" | "kid" | "teenager" | "baby")
            }
            _ => false,
        }
    }

    /// "In the past two days" is now.
    fn names_time(&self, at: usize) -> bool {
        (at..at + 3)
            .any(|it| UNITS.contains(&self.word(it)) || matches!(self.word(it), "few" | "couple" | "several"))
    }

    fn long_ago(&mut self, time: &Span) {
        let Some(at) = self.tokens.iter().position(|it| it.start >= time.start) else { return };
        let start = (0..at).rev().find(|it| self.tokens[*it].kind == Kind::Stop).map_or(0, |it| it + 1);
        let end = (at..self.tokens.len())
            .find(|it| self.tokens[*it].kind == Kind::Stop)
            .unwrap_or(self.tokens.len());
        let (from, to) = (self.clause_start(at, start), self.clause_end(at, end));
        if (from..to).all(|it| !ONSETS.contains(&self.word(it))) {
            self.mark(from, to, |around| around.past = true);
        }
    }

    fn breaks(&self, at: usize) -> bool {
        let new_subject =
            self.word(at) == "and" && (STARTS.contains(&self.word(at + 1)) || self.word(at + 1) == "my");
        self.tokens[at].word == ","
            || matches!(self.word(at), "but" | "however" | "though" | "although")
            || new_subject
    }

    fn clause_start(&self, at: usize, start: usize) -> usize {
        (start..at).rev().find(|it| self.breaks(*it)).map_or(start, |it| it + 1)
    }

    fn clause_end(&self, at: usize, end: usize) -> usize {
        (at..end).find(|it| self.breaks(*it)).unwrap_or(end)
    }

    /// "Fever: no", "cough was absent", "the rash has gone".
    fn after(&self, end: usize) -> Option<Status> {
        let mut negated = false;
        for at in end..(end + 4).min(self.tokens.len()) {
            let word = self.word(at);
            if self.tokens[at].kind == Kind::Stop || word == "," || CLOSES.contains(&word) && word != "then" {
                return None;
            }
            if word == "no" && at > 0 && self.word(at - 1) == ":" || matches!(word, "absent" | "denied") {
                return Some(Status::Denied);
            }
            negated |= NOT.contains(&word) || word == "cannot";
            if OVER.contains(&word) && !negated && (word != "stopped" || at <= end + 1) {
                return Some(Status::Past);
            }
        }
        None
    }

    fn mark(&mut self, from: usize, to: usize, change: impl Fn(&mut Around)) {
        for around in &mut self.around[from..to.max(from)] {
            change(around);
        }
    }
}
