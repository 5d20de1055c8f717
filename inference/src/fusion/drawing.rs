//! The panel as bars: how much each reading weighs, how concerned it is, and between which values.

use super::pool::Panel;
use crate::chart::{Bar, Bars};

/// Two bars for each reading, and one for all together.
pub fn bars(panel: &Panel) -> Bars {
    let range = |[low, high]: [f64; 2]| format!("{low:.2} to {high:.2}");
    let mut bars =
        vec![Bar { label: format!("Together: concern, {}", range(panel.range)), value: panel.concern }];
    for it in &panel.sources {
        let title = it.source.kind.title();
        bars.push(Bar {
            label: format!("{title}: concern, {}", range(it.source.interval)),
            value: it.source.concern,
        });
        bars.push(Bar { label: format!("{title}: share of the weight"), value: it.share });
    }
    Bars {
        title: "Readings put together (no probability of a disease)".to_owned(),
        axis: "0 to 1; missing readings are not drawn".to_owned(),
        bars,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::panel;
    use super::super::source::{SelfCheckFacts, self_check};
    use super::*;
    use crate::triage::Urgency;

    #[test]
    fn each_reading_is_drawn_with_its_share_and_interval() {
        let source = self_check(SelfCheckFacts { urgency: Urgency::Clinician, sure: false });
        let svg = bars(&panel(&[source]).unwrap()).svg().unwrap();
        for text in ["Self-check: concern, 0.10 to 0.95", "share of the weight", "+1.00", "no probability"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
