//! What the words around a finding make of it, in Chinese. As in English: a cue opens a scope, what starts
//! something new closes it, and where a sentence can be read both ways the finding stays present.

use std::ops::Range;

use super::known::Status;

const STOPS: &[char] = &['.', '!', '?', ';', '\n', '。'];
/// Stands where a relative was named.
const GONE: char = '\u{FFFC}';
/// How far a cue is looked for to either side, in bytes: two hundred Chinese letters.
const REACH_BYTES: usize = 600;
/// Cues that reach to the end of their clause.
const DENIES: &[&str] = &["没有", "没", "无", "未", "不伴", "并非", "不是"];
/// After a cue these speak of the course, or make another word of it.
const STILL: &[&str] = &[
    "好",
    "停",
    "缓解",
    "改善",
    "退",
    "消",
    "见好",
    "法",
    "办法",
    "力",
    "诱因",
    "明显诱因",
    "原因",
    "效",
    "愈",
    "减轻",
    "恢复",
    "明显好",
    "明显缓解",
    "明显改善",
    "否认",
    "意识",
    "知觉",
    "得到",
    "多久",
    "过多久",
    "几天",
    "想到",
    "怎么睡",
    "胃口",
    "食欲",
    "事",
    "什么用",
    "用",
];
const CLOSES: &[&str] = &["但", "却", "只", "而是", "有", "伴", "就是", "现在", "现", "不过"];
const FILLS: &[&str] = &["出现", "什么", "任何", "明显", "过", "再", "见", "有", "明显的", "的"];
const PAST: &[&str] =
    &["去年", "前年", "以前", "曾经", "曾有", "曾患", "曾得", "小时候", "年轻时", "上次", "得过", "患过"];
const RELATIVES: &[&str] = &[
    "妈妈",
    "母亲",
    "我妈",
    "爸爸",
    "父亲",
    "我爸",
    "爷爷",
    "奶奶",
    "外公",
    "外婆",
    "姥姥",
    "姥爷",
    "哥哥",
    "姐姐",
    "弟弟",
    "妹妹",
    "丈夫",
    "妻子",
    "老公",
    "老婆",
    "朋友",
    "同事",
    "家人",
    "家里人",
    "叔叔",
    "舅舅",
    "阿姨",
    "姑姑",
    "邻居",
    "同学",
    "室友",
    "祖父",
    "祖母",
    "爱人",
    "岳父",
    "岳母",
    "婆婆",
    "公公",
];
const CHILDREN: &[&str] = &["儿子", "女儿", "孩子", "宝宝", "小孩", "娃"];
const TELLS: &[&str] = &["说", "发现", "带", "代诉", "担心", "觉得", "告诉", "注意到", "看到", "诉"];
/// What follows "I" of somebody who only reports of another.
const REPORTS: &[&str] = &[
    "在旁边",
    "在他",
    "在她",
    "在身边",
    "陪",
    "担心",
    "很担心",
    "发现",
    "看到",
    "看见",
    "看他",
    "看她",
    "听到",
    "听见",
    "注意到",
    "打了",
    "打电话",
    "打120",
    "叫了",
    "叫他",
    "叫她",
    "送",
    "带他",
    "带她",
    "该怎么",
    "怎么办",
    "不知道",
    "很害怕",
    "很着急",
    "给他",
    "给她",
    "让他",
    "让她",
    "扶",
    "怀疑",
    "觉得他",
    "觉得她",
    "觉得是",
    "想问",
];
const NOW: &[&str] = &[
    "突然",
    "现在",
    "正在",
    "刚",
    "今天",
    "昨天",
    "今早",
    "昨晚",
    "开始",
    "已经",
    "一直",
    "忽然",
    "岁",
    "摔",
    "晕倒",
    "昏迷",
    "撞",
    "叫不",
    "抽搐",
    "喘不",
    "误吞",
    "误服",
    "吞了",
    "吐血",
    "大出血",
];
const UNSURE: &[&str] = &[
    "有没有",
    "有无",
    "是否",
    "是不是",
    "可能",
    "也许",
    "不确定",
    "怀疑",
    "担心",
    "害怕",
    "如果",
    "万一",
    "说不定",
    "不知道是不是",
];
/// What was, or took, a relative.
const RUNS_IN_FAMILY: &[&str] = &["去世", "过世", "死于", "遗传", "病史"];
const OVER: &[&str] =
    &["已消失", "消失了", "已经好", "已好", "好了", "已退", "已经退", "已缓解", "已经消失", "停了"];

