//! Numbers in free text: how long, how hot, how old, and other measures with their units.

use std::sync::LazyLock;

use regex::Regex;

use super::known::Measure;

/// A time that a text names, at a byte of the folded text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) hours: f64,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether it says how long ago, not how long.
    pub(crate) ago: bool,
}

const DAY_H: f64 = 24.0;
const NUMBER: &str = r"(?:[0-9]{1,3}(?:\.[0-9]+)?|a couple(?: of)?|couple of|a few|few|several|half an?|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|many)";
const HAN_NUMBER: &str = "(?:[0-9]{1,3}(?:\\.[0-9]+)?|半|十[一二三四五六七八九]?|[二三四五六七八九]十|[一二两三四五六七八九]|几|数|好几|多)";

/// A count in digits or in Chinese numerals below a hundred.
const HAN_COUNT: &str = "([0-9]{1,3}|[一二两三四五六七八九]?十[一二三四五六七八九]?|[一二两三四五六七八九])";
/// Who is meant when a count of months follows.
const HAN_CHILD: &str = "(?:宝宝|宝贝|婴儿|孩子|儿子|女儿|小孩|娃娃|娃|小宝|毛毛)";

/// After a count of days or months these make a time of it: "三天大便不通", "孩子两个月前".
const NO_AGE: [char; 5] = ['便', '前', '来', '没', '都'];

struct Patterns {
    time: Regex,
    han_time: Regex,
    named: Vec<(Regex, f64)>,
    age: Vec<(Regex, f64)>,
    han_age: Vec<(Regex, f64)>,
    newborn: Regex,
    temperature: Vec<Regex>,
    pressure: Regex,
    gestation: Vec<(Regex, f64)>,
    plain: Vec<(Regex, Measure)>,
    glucose: Regex,
}

