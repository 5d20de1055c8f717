//! The page around the trace: head, grid, calibration, names, times and the lines below.

use super::page::{GRID_MM, MARGIN_MM, Page, Row, START_MM, System};
use super::text::{clean, clock, escape, letters_within, mm, wrap};
use super::{GAIN_MM_PER_MV, SPEED_MM_PER_S, Strip, overlay};

const TITLE_LETTERS: usize = 120;
const FOOTER_LETTERS: usize = 400;
const NAME_LETTERS: usize = 24;
/// Heights of letters.
const TITLE_MM: f64 = 4.2;
const WORDS_MM: f64 = 2.6;
const NAME_MM: f64 = 3.4;
const TIME_MM: f64 = 2.3;
/// From line to line below the strip.
const LINE_MM: f64 = 4.0;
/// The calibration pulse: 1 mV for 0.2 s.
const PULSE_MV: f64 = 1.0;
const PULSE_S: f64 = 0.2;
/// The millimetre between two light lines.
const FINE_MM: f64 = 1.0;
const FINE_COLOUR: &str = "#f7d3cd";
const DARK_COLOUR: &str = "#eaa79d";
const WORDS_COLOUR: &str = "#404040";
/// Recordings shorter than this, in seconds, are timed in plain seconds.
const PLAIN_SECONDS_S: f64 = 60.0;

/// Head of the file, and title.
pub(super) fn begin(picture: &mut String, strip: &Strip<'_>, page: &Page) {
    let (width, height) = (mm(page.width_mm), mm(height_mm(strip, page)));
    picture.push_str(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height}mm\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"'DejaVu Sans', sans-serif\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    ));
    overlay::define(picture);
    let fits = letters_within(page.width_mm - 2.0 * MARGIN_MM, TITLE_MM).min(TITLE_LETTERS);
    let title = clean(&strip.title, fits);
    words(picture, MARGIN_MM, MARGIN_MM + TITLE_MM, TITLE_MM, "#101010", &title);
    let (from, long) = (strip.seconds(strip.range.start), strip.seconds(strip.range.len()));
    let whole = clock(strip.signal.duration_s(), 0);
    let about = format!("from {}, {long:.1} s of a recording of {whole}", clock(from, 3));
    words(picture, MARGIN_MM, MARGIN_MM + 9.0, WORDS_MM, WORDS_COLOUR, &about);
}

/// Light lines each millimetre, dark ones each five.
pub(super) fn grid(picture: &mut String, system: &System) {
    let (left, right) = (MARGIN_MM, system.right_mm);
    let (top, bottom) = (system.top_mm, system.bottom_mm);
    let steps = |from: f64, to: f64| ((to - from) / FINE_MM).round() as usize;
    let every = (GRID_MM / FINE_MM) as usize;
    for (dark, colour, thick) in [(false, FINE_COLOUR, "0.1"), (true, DARK_COLOUR, "0.2")] {
        let mut path = String::new();
        for step in (0..=steps(left, right)).filter(|step| step.is_multiple_of(every) == dark) {
            let x = mm(left + step as f64 * FINE_MM);
            path.push_str(&format!("M{x} {}V{}", mm(top), mm(bottom)));
        }
        for step in (0..=steps(top, bottom)).filter(|step| step.is_multiple_of(every) == dark) {
            let y = mm(top + step as f64 * FINE_MM);
            path.push_str(&format!("M{} {y}H{}", mm(left), mm(right)));
        }
        let style = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"{thick}\"");
        picture.push_str(&format!("<path d=\"{path}\" {style}/>\n"));
    }
}

/// A tick and the time at each whole second of the recording.
pub(super) fn time(picture: &mut String, strip: &Strip<'_>, system: &System) {
    let (from, to) = system.seconds();
    let plain = strip.signal.duration_s() <= PLAIN_SECONDS_S;
    let mut ticks = String::new();
    for second in from.ceil() as u64..=to.floor() as u64 {
        let x = system.time_x_mm(second as f64);
        ticks.push_str(&format!("M{} {}v1.2", mm(x), mm(system.bottom_mm)));
        let label = if plain { format!("{second} s") } else { clock(second as f64, 0) };
        picture.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" font-size=\"{TIME_MM}\" fill=\"{WORDS_COLOUR}\" \
             text-anchor=\"middle\">{label}</text>\n",
            mm(x),
            mm(system.bottom_mm + 3.6),
        ));
    }
    if !ticks.is_empty() {
        picture.push_str(&format!(
            "<path d=\"{ticks}\" fill=\"none\" stroke=\"{WORDS_COLOUR}\" stroke-width=\"0.2\"/>\n"
        ));
    }
}

