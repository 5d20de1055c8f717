//! Charts for people, as SVG: how a model learned, whether its probabilities can be believed. The size is in
//! millimetres, so that they print as they are.

mod bars;

use plotters::prelude::*;

use crate::measure::Calibration;

pub use bars::{Bar, Bars};

/// Units of a drawing a millimetre: plotters counts in whole units.
const UNITS_PER_MM: u32 = 10;
const WIDTH_MM: u32 = 150;
const HEIGHT_MM: u32 = 100;
/// Colours that differ also for most who see few colours (Okabe and Ito 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// A chart of lines.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What runs to the right, with its unit.
    pub x: String,
    /// What runs up, with its unit.
    pub y: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// Areas behind the lines.
    pub bands: Vec<Band>,
    /// The legend stands on the left: what matters lies on the right.
    pub legend_left: bool,
    /// The lowest and highest value of each axis; what the lines need if not given.
    pub range: Option<[[f64; 2]; 2]>,
}

/// A line of a chart.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Its points, from left to right. What is not finite is left out.
    pub points: Vec<[f64; 2]>,
    /// How it is drawn.
    pub style: LineStyle,
}

/// An area between two lines, as of an interval.
#[derive(Clone, Debug, Default)]
pub struct Band {
    /// What the legend calls it.
    pub name: String,
    /// Its lower edge, from left to right.
    pub low: Vec<[f64; 2]>,
    /// Its upper edge, from left to right.
    pub high: Vec<[f64; 2]>,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineStyle {
    /// A full line in the next colour.
    #[default]
    Full,
    /// A broken line in the colour of the line before it.
    Broken,
    /// A full line with a dot at each point.
    Dotted,
    /// Dots in the next colour, without a line.
    Points,
    /// A thin grey line to compare with.
    Guide,
}

/// The chart could not be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chart cannot be drawn")]
pub struct ChartError;

impl Chart {
    /// Draws it.
    ///
    /// # Errors
    /// [`ChartError`] when the drawing fails, as with a range that is empty.
    pub fn svg(&self) -> Result<String, ChartError> {
        let (wide, high) = (WIDTH_MM * UNITS_PER_MM, HEIGHT_MM * UNITS_PER_MM);
        let mut svg = String::new();
        self.draw(SVGBackend::with_string(&mut svg, (wide, high))).ok_or(ChartError)?;
        Ok(in_millimetres(&svg, WIDTH_MM, HEIGHT_MM))
    }

    fn draw(&self, backend: SVGBackend<'_>) -> Option<()> {
        let area = backend.into_drawing_area();
        area.fill(&WHITE).ok()?;
        let [[left, right], [low, high]] = self.range.unwrap_or_else(|| self.needed());
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 40))
            .margin(20)
            .x_label_area_size(80)
            .y_label_area_size(110)
            .build_cartesian_2d(left..right, low..high)
            .ok()?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .axis_desc_style(("sans-serif", 30))
            .label_style(("sans-serif", 26))
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()
            .ok()?;
        for band in &self.bands {
            let edge = band.low.iter().chain(band.high.iter().rev());
            let edge: Vec<(f64, f64)> = edge
                .filter(|point| point.iter().all(|value| value.is_finite()))
                .map(|[x, y]| (*x, *y))
                .collect();
            let fill = RGBColor(190, 214, 232);
            chart
                .draw_series([Polygon::new(edge, fill.filled())])
                .ok()?
                .label(&band.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 8), (x + 40, y + 8)], fill.filled()));
        }
        let mut colour = COLOURS.len() - 1;
        for line in &self.lines {
            let points: Vec<(f64, f64)> = line
                .points
                .iter()
                .filter(|point| point.iter().all(|value| value.is_finite()))
                .map(|[x, y]| (*x, *y))
                .collect();
            if matches!(line.style, LineStyle::Full | LineStyle::Dotted | LineStyle::Points) {
                colour = (colour + 1) % COLOURS.len();
            }
            let stroke = match line.style {
                LineStyle::Guide => RGBColor(150, 150, 150).stroke_width(2),
                _ => COLOURS[colour].stroke_width(4),
            };
            let legend = move |(x, y): (i32, i32)| PathElement::new(vec![(x, y), (x + 40, y)], stroke);
            if line.style == LineStyle::Broken {
                let series = DashedLineSeries::new(points.clone(), 14, 10, stroke);
                let thin = COLOURS[colour].stroke_width(2);
                chart
                    .draw_series(series)
                    .ok()?
                    .label(&line.name)
                    .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 40, y)], thin));
            } else {
                let drawn = if line.style == LineStyle::Points { 0 } else { points.len() };
                let series = LineSeries::new(points.iter().copied().take(drawn), stroke);
                let series = chart.draw_series(series).ok()?;
                if !line.name.is_empty() {
                    series.label(&line.name).legend(legend);
                }
            }
            if matches!(line.style, LineStyle::Dotted | LineStyle::Points) {
                let dots = points.iter().map(|point| Circle::new(*point, 8, COLOURS[colour].filled()));
                chart.draw_series(dots).ok()?;
            }
        }
        let mut named =
            self.lines.iter().map(|line| &line.name).chain(self.bands.iter().map(|band| &band.name));
        let side =
            if self.legend_left { SeriesLabelPosition::UpperLeft } else { SeriesLabelPosition::UpperRight };
        if named.any(|name| !name.is_empty()) {
            chart
                .configure_series_labels()
                .position(side)
                .legend_area_size(50)
                .label_font(("sans-serif", 26))
                .background_style(WHITE.mix(0.8))
                .border_style(RGBColor(200, 200, 200))
                .draw()
                .ok()?;
        }
        area.present().ok()
    }

    /// The range that holds all points, a little wider; from 0 upwards where nothing is negative.
    fn needed(&self) -> [[f64; 2]; 2] {
        [0, 1].map(|axis| {
            let lines = self.lines.iter().flat_map(|line| &line.points);
            let edges = self.bands.iter().flat_map(|band| band.low.iter().chain(&band.high));
            let values = lines.chain(edges).map(|point| point[axis]);
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            values.filter(|value| value.is_finite()).for_each(|value| {
                low = low.min(value);
                high = high.max(value);
            });
            if low > high {
                return [0.0, 1.0];
            }
            let room = if axis == 1 { (high - low).max(high.abs() * 0.05).max(1e-9) * 0.08 } else { 0.0 };
            let floor = if axis == 1 && low >= 0.0 { 0.0 } else { low - room };
            [floor, if high + room > floor { high + room } else { floor + 1.0 }]
        })
    }
}