/// The status of what stands at these bytes of a folded text.
pub(crate) fn status(
    text: &str,
    place: Range<usize>,
    background: bool,
    grave: bool,
    of_self: bool,
) -> Status {
    let (start, end) = (place.start, place.end);
    let from = boundary(text, start.saturating_sub(REACH_BYTES));
    let stop = text[from..start].char_indices().rev().find(|(_, it)| STOPS.contains(it));
    let sentence_start = stop.map_or(from, |(at, it)| from + at + it.len_utf8());
    let clause_start =
        text[sentence_start..start].rfind(',').map_or(sentence_start, |at| sentence_start + at + 1);
    let rest = &text[end..boundary(text, (end + REACH_BYTES).min(text.len()))];
    let after = &rest[..rest.find(|it| it == ',' || STOPS.contains(&it)).unwrap_or(rest.len())];
    let sentence = &text[sentence_start..start];
    let clause = &text[clause_start..start];
    let whole_clause = &text[clause_start..end + after.len()];
    // A disease that lasts, or is over, runs in the family; a complaint is why somebody asks.
    let once = || PAST.iter().chain(RUNS_IN_FAMILY).any(|it| whole_clause.contains(it));
    let in_family = background || after.starts_with('过') || once();
    if is_other(of_self, in_family, sentence, clause, whole_clause) {
        return Status::OtherPerson;
    }
    if is_denied(clause) || denied_in_list(sentence) || denied_after(after) {
        return Status::Denied;
    }
    if !background && is_past(sentence, whole_clause) {
        return Status::Past;
    }
    let over = OVER.iter().any(|it| after.starts_with(it)) || clause.ends_with("不再");
    if over && !background && !grave {
        return Status::Past;
    }
    if UNSURE.iter().any(|it| clause.contains(it)) { Status::Uncertain } else { Status::Present }
}

/// The next byte at which a letter starts.
fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

fn is_denied(clause: &str) -> bool {
    let direct = clause
        .strip_suffix("不")
        .or_else(|| clause.strip_suffix("不太"))
        .or_else(|| clause.strip_suffix("不怎么"));
    if direct.is_some() {
        return true;
    }
    // "有没有" and "是不是" ask, and deny nothing.
    let asks =
        |at: usize| clause[..at].ends_with(['有', '是']) && clause[at..].starts_with(['没', '无', '不']);
    let cues = DENIES.iter().filter_map(|cue| clause.rfind(cue).map(|at| (at, at + cue.len())));
    let cues = cues.filter(|(at, _)| !asks(*at));
    let Some((at, end)) = cues.max_by_key(|(at, end)| (*end, usize::MAX - *at)) else { return false };
    let before = &clause[..at];
    let mut between = &clause[end..];
    if STILL.iter().any(|it| between.starts_with(it)) {
        return false;
    }
    if ["不是", "并非", "不能", "不会", "难免"].iter().any(|it| before.ends_with(it)) {
        return false;
    }
    if matches!(&clause[at..end], "不是" | "并非") && ["没", "无"].iter().any(|it| between.starts_with(it))
    {
        return false;
    }
    while let Some(shorter) = FILLS.iter().find_map(|it| between.strip_prefix(it)) {
        between = shorter;
    }
    !CLOSES.iter().any(|it| between.contains(it))
}