/// The calibration pulse of a row and, below it, the lead's name.
pub(super) fn row_start(picture: &mut String, strip: &Strip<'_>, row: &Row) {
    let (wide, high) = (PULSE_S * SPEED_MM_PER_S, PULSE_MV * GAIN_MM_PER_MV);
    let flat = (START_MM - wide) / 2.0 - 1.0;
    picture.push_str(&format!(
        "<path class=\"calibration\" d=\"M{} {}h{}v-{}h{}v{}h{}\" fill=\"none\" stroke=\"#101010\" \
         stroke-width=\"0.25\"/>\n",
        mm(MARGIN_MM + 1.0),
        mm(row.baseline_mm),
        mm(flat),
        mm(high),
        mm(wide),
        mm(high),
        mm(flat),
    ));
    // A halo keeps a long name legible where it runs over the trace.
    picture.push_str(&format!(
        "<text x=\"{}\" y=\"{}\" font-size=\"{NAME_MM}\" fill=\"#101010\" stroke=\"#ffffff\" \
         stroke-width=\"0.7\" stroke-opacity=\"0.8\" paint-order=\"stroke\">{}</text>\n",
        mm(MARGIN_MM + 1.0),
        mm(row.baseline_mm + NAME_MM + 0.6),
        escape(&lead_name(strip, row.lead)),
    ));
}

/// The lines below, and the end of the file.
pub(super) fn end(picture: &mut String, strip: &Strip<'_>, page: &Page) {
    let mut y_mm = page.foot_mm;
    if strip.marks_within().next().is_some() {
        overlay::legend(picture, MARGIN_MM, y_mm, WORDS_MM);
        y_mm += LINE_MM;
    }
    for line in lines(strip, page) {
        words(picture, MARGIN_MM, y_mm, WORDS_MM, WORDS_COLOUR, &line);
        y_mm += LINE_MM;
    }
    picture.push_str("</svg>\n");
}

fn height_mm(strip: &Strip<'_>, page: &Page) -> f64 {
    let legend = usize::from(strip.marks_within().next().is_some());
    page.foot_mm + (lines(strip, page).len() + legend) as f64 * LINE_MM + MARGIN_MM - LINE_MM / 2.0
}

/// What is said below the strip: first how it was drawn, then what the caller wants said.
fn lines(strip: &Strip<'_>, page: &Page) -> Vec<String> {
    let rate_hz = strip.signal.sampling_rate_hz();
    let mut said = vec![format!(
        "{SPEED_MM_PER_S} mm/s · {GAIN_MM_PER_MV} mm/mV · {} · recorded at {} Hz · to scale if printed at 100\u{a0}%",
        strip.filter.words(rate_hz),
        mm(rate_hz),
    )];
    let given = strip.signal.leads().len();
    let drawn = page.systems.first().map_or(0, |system| system.rows.len());
    if drawn < given {
        said.push(format!("The first {drawn} of {given} leads are drawn."));
    }
    let clipped: Vec<String> = page.clipped().into_iter().map(|lead| lead_name(strip, lead)).collect();
    if !clipped.is_empty() {
        said.push(format!("Clipped at {} mV from the baseline: {}.", super::CLIP_MV, clipped.join(", ")));
    }
    said.extend(overlay::said(strip));
    said.extend(strip.footer.iter().map(|line| clean(line, FOOTER_LETTERS)));
    let fits = letters_within(page.width_mm - 2.0 * MARGIN_MM, WORDS_MM);
    said.iter().flat_map(|line| wrap(line, fits)).collect()
}

/// The name of a lead as shown; not yet escaped.
pub(super) fn lead_name(strip: &Strip<'_>, lead: usize) -> String {
    strip.signal.leads().get(lead).map(|lead| clean(&lead.name, NAME_LETTERS)).unwrap_or_default()
}

fn words(picture: &mut String, x_mm: f64, y_mm: f64, high_mm: f64, colour: &str, text: &str) {
    if !text.is_empty() {
        picture.push_str(&format!(
            "<text x=\"{}\" y=\"{}\" font-size=\"{high_mm}\" fill=\"{colour}\">{}</text>\n",
            mm(x_mm),
            mm(y_mm),
            escape(text),
        ));
    }
}
