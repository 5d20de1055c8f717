//! The terms of a text: English words without their endings, Chinese as pairs of neighbouring characters.
//!
//! Chinese has no spaces; pairs find words nearly as well as cutting by a dictionary does (Nie et al., 2000,
//! "On the use of words and n-grams for Chinese information retrieval").

use unicode_normalization::UnicodeNormalization;

/// Words that say nothing of what is asked, in order.
const STOP_WORDS: [&str; 88] = [
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "being", "but", "by", "can",
    "could", "did", "do", "does", "for", "from", "get", "had", "has", "have", "he", "her", "his", "how", "i",
    "if", "in", "into", "is", "it", "its", "ll", "m", "me", "more", "most", "much", "my", "no", "not", "of",
    "on", "or", "our", "out", "re", "s", "she", "should", "so", "some", "such", "t", "tell", "than", "that",
    "the", "their", "them", "there", "these", "they", "this", "those", "to", "up", "us", "ve", "was", "we",
    "were", "what", "when", "where", "which", "who", "whom", "why", "will", "with", "would", "you", "your",
];

/// The same in Chinese, where they part what stands around them: "how", "what", "may I", particles. Longer ones first.
const STOP_PHRASES: [&str; 27] = [
    "能不能",
    "是不是",
    "有没有",
    "为什么",
    "怎么办",
    "怎么样",
    "怎么",
    "怎样",
    "什么",
    "如何",
    "是否",
    "请问",
    "可以",
    "应该",
    "多少",
    "哪些",
    "哪里",
    "告诉",
    "的",
    "了",
    "吗",
    "呢",
    "吧",
    "我",
    "你",
    "您",
    "是",
];

/// Terms that a text is looked at for at most.
const MAX_TERMS: usize = 4_096;

/// The terms of a text in order, with repetitions.
pub(crate) fn terms(text: &str) -> Vec<String> {
    let mut text: String = text.nfkc().flat_map(char::to_lowercase).collect();
    if text.contains(is_cjk) {
        text = STOP_PHRASES.iter().fold(text, |text, phrase| text.replace(phrase, " "));
    }
    let mut terms = Vec::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        if terms.len() >= MAX_TERMS {
            break;
        }
        let is_like_first: fn(char) -> bool = match first {
            c if is_cjk(c) => is_cjk,
            c if c.is_alphanumeric() => |c| c.is_alphanumeric() && !is_cjk(c),
            _ => |c| !c.is_alphanumeric(),
        };
        let (run, after) = rest.split_at(rest.find(|c| !is_like_first(c)).unwrap_or(rest.len()));
        rest = after;
        if is_cjk(first) {
            push_pairs(run, &mut terms);
        } else if first.is_alphanumeric() && STOP_WORDS.binary_search(&run).is_err() {
            terms.push(stem(run).to_owned());
        }
    }
    terms
}

/// The pairs of neighbours in a run of characters; one that stands alone is a term by itself.
fn push_pairs(run: &str, terms: &mut Vec<String>) {
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain(Some(run.len())).collect();
    if starts.len() == 2 {
        terms.push(run.to_owned());
    }
    terms.extend(starts.windows(3).map(|pair| run[pair[0]..pair[2]].to_owned()));
}

/// Drops the ending of an English plural, and next to nothing else ("s-stemmer": Harman, "How effective is suffixing?",
/// JASIS 1991). Names of diseases suffer from more.
fn stem(word: &str) -> &str {
    let without = |end: &str, not: &[&str]| {
        word.strip_suffix(end).filter(|_| word.len() > 3 && !not.iter().any(|other| word.ends_with(other)))
    };
    // "allergies" and "allergy" meet without their last letters; the usual "y" would have to be made anew.
    if let Some(stem) = without("ies", &["eies", "aies"]).or_else(|| without("y", &["ay", "ey", "oy", "uy"]))
    {
        return stem;
    }
    without("s", &["us", "ss", "is"]).unwrap_or(word)
}

/// Han characters.
pub(crate) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(terms(text), expected, "{text}");
    }

    #[test]
    fn words_lose_plurals_and_chinese_becomes_pairs() {
        check("What are the Symptoms of allergies?", &["symptom", "allerg"]);
        check("allergy", &["allerg"]);
        check("Crohn's disease, COVID-19", &["crohn", "disease", "covid", "19"]);
        check("viruses status kiss pus", &["viruse", "status", "kiss", "pus"]);
        check("孩子发热怎么办", &["孩子", "子发", "发热"]);
        check("头疼吗？", &["头疼"]);
        check("我的癌", &["癌"]);
        check("ＣＴ检查", &["ct", "检查"]);
        check("", &[]);
        assert!(STOP_WORDS.is_sorted());
    }

    proptest! {
        #[test]
        fn any_text_has_terms_within_the_limit(text in any::<String>()) {
            prop_assert!(terms(&text).iter().all(|term| !term.is_empty()));
        }
    }
}
