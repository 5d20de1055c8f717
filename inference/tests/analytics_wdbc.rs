//! Groups and components of the diagnostic Wisconsin breast cancer data, against what is known of them. Needs `METACLINIC_DATA`, a
//! folder with `small-clinical-tables` in it; says so and passes when there is none.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the whole target is a test")]

use std::path::PathBuf;

use metaclinic_inference::analytics::{Panel, clusters, components};

/// Thirty measures of each tumour, and whether it is benign.
/// Names of the columns, the rows, and which rows are malignant.
type Tumours = (Vec<String>, Vec<Vec<Option<f64>>>, Vec<bool>);

fn tumours() -> Option<Tumours> {
    let root = std::env::var_os("METACLINIC_DATA")?;
    let text = std::fs::read_to_string(PathBuf::from(root).join("small-clinical-tables/wdbc.csv")).ok()?;
    let mut lines = text.lines();
    let mut names: Vec<String> = lines.next()?.split(',').map(str::to_owned).collect();
    assert_eq!(names.pop().as_deref(), Some("benign"));
    let (mut rows, mut benign) = (Vec::new(), Vec::new());
    for line in lines {
        let mut cells: Vec<Option<f64>> = line.split(',').map(|cell| cell.parse().ok()).collect();
        benign.push(cells.pop()?? == 1.0);
        rows.push(cells);
    }
    Some((names, rows, benign))
}

#[test]
fn known_components_and_the_two_kinds_of_tumour_are_found() {
    let Some((names, rows, benign)) = tumours() else {
        println!("skipped: METACLINIC_DATA names no folder with small-clinical-tables");
        return;
    };
    let panel = Panel::new(names, &rows).unwrap();
    let directions = components(&panel);
    // scikit-learn gives 0.4427, 0.1897 and 0.0939 for all 569 tumours; these are 467 of them.
    for (component, known) in directions.components.iter().zip([0.4427, 0.1897, 0.0939]) {
        assert!((component.share - known).abs() < 0.01, "{} for {known}", component.share);
    }
    let groups = clusters(&panel, None).unwrap();
    assert_eq!(groups.sizes.len(), 2);
    assert!(groups.substantial() && groups.stability > 0.95, "{groups:?} {}", groups.stability);
    let alike = groups.group.iter().zip(&benign).filter(|(group, benign)| (**group == 0) == **benign).count();
    let share = alike as f64 / benign.len() as f64;
    println!("silhouette {:.3}, as the diagnosis {share:.3}", groups.silhouette);
    assert!(share > 0.88, "{share}");
}