/// plotters sizes in pixels: the same drawing in millimetres.
fn in_millimetres(svg: &str, wide_mm: u32, high_mm: u32) -> String {
    let sized = format!("<svg width=\"{}\" height=\"{}\"", wide_mm * UNITS_PER_MM, high_mm * UNITS_PER_MM);
    svg.replacen(&sized, &format!("<svg width=\"{wide_mm}mm\" height=\"{high_mm}mm\""), 1)
}

/// The calibration curve: what was said against what was so; on the diagonal both are the same.
pub fn calibration(title: &str, calibration: &Calibration) -> Chart {
    let points = calibration.curve.iter().map(|bin| [bin.said, bin.seen]).collect();
    Chart {
        title: title.to_owned(),
        x: "probability that was given".into(),
        y: "share that was so".into(),
        lines: vec![
            Line {
                name: "as it should be".into(),
                points: vec![[0.0, 0.0], [1.0, 1.0]],
                style: LineStyle::Guide,
            },
            Line { name: "as it was".into(), points, style: LineStyle::Dotted },
        ],
        range: Some([[0.0, 1.0], [0.0, 1.0]]),
        ..Chart::default()
    }
}

#[cfg(feature = "train")]
/// How the loss fell while learning: full lines on what was learned from, broken ones on what was held back.
pub fn learning(title: &str, curves: &[crate::training::LearningCurve]) -> Chart {
    let points =
        |losses: &[f64]| losses.iter().enumerate().map(|(at, loss)| [at as f64 + 1.0, *loss]).collect();
    let lines = curves.iter().flat_map(|curve| {
        let name =
            |of: &str| if curve.name.is_empty() { of.to_owned() } else { format!("{}, {of}", curve.name) };
        [
            Line { name: name("learned from"), points: points(&curve.learned), style: LineStyle::Full },
            Line { name: name("held back"), points: points(&curve.held), style: LineStyle::Broken },
        ]
    });
    Chart {
        title: title.to_owned(),
        x: "epoch".into(),
        y: "mean loss".into(),
        lines: lines.collect(),
        ..Chart::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_names_its_axes_and_lines() {
        let curve = Calibration::of([(0.1, false), (0.9, true)].into_iter());
        let svg = calibration("Test", &curve).svg().unwrap();
        for text in ["Test", "probability that was given", "share that was so", "as it was", "150mm"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn nothing_and_what_is_not_finite_are_drawn_as_nothing() {
        Chart::default().svg().unwrap();
        let points = vec![[0.0, f64::NAN], [f64::INFINITY, 1.0], [1.0, 1.0]];
        let chart = Chart { lines: vec![Line { points, ..Line::default() }], ..Chart::default() };
        let svg = chart.svg().unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn markup_in_a_name_stays_text() {
        let chart = Chart { title: "<script>&".into(), ..Chart::default() };
        assert!(!chart.svg().unwrap().contains("<script>"));
    }
}
