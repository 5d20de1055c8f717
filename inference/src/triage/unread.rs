//! How much of a text was passed over, in parts smaller than clauses: "a runny nose and a sunken soft spot" is one part
//! understood and one not. Only for those of whom nothing may be passed over; for all others a strange word is likely a
//! filler.

use super::measure::{self, Span};
use super::pattern::is_empty_word;
use super::text::Place;
use super::tokens::{Folded, Kind, Token, is_han, mark};

/// Words at which a clause goes on to something else.
const JOINS: &[&str] = &["and", "but", "with", "plus", "also", "while", "then"];
const HAN_JOINS: &[&str] = &["而且", "并且", "还有", "以及", "同时", "但是", "不过", "另外"];
/// Chinese letters of a part that count as something said.
const LEAST_HAN: usize = 2;

/// Words that say who, when and how much, or are courtesy; what is unwell they do not say.
const FILLERS: &[&str] = &[
    "ago",
    "any",
    "baby",
    "began",
    "begin",
    "bit",
    "boy",
    "can",
    "child",
    "come",
    "comes",
    "dad",
    "daughter",
    "day",
    "daughters",
    "days",
    "do",
    "doctor",
    "does",
    "evening",
    "everything",
    "father",
    "few",
    "girl",
    "grandson",
    "granddaughter",
    "hello",
    "help",
    "hi",
    "hour",
    "hours",
    "infant",
    "kid",
    "lady",
    "last",
    "little",
    "lot",
    "man",
    "male",
    "female",
    "month",
    "months",
    "more",
    "morning",
    "mother",
    "mum",
    "mom",
    "much",
    "no",
    "none",
    "not",
    "now",
    "nothing",
    "else",
    "old",
    "only",
    "or",
    "our",
    "patient",
    "please",
    "said",
    "says",
    "she's",
    "he's",
    "should",
    "since",
    "son",
    "start",
    "started",
    "still",
    "thank",
    "thanks",
    "time",
    "times",
    "today",
    "toddler",
    "tonight",
    "two",
    "three",
    "four",
    "five",
    "six",
    "one",
    "we",
    "week",
    "weeks",
    "what",
    "who",
    "without",
    "woman",
    "worried",
    "year",
    "years",
    "yesterday",
    "night",
    "yo",
    "you",
    "boys",
    "girls",
    "know",
    "don't",
    "think",
    "there",
    "about",
    "around",
    "twice",
    "once",
    "named",
    "called",
    "aged",
    "age",
    "been",
    "will",
    "would",
    "could",
    "if",
    "because",
];
const HAN_FILLERS: &[&str] = &[
    "宝宝",
    "宝贝",
    "孩子",
    "小孩",
    "儿子",
    "女儿",
    "婴儿",
    "男孩",
    "女孩",
    "男童",
    "女童",
    "男婴",
    "女婴",
    "医生",
    "您好",
    "你好",
    "请问",
    "怎么办",
    "怎么回事",
    "谢谢",
    "昨天",
    "今天",
    "前天",
    "昨晚",
    "今早",
    "早上",
    "晚上",
    "现在",
    "开始",
    "已经",
    "有点",
    "一点",
    "我家",
    "我们",
    "孙子",
    "孙女",
    "患者",
    "大概",
    "左右",
    "没有",
    "其他",
    "其它",
    "症状",
    "不适",
    "应该",
    "需要",
    "可以",
    "感觉",
    "出现",
    "刚刚",
    "突然",
    "一直",
    "今年",
    "大了",
    "娃",
    "我",
    "他",
    "她",
    "的",
    "了",
    "有",
    "也",
    "就",
    "很",
    "都",
    "是",
    "在",
    "个",
    "这",
    "和",
    "又",
    "还",
    "岁",
    "周",
    "月",
    "天",
    "半",
    "大",
    "两",
    "一",
    "二",
    "三",
    "四",
    "五",
    "六",
    "七",
    "八",
    "九",
    "十",
    "前",
    "后",
    "小时",
    "多",
    "次",
    "没",
    "无",
    "不",
    "吗",
    "呢",
];

/// Beginnings of words by which people tell that somebody is otherwise as always; with a denial beside them they tell the
/// opposite, and count as not read.
const WELL: &[&str] = &[
    "active",
    "alert",
    "appetite",
    "behav",
    "bottle",
    "breastfe",
    "cheerful",
    "diaper",
    "drink",
    "drunk",
    "eat",
    "energy",
    "feed",
    "fine",
    "fluid",
    "good",
    "happ",
    "milk",
    "napp",
    "normal",
    "okay",
    "otherwise",
    "pee",
    "play",
    "sleep",
    "smil",
    "urin",
    "usual",
    "water",
    "well",
    "wet",
];
const HAN_WELL: &[&str] = &[
    "精神", "状态", "胃口", "食欲", "尿量", "小便", "大便", "正常", "如常", "喝水", "喝奶", "吃奶", "吃喝",
    "吃饭", "睡觉", "玩耍", "活泼", "能", "会", "吃", "喝", "玩", "睡", "好", "尿",
];
const DENIALS: &[&str] = &[
    "not", "no", "never", "without", "hardly", "barely", "stopped", "less", "cannot", "nothing", "refuses",
    "unable",
];

