//! The shipped weights on the validation images of PneumoniaMNIST, and on what is no chest radiograph. Needs
//! METACLINIC_DATA, a folder with `pneumoniamnist` in it; says so and passes when there is none.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "the whole target is a test")]

mod pneumoniamnist;

use metaclinic_inference::xray::{GrayImage, LabelledXray, SIDE, XRAY_MODEL, XrayModel};
use metaclinic_inference::{Backend, Model};

fn model(backend: Backend) -> XrayModel {
    XrayModel::of(&built_in(), backend).unwrap()
}

fn built_in() -> Model {
    Model::named(XRAY_MODEL).unwrap()
}

fn validation() -> Option<Vec<LabelledXray>> {
    let images = pneumoniamnist::images("val");
    if images.is_none() {
        println!("skipped: METACLINIC_DATA names no folder with pneumoniamnist");
    }
    images
}

/// The share of pairs of an ill and a well image in which the ill one gets the higher probability.
fn auroc(answers: &[(f32, bool)]) -> f64 {
    let of = |ill: bool| answers.iter().filter(move |(_, truth)| *truth == ill).map(|(p, _)| *p);
    let pairs = of(true).flat_map(|ill| of(false).map(move |well| (ill, well)));
    let (won, count) = pairs.fold((0.0, 0.0), |(won, count), (ill, well)| {
        (
            won + if ill > well {
                1.0
            } else if ill == well {
                0.5
            } else {
                0.0
            },
            count + 1.0,
        )
    });
    won / count
}

#[test]
fn validation_images_are_read_and_told_apart() {
    let Some(images) = validation() else { return };
    let model = model(Backend::default());
    let read: Vec<_> =
        images.iter().map(|labelled| (model.read(&labelled.image), labelled.pneumonia)).collect();
    let answers: Vec<(f32, bool)> =
        read.iter().filter_map(|(read, truth)| Some((read.as_ref().ok()?.probability, *truth))).collect();
    let right = |ill: bool| {
        let of: Vec<f32> = answers.iter().filter(|(_, truth)| *truth == ill).map(|(p, _)| *p).collect();
        of.iter().filter(|p| (**p >= 0.5) == ill).count() as f64 / of.len() as f64
    };
    let refused = 1.0 - answers.len() as f64 / images.len() as f64;
    let (area, sensitivity, specificity) = (auroc(&answers), right(true), right(false));
    println!(
        "AUROC {area:.4}, sensitivity {sensitivity:.3}, specificity {specificity:.3}, refused {refused:.4}"
    );
    assert!(area >= 0.97 && sensitivity >= 0.90 && specificity >= 0.90 && refused <= 0.01);
}

/// A picture four times as large, each pixel sixteen.
fn enlarged(image: &GrayImage) -> GrayImage {
    let side = 4 * SIDE;
    let pixels = (0..side * side).map(|at| image.pixels()[at / side / 4 * SIDE + at % side / 4]);
    GrayImage::new(side, side, pixels.collect()).unwrap()
}

#[test]
fn the_size_of_a_picture_changes_little() {
    let Some(images) = validation() else { return };
    let model = model(Backend::default());
    let mut changes = Vec::new();
    for labelled in images.iter().take(100) {
        let large = enlarged(&labelled.image);
        if let (Ok(small), Ok(large)) = (model.read(&labelled.image), model.read(&large)) {
            changes.push((small.probability - large.probability).abs());
        }
    }
    changes.sort_by(f32::total_cmp);
    assert!(changes.len() >= 95);
    assert!(changes[changes.len() / 2] < 0.03, "half change by more than {}", changes[changes.len() / 2]);
}

/// Changes an image so that it is no upright chest radiograph any more.
fn changed(image: &GrayImage, from: impl Fn(usize, usize) -> (usize, usize), negative: bool) -> GrayImage {
    let pixel = |at: usize| {
        let (row, column) = from(at / SIDE, at % SIDE);
        let grey = image.pixels()[row * SIDE + column];
        if negative { 1.0 - grey } else { grey }
    };
    GrayImage::new(SIDE, SIDE, (0..SIDE * SIDE).map(pixel).collect()).unwrap()
}

