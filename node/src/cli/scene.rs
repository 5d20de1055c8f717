//! `metaclinic scene …`: needs no home.

use clap::Subcommand;
use serde_json::json;

use super::{Context, output};

#[derive(Subcommand)]
pub(super) enum SceneCommand {
    /// List the environments with their sizes and named places
    List,
}

pub(super) fn list(context: &Context) {
    let environments = scenes::environments();
    if context.global.json {
        let scene = |e: &scenes::Environment| {
            let anchors: Vec<_> = e
                .anchors
                .iter()
                .map(|a| {
                    json!({
                        "name": a.name, "title": { "en": a.title.en, "zh": a.title.zh },
                        "position_m": a.pose.position_m, "orientation": a.pose.orientation,
                    })
                })
                .collect();
            json!({
                "name": e.name, "title": { "en": e.title.en, "zh": e.title.zh },
                "size_m": e.size_m, "anchors": anchors,
            })
        };
        let scenes: Vec<_> = environments.iter().map(scene).collect();
        return output::json(&json!({ "scenes": scenes }));
    }
    for environment in environments {
        let [x, y, z] = environment.size_m;
        output::line(&format!("{} ({}): {x} × {y} × {z} m", environment.name, environment.title.en));
        let row = |a: &scenes::Anchor| {
            let [x, y, z] = a.pose.position_m;
            [a.name.clone(), format!("{x:.2}, {y:.2}, {z:.2}"), a.title.en.clone(), a.title.zh.clone()]
        };
        output::table(["place", "at x, y, z (m)", "", ""], environment.anchors.iter().map(row));
    }
}
