//! `metaclinic models novelty`: only in builds with the cargo feature `train`.

use std::path::PathBuf;

use clap::Args;
use inference::Model;
use serde_json::json;

use super::{named, read, with_bar};
use crate::cli::{Context, output};
use crate::service::blocking;
use crate::service::problem::{Problem, Tried};

#[derive(Args)]
pub(crate) struct NoveltyArgs {
    /// Name of the model: ecg
    name: String,
    /// Folder with the labelled data set (ecg: NAME.hea, signal files, NAME.atr)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write the card with the new limit to figures.toml in this folder; in the sources that is inference/models/NAME
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, args: NoveltyArgs) -> Result<(), Problem> {
    let Model { card, weights } = named(&args.name)?;
    let mut figures = card.figures.clone();
    let name = card.about.name.clone();
    let (model, data) = (Model { card, weights }, args.data);
    let novelty = blocking(move || {
        let data = read(&name, &data)?;
        with_bar("measuring", |progress| data.novelty(&model, progress))
    })
    .await?;
    figures.decision.insert("novelty_limit".into(), f64::from(novelty.limit).into());
    if let Some(out) = &args.out {
        let text = toml::to_string(&figures).tried("write the figures")?;
        std::fs::write(out.join("figures.toml"), text).tried("write the figures")?;
    }
    if context.global.json {
        let each: Vec<_> = novelty
            .distances
            .iter()
            .map(|(name, distance)| json!({ "case": name, "distance": distance }))
            .collect();
        output::json(&json!({ "limit": novelty.limit, "distances": each }));
        return Ok(());
    }
    output::table(
        ["recording", "distance"],
        novelty.distances.iter().map(|(name, distance)| [name.clone(), format!("{distance:.2}")]),
    );
    output::line(&format!("Farther out than {:.2} is refused.", novelty.limit));
    Ok(())
}