/// Numbers that look like chance, 0 to 1.
fn chance() -> impl FnMut() -> f32 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Pictures made by `grey` from row and column.
fn made(mut grey: impl FnMut(usize, usize) -> f32) -> GrayImage {
    let pixels = (0..SIDE * SIDE).map(|at| grey(at / SIDE, at % SIDE).clamp(0.0, 1.0));
    GrayImage::new(SIDE, SIDE, pixels.collect()).unwrap()
}

#[test]
fn what_is_no_chest_radiograph_is_refused_as_far_as_can_be() {
    let Some(images) = validation() else { return };
    let model = model(Backend::default());
    let mut chance = chance();
    let check = |name: &str, pictures: Vec<GrayImage>, least: f64| {
        let refused = pictures.iter().filter(|picture| model.read(picture).is_err()).count();
        let share = refused as f64 / pictures.len() as f64;
        println!("{name}: {share:.3} of {} refused", pictures.len());
        assert!(share >= least, "{name}: only {share} refused");
    };
    let all = |from: fn(usize, usize) -> (usize, usize), negative: bool| -> Vec<GrayImage> {
        images.iter().map(|labelled| changed(&labelled.image, from, negative)).collect()
    };
    check("negative", all(|row, column| (row, column), true), LEAST[0]);
    check("upside down", all(|row, column| (SIDE - 1 - row, column), false), LEAST[1]);
    check("on its side", all(|row, column| (column, row), false), LEAST[2]);
    check("white noise", (0..100).map(|_| made(|_, _| chance())).collect(), 1.0);
    let gradients = (0..100).map(|_| {
        let (x, y) = (chance() - 0.5, chance() - 0.5);
        made(|row, column| 0.5 + (x * (column as f32 - 13.5) + y * (row as f32 - 13.5)) / 14.0)
    });
    check("gradients", gradients.collect(), LEAST[4]);
    let pages = (0..100).map(|_| {
        let mut line = Vec::new();
        for _ in 0..SIDE * SIDE {
            line.push(chance());
        }
        made(
            |row, column| {
                if row % 3 == 1 && (2..26).contains(&column) { line[row * SIDE + column] } else { 0.95 }
            },
        )
    });
    check("pages of print", pages.collect(), 1.0);
    let discs = (0..100).map(|_| {
        let (x, y, radius) = (9.0 + 10.0 * chance(), 9.0 + 10.0 * chance(), 4.0 + 9.0 * chance());
        let (inside, outside) = (chance(), chance());
        let noise: Vec<f32> = (0..SIDE * SIDE).map(|_| 0.05 * chance()).collect();
        made(|row, column| {
            let far = (row as f32 - y).hypot(column as f32 - x) > radius;
            noise[row * SIDE + column] + if far { outside } else { inside }
        })
    });
    check("discs", discs.collect(), LEAST[3]);
}

/// The least share of pictures of a kind that must be refused: what was seen, rounded down.
const LEAST: [f64; 5] = [0.95, 0.25, 0.9, 0.8, 0.9];

#[test]
fn an_explanation_is_a_map_and_a_picture() {
    let Some(images) = validation() else { return };
    let model = model(Backend::default());
    let ill = images.iter().find(|labelled| labelled.pneumonia).unwrap();
    let saliency = model.explain(&ill.image).unwrap();
    assert_eq!(saliency.values().len(), SIDE * SIDE);
    assert!(saliency.values().iter().any(|value| *value > 0.0));
    let overlay = saliency.over(&ill.image, 448);
    assert_eq!((overlay.width, overlay.height, overlay.rgba.len()), (448, 448, 448 * 448 * 4));
}

#[cfg(feature = "ndarray")]
#[test]
fn both_backends_give_the_same_probability() {
    let Some(images) = validation() else { return };
    let (flex, ndarray) = (model(Backend::Flex), model(Backend::NdArray));
    for labelled in images.iter().take(10) {
        let (one, other) = (flex.read(&labelled.image), ndarray.read(&labelled.image));
        match (one, other) {
            (Ok(one), Ok(other)) => assert!((one.probability - other.probability).abs() < 1e-4),
            (one, other) => assert_eq!(one.is_err(), other.is_err()),
        }
    }
}

#[test]
fn card_tells_the_number_of_learned_values() {
    assert_eq!(built_in().card.figures.parameters, model(Backend::default()).parameters());
}