/// Every pattern is a constant of this file.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this module are compiled by its tests")
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    Patterns {
    time: regex(&format!(
        r"(?-u:\b)({NUMBER})(?: ?(?:-|to|or) ?({NUMBER}))?[ -]*(?:more |full |whole |consecutive )?(minute|min|hour|hr|day|week|wk|month|year|yr)s?(?-u:\b)"
    )),
    han_time: regex(&format!(
        "({HAN_NUMBER})(?:[-~到至]{HAN_NUMBER})?多?个?(半)?多?(分钟|小时|钟头|天|日|周|星期|礼拜|月|年)"
    )),
    named: [
        (r"since (?:this morning|today)|this morning|(?-u:\b)today(?-u:\b)|tonight|今天|今早|今晨|早上|刚才|刚刚", 6.0),
        (r"last night|overnight|昨晚|昨夜", 12.0),
        (r"yesterday|昨天|昨日", 24.0),
        (r"前天", 48.0),
        (r"since last week|past week|last week|上周|上星期", 7.0 * DAY_H),
        (r"since (?:last month|a month)|past month|上个月", 30.0 * DAY_H),
        (r"since (?:childhood|birth|last year)|for years|past year|all (?:his|her|my) life|自幼|从小|多年", 365.0 * DAY_H),
    ]
    .map(|(pattern, hours)| (regex(pattern), hours))
    .into(),
    age: [
        (r"([0-9]{1,3}(?:\.[0-9])?)[ -]*(?:years?|yrs?)[ -]*(?:old|of age)", 1.0),
        (r"([0-9]{1,3})[ -]*(?:y/o|yo|y\.o\.)(?-u:\b)", 1.0),
        (r"([0-9]{1,2})[ -]*months?[ -]*(?:old|of age)", 1.0 / 12.0),
        (r"([0-9]{1,2})[ -]*(?:weeks?|wks?)[ -]*(?:old|of age)", 7.0 / 365.25),
        (r"([0-9]{1,2})[ -]*days?[ -]*(?:old|of age)", 1.0 / 365.25),
        (r"(?-u:\b)(?:age|aged|i am|i'm|im)(?: is|:)? ?([0-9]{1,3})(?-u:\b)", 1.0),
        (r"(?:mom|mum|mother|dad|father|wife|husband|son|daughter|grandma|grandpa|grandmother|grandfather|partner|brother|sister|baby|child|he|she)(?: is|,) ?([0-9]{1,3})(?-u:\b)", 1.0),
        (r"^ *([0-9]{1,3}) ?(?:f|m|female|male)(?-u:\b)", 1.0),
    ]
    .map(|(pattern, years)| (regex(pattern), years))
    .into(),
    han_age: [
        (format!("{HAN_COUNT}[多来]?周?岁"), 1.0),
        (format!("{HAN_COUNT}个?月(?:大|龄|的{HAN_CHILD})"), 1.0 / 12.0),
        (format!("{HAN_CHILD},?(?:才|刚满|刚|只有|快|今年|现在|已经){{0,2}}{HAN_COUNT}个月"), 1.0 / 12.0),
        (format!("{HAN_COUNT}周大"), 7.0 / 365.25),
        (format!("(?:出生|生后){HAN_COUNT}天"), 1.0 / 365.25),
        (format!("{HAN_COUNT}天大"), 1.0 / 365.25),
    ]
    .map(|(pattern, years)| (regex(&pattern), years))
    .into(),
    newborn: regex(r"newborn|neonate|新生儿|new born"),
    temperature: [
        r"([0-9]{2,3}(?:\.[0-9]+)?) ?(?:°|degrees?|deg\.?)? ?(?:c|f|celsius|fahrenheit)(?-u:\b)",
        r"([0-9]{2,3}(?:\.[0-9]+)?) ?(?:°|degrees|度)",
        r"(?:temp(?:erature)?|fever|体温|烧到?|发热)(?: |of|is|was|to|at|up|reaching|about|around|:|到|为|是|高达|最高){0,6}([0-9]{2,3}(?:\.[0-9]+)?)",
    ]
    .map(regex)
    .into(),
    pressure: regex(r"([0-9]{2,3}) ?/ ?([0-9]{2,3})( ?mm)?"),
    gestation: [
        (r"([0-9]{1,2})(?:\+[0-9])?[ -]*(?:weeks?|wks?)'?(?: of| into)?(?: her| my| the)?[ -]*(?:gestation|pregnan|gravid)", 1.0),
        (r"pregnan[a-z]*[^0-9.\n;]{0,16}([0-9]{1,2})[ -]*(?:weeks?|wks?)", 1.0),
        (r"gestation[a-z]*[^0-9.\n;]{0,16}([0-9]{1,2})[ -]*(?:weeks?|wks?)", 1.0),
        (r"([0-9])[ -]*months?[ -]*pregnan", 4.35),
        ("孕(?:期)?([0-9]{1,2})\\+?[0-9]?周", 1.0),
        ("孕(?:期)?([0-9])个?月", 4.35),
    ]
    .map(|(pattern, weeks)| (regex(pattern), weeks))
    .into(),
    plain: [
        (r"([0-9]{1,2})(?:\.[0-9])? ?(?:/|out of|on a scale of) ?(?:a )?10(?-u:\b)", Measure::Pain),
        (r"(?:疼痛|痛)[^0-9。\n;,]{0,9}([0-9]{1,2})分", Measure::Pain),
        (r"(?:heart rate|pulse(?: rate)?|(?-u:\b)hr|心率|脉搏)[^0-9\n.;]{0,20}([0-9]{2,3})", Measure::HeartRatePerMin),
        (r"([0-9]{2,3}) ?(?:bpm|beats)", Measure::HeartRatePerMin),
        (r"(?:respiratory rate|(?-u:\b)rr|respirations?|breathing rate|呼吸频率)[^0-9\n.;]{0,20}([0-9]{1,3})", Measure::BreathsPerMin),
        (r"([0-9]{1,3}) ?breaths", Measure::BreathsPerMin),
        (r"(?:sp ?o2|sa ?o2|o2 sat[a-z]*|oxygen sat[a-z]*|oxygen level|(?-u:\b)sats?|saturation|血氧(?:饱和度)?)[^0-9\n.;]{0,20}([0-9]{2,3})(?:\.[0-9])?", Measure::Spo2Percent),
    ]
    .map(|(pattern, measure)| (regex(pattern), measure))
    .into(),
    glucose: regex(r"(?:glucose|blood sugar|sugar level|血糖)[^0-9\n;]{0,24}([0-9]{1,4}(?:\.[0-9]+)?) ?(mmol|mg)?"),
}
});