/// "否认" goes on over commas.
fn denied_in_list(sentence: &str) -> bool {
    let Some(at) = sentence.rfind("否认") else { return false };
    let before = &sentence[..at];
    let between = &sentence[at + "否认".len()..];
    let between = FILLS.iter().find_map(|it| between.strip_prefix(it)).unwrap_or(between);
    let twice = ["不", "没有", "没", "不能"].iter().any(|it| before.ends_with(it));
    !twice && !CLOSES.iter().any(|it| between.contains(it)) && !between.contains("出现")
}

fn denied_after(after: &str) -> bool {
    let plain = after.trim_start_matches([' ', ':', '(']);
    if after.starts_with(":无") || plain.starts_with("-)") || plain.starts_with("阴性") {
        return true;
    }
    let Some(rest) = plain.strip_prefix("没有").or_else(|| plain.strip_prefix("倒没有")) else {
        return false;
    };
    rest.is_empty()
}

fn is_past(sentence: &str, clause: &str) -> bool {
    let onset = ["开始", "起病", "发病", "至今"].iter().any(|it| clause.contains(it));
    let history =
        clause.find("病史").is_some_and(|at| !clause[..at].ends_with(['天', '周', '月', '时', '日', '年']));
    let years_ago = clause.contains("年前") || clause.contains("年以前");
    let once = PAST.iter().any(|it| clause.contains(it));
    let earlier = sentence.contains("既往") && !sentence.contains("现") || clause.contains("既往");
    (history || years_ago || once || earlier) && !onset
}

fn is_other(of_self: bool, in_family: bool, sentence: &str, clause: &str, whole_clause: &str) -> bool {
    if sentence.rfind("家族").is_some_and(|at| !sentence[at..].contains(['我', '本'])) {
        return true;
    }
    // A whole family with the patient in it.
    if clause.contains("全家") {
        return false;
    }
    let found = |names: &[&str]| names.iter().filter_map(|it| clause.rfind(it).map(|at| at + it.len())).max();
    let (relative, child) = (found(RELATIVES), found(CHILDREN));
    let Some(end) = relative.max(child) else { return false };
    let rest = &clause[end..];
    if TELLS.iter().any(|it| rest.starts_with(it)) || rest.contains(['我', '但']) || rest.contains("自己")
    {
        return false;
    }
    if clause.contains("和我") || clause.contains("被") {
        return false;
    }
    let now = NOW.iter().any(|it| whole_clause.contains(it));
    let is_patient = (child >= relative || now || !in_family) && !of_self;
    !is_patient
}

/// Whether the text says "I" other than in "my mother", or names a patient.
pub(crate) fn speaks_of_self(text: &str) -> bool {
    let mut rest = text.to_string();
    // Longer ways to say "mine" first, then what is left of the names, so that it is seen where one stood.
    for name in RELATIVES.iter().chain(CHILDREN) {
        rest = rest
            .replace(&format!("我的{name}"), "")
            .replace(&format!("我{name}"), "")
            .replace(&format!("我家{name}"), "");
        if name.starts_with('我') {
            rest = rest.replace(name, "");
        }
    }
    for name in RELATIVES.iter().chain(CHILDREN) {
        rest = rest.replace(name, &GONE.to_string());
    }
    rest.match_indices('我').any(|(at, own)| {
        let after = &rest[at + own.len()..];
        !owns_relative(&rest[at..]) && !REPORTS.iter().any(|it| after.starts_with(it))
    }) || rest.contains("患者")
        || rest.contains("病人")
}

/// "我五岁的" before what was a relative: it names whose child it is, and nothing of oneself.
fn owns_relative(from_self: &str) -> bool {
    let phrase = from_self.split([',', ' ', '.', '。', GONE]).next().unwrap_or("");
    from_self[phrase.len()..].starts_with(GONE) && phrase.ends_with('的')
}
