//! `metaclinic analyze …`: statistics over records of this home, or over a table, which needs no home.

mod panel;
mod series;

use clap::Subcommand;

use super::Context;
use crate::api::types::SeriesQuestion;
use crate::service::problem::Problem;

#[derive(Subcommand)]
pub(super) enum AnalyzeCommand {
    /// Compare patients by a few measurements: groups (k-means) and components, with how sure they are
    ///
    /// Patients are shown by their local ids only. Statistics, no diagnosis: a group is no disease.
    Panel(panel::PanelArgs),
    /// Whether a measurement rises or falls, how fast, and how sure that is (Theil and Sen, Mann and Kendall)
    Trend(series::SeriesArgs),
    /// Where the level of a measurement changes, and whether chance could have made it
    Changes(series::SeriesArgs),
    /// What comes next in a measurement (damped Holt), with intervals and a check on its own past
    Forecast(series::ForecastArgs),
}

pub(super) async fn run(context: &Context, command: AnalyzeCommand) -> Result<(), Problem> {
    match command {
        AnalyzeCommand::Panel(args) => panel::run(context, args).await,
        AnalyzeCommand::Trend(args) => series::run(context, args, SeriesQuestion::Trend).await,
        AnalyzeCommand::Changes(args) => series::run(context, args, SeriesQuestion::Changes).await,
        AnalyzeCommand::Forecast(args) => {
            series::run(context, args.series, SeriesQuestion::Forecast(args.steps)).await
        }
    }
}

/// A number as people read it: four digits that count.
fn short(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 12.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn four_digits_count() {
        assert_eq!(short(12.345_67), "12.35");
        assert_eq!(short(-0.001_234_5), "-0.001234");
        assert_eq!(short(123_456.7), "123457");
        assert_eq!(short(0.0), "0");
    }
}