/// Every time that the text names, in order, without ages and frequencies.
pub(crate) fn times(text: &str) -> Vec<Span> {
    let patterns = &*PATTERNS;
    let mut found = Vec::new();
    for capture in patterns.time.captures_iter(text) {
        let (Some(all), Some(unit)) = (capture.get(0), capture.get(3)) else { continue };
        let count = capture.get(2).or(capture.get(1)).and_then(|it| count(it.as_str()));
        if let Some(count) = count.filter(|_| is_time(text, all.start(), all.end())) {
            let ago = text[all.end()..].trim_start().starts_with("ago");
            found.push(Span {
                hours: count * unit_h(unit.as_str()),
                start: all.start(),
                end: all.end(),
                ago,
            });
        }
    }
    let ages: Vec<_> = patterns.han_age.iter().flat_map(|(pattern, _)| pattern.find_iter(text)).collect();
    for capture in patterns.han_time.captures_iter(text) {
        let (Some(all), Some(number), Some(unit)) = (capture.get(0), capture.get(1), capture.get(3)) else {
            continue;
        };
        let (before, after) = (&text[..all.start()], &text[all.end()..]);
        let no_time = before.ends_with(['每', '第', '孕'])
            || after.starts_with(['龄', '岁'])
            || after.starts_with('大') && !after.starts_with("大便");
        let is_age = ages.iter().any(|it| {
            it.start() < all.end() && all.start() < it.end() && !text[it.end()..].starts_with(NO_AGE)
        });
        if no_time
            || is_age
            || before.ends_with("出生")
            || before.ends_with("怀孕")
            || after.starts_with("内")
        {
            continue;
        }
        if let Some(count) = count(number.as_str()) {
            let count = if capture.get(2).is_some() { count + 0.5 } else { count };
            let ago = after.starts_with('前') || after.starts_with("以前") || after.starts_with("之前");
            found.push(Span {
                hours: count * unit_h(unit.as_str()),
                start: all.start(),
                end: all.end(),
                ago,
            });
        }
    }
    for (pattern, hours) in &patterns.named {
        let all = pattern.find_iter(text);
        found.extend(all.map(|it| Span { hours: *hours, start: it.start(), end: it.end(), ago: false }));
    }
    found.sort_by_key(|span| span.start);
    found
}

/// The age in years, and the byte at which it stands.
pub(crate) fn age_years(text: &str) -> Option<(f64, usize)> {
    let found = PATTERNS.age.iter().chain(&PATTERNS.han_age).filter_map(|(pattern, years)| {
        let capture = pattern.captures(text)?;
        let number = capture.get(1)?;
        let age = count(number.as_str())? * years;
        let rest = text[capture.get(0)?.end()..].trim_start_matches([' ', '-']);
        // "I am 8 weeks pregnant" tells no age.
        let other = [
            "week", "month", "day", "hour", "kg", "lb", "pound", "kilo", "cm", "feet", "/", "%", "°",
            "minute",
        ];
        let other = *years >= 1.0 && other.iter().any(|it| rest.starts_with(it));
        let other = other || rest.starts_with(NO_AGE);
        (age <= 125.0 && !other).then_some((age, number.start()))
    });
    let first = found.min_by_key(|(_, start)| *start);
    first.or_else(|| PATTERNS.newborn.find(text).map(|it| (7.0 / 365.25, it.start())))
}

