//! Bars to either side of nothing: what each value added to an answer.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{COLOURS, ChartError, UNITS_PER_MM, in_millimetres};

const WIDTH_MM: u32 = 180;
/// Of a bar with the gap below it.
const BAR_MM: u32 = 7;
/// Title above the bars, and axis below them.
const TITLE_MM: u32 = 14;
const AXIS_MM: u32 = 14;
/// Labels to the left of the bars.
const LABELS_MM: u32 = 95;
/// The most bars and letters of a label that are drawn.
const MAX_BARS: usize = 60;
const MAX_LABEL_CHARS: usize = 60;

/// A chart of bars.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// What runs to the right, with its unit.
    pub axis: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Clone, Debug, Default)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// Where it ends; what is not finite is drawn as nothing.
    pub value: f64,
}

impl Bars {
    /// Draws it.
    ///
    /// # Errors
    /// [`ChartError`] when the drawing fails.
    pub fn svg(&self) -> Result<String, ChartError> {
        let bars = &self.bars[..self.bars.len().min(MAX_BARS)];
        let high_mm = TITLE_MM + AXIS_MM + BAR_MM * bars.len().max(1) as u32;
        let mut svg = String::new();
        let size = (WIDTH_MM * UNITS_PER_MM, high_mm * UNITS_PER_MM);
        self.draw(SVGBackend::with_string(&mut svg, size), bars, high_mm).ok_or(ChartError)?;
        Ok(in_millimetres(&svg, WIDTH_MM, high_mm))
    }

    fn draw(&self, backend: SVGBackend<'_>, bars: &[Bar], high_mm: u32) -> Option<()> {
        let area = backend.into_drawing_area();
        area.fill(&WHITE).ok()?;
        let units = |mm: u32| (mm * UNITS_PER_MM) as i32;
        let (top, bottom) = (units(TITLE_MM), units(high_mm - AXIS_MM));
        let (left, right) = (units(LABELS_MM), units(WIDTH_MM) - units(18));
        let finite = |bar: &Bar| if bar.value.is_finite() { bar.value } else { 0.0 };
        let most = bars.iter().map(|bar| finite(bar).abs()).fold(0.1, f64::max);
        let middle = (left + right) / 2;
        let place = |value: f64| middle + (value / most * f64::from(right - middle)).round() as i32;
        let font = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
        let text = |words: &str, at: (i32, i32), size: i32, across: HPos| {
            Text::new(words.to_owned(), at, font(size).pos(Pos::new(across, VPos::Center)))
        };
        area.draw(&text(&short(&self.title, 90), (units(4), units(TITLE_MM) / 2), 36, HPos::Left)).ok()?;
        let grey = RGBColor(150, 150, 150);
        area.draw(&PathElement::new(vec![(middle, top), (middle, bottom)], grey.stroke_width(2))).ok()?;
        for (index, bar) in bars.iter().enumerate() {
            let value = finite(bar);
            let (high, low) =
                (top + units(BAR_MM) * index as i32 + 10, top + units(BAR_MM) * (index as i32 + 1) - 10);
            let colour = if value < 0.0 { COLOURS[0] } else { COLOURS[1] };
            let ends = (place(value.min(0.0)), place(value.max(0.0)));
            area.draw(&Rectangle::new([(ends.0, high), (ends.1, low)], colour.filled())).ok()?;
            let line = (high + low) / 2;
            area.draw(&text(&short(&bar.label, MAX_LABEL_CHARS), (left - 95, line), 26, HPos::Right)).ok()?;
            let (at, side) = if value < 0.0 { (ends.0 - 10, HPos::Right) } else { (ends.1 + 10, HPos::Left) };
            area.draw(&text(&format!("{value:+.2}"), (at, line), 24, side)).ok()?;
        }
        area.draw(&text(
            &self.axis,
            (units(WIDTH_MM) - units(4), bottom + units(AXIS_MM) / 2),
            26,
            HPos::Right,
        ))
        .ok()?;
        area.present().ok()
    }
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_named_and_say_how_long_they_are() {
        let bar = |label: &str, value| Bar { label: label.into(), value };
        let bars = Bars {
            title: "Heart <disease>".into(),
            axis: "log-odds".into(),
            bars: vec![bar("Age: 66 a", 0.5), bar("Sex: male", -1.25), bar("<script>", f64::NAN)],
        };
        let svg = bars.svg().unwrap();
        for text in ["Age: 66 a", "+0.50", "-1.25", "log-odds", "180mm"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("<script>") && !svg.contains("NaN"));
    }

    #[test]
    fn nothing_and_very_much_are_drawn() {
        Bars::default().svg().unwrap();
        let many = vec![Bar { label: "x".repeat(10_000), value: f64::MAX }; 1_000];
        let svg = Bars { bars: many, ..Bars::default() }.svg().unwrap();
        assert!(svg.len() < 100_000);
    }
}