/// Parts of the text that say something and touch nothing that was understood.
pub(super) fn count(folded: &Folded, tokens: &[Token], places: &[Place], times: &[Span]) -> usize {
    let text = folded.text.as_str();
    let known = |from: usize, to: usize| {
        places.iter().any(|it| it.start < to && from < it.end)
            || times.iter().any(|it| it.start < to && from < it.end)
    };
    parts(text, tokens)
        .into_iter()
        .filter(|(from, to)| {
            let understood = places.iter().any(|it| it.start < *to && *from < it.end)
                || !measure::measures(&text[*from..*to]).is_empty();
            !understood && (has_word(tokens, *from, *to, known) || has_han(text, *from, *to, known))
        })
        .count()
}

fn has_word(tokens: &[Token], from: usize, to: usize, known: impl Fn(usize, usize) -> bool) -> bool {
    let inside = || tokens.iter().filter(|it| from <= it.start && it.end <= to);
    let denied = inside().any(|it| DENIALS.contains(&it.word.as_str()) || it.word.ends_with("n't"));
    let well = |word: &str| !denied && WELL.iter().any(|beginning| word.starts_with(beginning));
    inside().any(|it| {
        it.kind == Kind::Word
            && it.word.len() > 1
            && !it.word.contains(|letter: char| letter.is_ascii_digit())
            && !is_empty_word(&it.word)
            && !FILLERS.contains(&it.word.as_str())
            && !JOINS.contains(&it.word.as_str())
            && !well(&it.word)
            && !known(it.start, it.end)
    })
}

fn has_han(text: &str, from: usize, to: usize, known: impl Fn(usize, usize) -> bool) -> bool {
    let left =
        text[from..to].char_indices().filter(|(at, it)| is_han(*it) && !known(from + at, from + at + 1));
    let mut left: String = left.map(|(_, it)| it).collect();
    let denied = left.contains(['不', '没', '无', '少', '拒']);
    for filler in HAN_WELL.iter().filter(|_| !denied).chain(HAN_FILLERS) {
        left = left.replace(filler, "");
    }
    left.chars().count() >= LEAST_HAN
}

/// The text cut at its marks and at words that join.
fn parts(text: &str, tokens: &[Token]) -> Vec<(usize, usize)> {
    let mut cuts: Vec<usize> =
        text.char_indices().filter(|(_, it)| mark(*it).is_some()).map(|it| it.0).collect();
    cuts.extend(tokens.iter().filter(|it| JOINS.contains(&it.word.as_str())).map(|it| it.start));
    cuts.extend(HAN_JOINS.iter().flat_map(|join| text.match_indices(join).map(|it| it.0)));
    cuts.push(text.len());
    cuts.sort_unstable();
    let mut from = 0;
    let cut = cuts.into_iter().filter_map(|to| {
        let part = (from < to).then_some((from, to));
        from = to;
        part
    });
    cut.collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Language, read_text};

    fn check(text: &str, unread: bool) {
        let understood = read_text(text, Language::En).unwrap();
        assert_eq!(understood.unread > 0, unread, "{text}: {}", understood.unread);
    }

    #[test]
    fn a_strange_word_beside_a_known_one_is_not_passed_over() {
        check("He has a runny nose and his wings are octarine", true);
        check("runny nose, glimmering", true);
        check(
            "My 3-year-old daughter has had a runny nose since yesterday, no fever. Please help, what should I do?",
            false,
        );
        check("2-year-old boy, cough for two days, temperature 37.2", false);
        check("宝宝两岁，流鼻涕，囟门凹下去了", true);
        check("宝宝两岁，流鼻涕两天，没有发烧。请问怎么办？", false);
    }

    #[test]
    fn who_is_otherwise_well_was_understood_and_who_is_not_was_not() {
        check("A 4-year-old girl has a runny nose; she drinks and pees normally, and is playing.", false);
        check("She has a runny nose, she is never smiling", true);
        check("She has a runny nose. Her bottle stays full", true);
        check("孩子4岁，流鼻涕，精神好，能喝水", false);
        check("孩子4岁，流鼻涕，精神不好", true);
    }
}