/// Every measure with a plausible value.
pub(crate) fn measures(text: &str) -> Vec<(Measure, f64)> {
    let patterns = &*PATTERNS;
    let mut found = Vec::new();
    for (pattern, measure) in &patterns.plain {
        found.extend(pattern.captures_iter(text).filter_map(|it| Some((*measure, number(&it, 1)?))));
    }
    for pattern in &patterns.temperature {
        let values = pattern.captures_iter(text).filter_map(|it| {
            let value = number(&it, 1)?;
            let tenths = it.get(0).and_then(|all| han_tenths(&text[all.end()..])).unwrap_or(0.0);
            celsius(value + tenths)
        });
        found.extend(values.map(|value| (Measure::TemperatureC, value)));
    }
    for capture in patterns.pressure.captures_iter(text) {
        let start = capture.get(0).map_or(0, |it| it.start());
        let named =
            ["bp", "pressure", "血压", "高压"].iter().any(|it| near_before(text, start, 30).contains(it));
        if let (Some(upper), Some(lower)) = (number(&capture, 1), number(&capture, 2))
            && (named || capture.get(3).is_some())
            && upper > lower
        {
            found.extend([(Measure::SystolicMmhg, upper), (Measure::DiastolicMmhg, lower)]);
        }
    }
    for (pattern, weeks) in &patterns.gestation {
        let all = pattern.captures_iter(text).filter_map(|it| number(&it, 1));
        found.extend(all.map(|count| (Measure::GestationWeeks, count * weeks)));
    }
    for capture in patterns.glucose.captures_iter(text) {
        let unit = capture.get(2).map(|it| it.as_str());
        if let Some(value) = number(&capture, 1) {
            // 1 mmol/L of glucose is 18 mg/dL; nobody lives with 40 mmol/L and tells it without a unit.
            let milligrams = unit == Some("mg") || (unit.is_none() && value >= 40.0);
            found.push((Measure::GlucoseMmolL, if milligrams { value / 18.0 } else { value }));
        }
    }
    found.retain(|(measure, value)| measure.is_plausible(*value));
    found
}

fn number(capture: &regex::Captures<'_>, group: usize) -> Option<f64> {
    capture.get(group)?.as_str().parse().ok()
}

/// A temperature that is plausible in one of the two units.
fn celsius(value: f64) -> Option<f64> {
    match value {
        30.0..=43.5 => Some(value),
        93.0..=110.0 => Some((value - 32.0) / 1.8),
        _ => None,
    }
}

/// The 5 of 38度5.
fn han_tenths(rest: &str) -> Option<f64> {
    let mut letters = rest.chars();
    let first = letters.next()?.to_digit(10)?;
    letters.next().is_none_or(|it| !it.is_ascii_digit()).then_some(f64::from(first) / 10.0)
}

fn near_before(text: &str, start: usize, bytes: usize) -> &str {
    let mut from = start.saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..start]
}

/// Whether a number with a unit says how long, rather than how old, how often or how far pregnant.
fn is_time(text: &str, start: usize, end: usize) -> bool {
    let rest = text[end..].trim_start_matches([' ', '-', '\'']);
    let after = [
        "old",
        "of age",
        "gestation",
        "pregnan",
        "of gestation",
        "of pregnan",
        "pack",
        "post",
        "later",
        "into",
    ];
    let before = near_before(text, start, 16).trim_end();
    let not = [
        "every",
        "each",
        "per",
        "next",
        "lasting",
        "lasted",
        "lasts",
        "lasting for",
        "after",
        "within",
        "times",
        "for up to",
        "lasting about",
    ];
    !after.iter().any(|it| rest.starts_with(it)) && !not.iter().any(|it| before.ends_with(it))
}

fn unit_h(unit: &str) -> f64 {
    match unit {
        "minute" | "min" | "分钟" => 1.0 / 60.0,
        "hour" | "hr" | "小时" | "钟头" => 1.0,
        "week" | "wk" | "周" | "星期" | "礼拜" => 7.0 * DAY_H,
        "month" | "月" => 30.4 * DAY_H,
        "year" | "yr" | "年" => 365.25 * DAY_H,
        _ => DAY_H,
    }
}

/// A number in digits or in the words of either language; "a few" is three, "several" four.
fn count(word: &str) -> Option<f64> {
    let units =
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    if let Ok(number) = word.parse() {
        return Some(number);
    }
    if let Some(at) = units.iter().position(|it| *it == word) {
        return Some(at as f64 + 1.0);
    }
    Some(match word {
        "a" | "an" => 1.0,
        "half a" | "half an" | "半" => 0.5,
        "twenty" => 20.0,
        "thirty" => 30.0,
        "many" => 10.0,
        "a couple" | "a couple of" | "couple of" => 2.0,
        "a few" | "few" | "几" | "数" => 3.0,
        "several" | "好几" | "多" => 4.0,
        _ => return han_count(word),
    })
}

fn han_count(word: &str) -> Option<f64> {
    let digit = |letter: char| match letter {
        '两' => Some(2.0),
        _ => "一二三四五六七八九".chars().position(|it| it == letter).map(|at| at as f64 + 1.0),
    };
    match word.split_once('十') {
        Some((tens, ones)) => {
            let tens = tens.chars().next().map_or(Some(1.0), digit)?;
            Some(tens * 10.0 + ones.chars().next().map_or(Some(0.0), digit)?)
        }
        None => digit(word.chars().next()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Vec<f64> {
        times(text).iter().map(|it| (it.hours * 10.0).round() / 10.0).collect()
    }

    #[test]
    fn times_in_both_languages() {
        assert_eq!(hours("a 2-day history of cough"), [48.0]);
        assert_eq!(hours("for 3 days, since yesterday"), [72.0, 24.0]);
        assert_eq!(hours("two to three weeks"), [504.0]);
        assert_eq!(hours("a few days"), [72.0]);
        assert_eq!(hours("a 48-year-old man, every 4 hours"), [0.0; 0]);
        assert_eq!(hours("咳嗽两天"), [48.0]);
        assert_eq!(hours("头痛三个月,十年前"), [2188.8, 87660.0]);
        assert_eq!(hours("发烧半天"), [12.0]);
        assert!(times("10 years ago")[0].ago && times("十年前")[0].ago && !times("10 years")[0].ago);
    }

    #[test]
    fn ages() {
        let age = |text: &str| age_years(text).map(|(years, _)| (years * 100.0).round() / 100.0);
        assert_eq!(age("a 48-year-old woman"), Some(48.0));
        assert_eq!(age("6 month old baby"), Some(0.5));
        assert_eq!(age("i am 30 and"), Some(30.0));
        assert_eq!(age("3岁男孩"), Some(3.0));
        assert_eq!(age("8个月大"), Some(0.67));
        assert_eq!(age("六十五岁,胸闷"), Some(65.0));
        assert_eq!(age("我五岁的孩子"), Some(5.0));
        assert_eq!(age("宝宝才两个月,发烧"), Some(0.17));
        assert_eq!(age("三个月的宝宝发烧"), Some(0.25));
        assert_eq!(age("宝宝咳嗽两个月"), None);
        assert_eq!(age("孩子两个月前摔过"), None);
        assert_eq!(age("三天大便不通"), None);
        assert_eq!(age("i am 8 weeks pregnant"), None);
        assert_eq!(age("my mom, 82, fell"), Some(82.0));
        assert_eq!(age("cough for 3 days"), None);
    }

    #[test]
    fn measures_with_units() {
        let check = |text: &str, measure, value: f64| {
            let found = measures(text);
            let near = found.iter().any(|(it, found)| *it == measure && (found - value).abs() < 0.06);
            assert!(near, "{text}: {found:?}");
        };
        check("temperature 39.5 °c", Measure::TemperatureC, 39.5);
        check("fever of 102 f", Measure::TemperatureC, 38.9);
        check("38度5", Measure::TemperatureC, 38.5);
        check("体温39.2", Measure::TemperatureC, 39.2);
        check("pain is 7 out of 10", Measure::Pain, 7.0);
        check("bp 85/50", Measure::SystolicMmhg, 85.0);
        check("blood pressure of 165/95 mm hg", Measure::DiastolicMmhg, 95.0);
        check("血压180/110", Measure::SystolicMmhg, 180.0);
        check("heart rate is 130", Measure::HeartRatePerMin, 130.0);
        check("spo2 88%", Measure::Spo2Percent, 88.0);
        check("血氧90", Measure::Spo2Percent, 90.0);
        check("blood sugar 450 mg/dl", Measure::GlucoseMmolL, 25.0);
        check("血糖 3.1", Measure::GlucoseMmolL, 3.1);
        check("at 37 weeks gestation", Measure::GestationWeeks, 37.0);
        check("怀孕8周", Measure::GestationWeeks, 8.0);
        assert!(measures("i have 2 cats and 3 dogs, room 39").is_empty());
        assert!(measures("temperature 980 c").is_empty());
    }
}
