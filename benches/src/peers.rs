//! The networks of the models beside other runtimes, on the same weights and the same input: onnxruntime and tract. Each
//! takes its turn alone; what counts is the shortest time, and the ratio of two in one run.
//!
//! The others are fetched when this runs: onnxruntime from the Python package index into `target/peers`, tract from
//! crates.io, as `benches/peers` says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use inference::Backend;
use inference::peers::{self, Named, Network};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tests::harness;

use crate::report::Measured;

/// Set for a process of this program that times one network alone.
pub(crate) const ALONE: &str = "METACLINIC_BENCH_NETWORK";
/// What a runtime may take of onnxruntime's time.
const MOST: f64 = 1.5;
/// How far outputs of two runtimes may lie apart.
const APART: f64 = 1e-3;

/// What is measured: kind, size, batch.
const CASES: [(&str, usize, usize); 10] = [
    ("ecg", 1, 1),
    ("ecg", 1, 32),
    ("resnet18", 28, 1),
    ("resnet18", 28, 32),
    ("resnet18", 224, 1),
    ("resnet18", 224, 32),
    ("minilm", 16, 1),
    ("minilm", 16, 32),
    ("minilm", 128, 1),
    ("minilm", 128, 32),
];

fn network((kind, size, batch): (&str, usize, usize)) -> Result<Network, String> {
    match kind {
        "ecg" => peers::ecg(batch, Backend::default()).map_err(|error| error.to_string()),
        "resnet18" => Ok(peers::resnet18(size, batch, Backend::default())),
        _ => {
            let file = std::fs::read(sentences()?).map_err(|error| error.to_string())?;
            peers::minilm(&file, size, batch, Backend::default()).ok_or_else(|| "another file".to_owned())
        }
    }
}

/// The weights of MiniLM in single precision, where they are.
fn sentences() -> Result<PathBuf, String> {
    let folder = std::env::var_os("METACLINIC_MODELS").map(PathBuf::from);
    let file = folder.map(|folder| folder.join("all-minilm-l6-v2/model.safetensors"));
    file.filter(|file| file.is_file()).ok_or_else(|| {
        "needs METACLINIC_MODELS with all-minilm-l6-v2/model.safetensors in it (metaclinic models fetch sentences)".to_owned()
    })
}

/// Times one network alone and prints its milliseconds: for [`ALONE`].
pub(crate) fn alone(case: &str) -> Result<f64, String> {
    let at: usize = case.parse().map_err(|_| "a number is expected".to_owned())?;
    let network = network(*CASES.get(at).ok_or("no such network")?)?;
    Ok(shortest_ms(&network))
}

fn shortest_ms(network: &Network) -> f64 {
    let mut shortest = Duration::MAX;
    let (mut count, begun) = (0, Instant::now());
    while count < 5 || (begun.elapsed() < Duration::from_secs(2) && count < 400) {
        let started = Instant::now();
        std::hint::black_box(network.run());
        shortest = shortest.min(started.elapsed());
        count += 1;
    }
    shortest.as_secs_f64() * 1e3
}

/// All networks on all runtimes.
pub(crate) fn measure() -> Result<Measured, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let python = python(&sources)?;
    let tract = tract(&sources)?;
    let mut measured = Measured::new(
        "peers",
        "one pass beside onnxruntime and tract, the same weights and input, shortest times; one thread, and as many as there are cores",
    );
    for (at, case) in CASES.into_iter().enumerate() {
        let (kind, size, batch) = case;
        let folder = harness::temp_dir();
        let network = match network(case) {
            Ok(network) => network,
            Err(reason) => {
                println!("{kind} {size} is left out: {reason}");
                continue;
            }
        };
        write(folder.path(), &network)?;
        let mut asked = Command::new(&python);
        asked.arg(sources.join("onnxruntime_times.py")).arg(folder.path()).arg(kind);
        if kind == "minilm" {
            asked.arg(sentences()?);
        }
        let theirs = told(asked)?;
        let mut asked = Command::new(&tract);
        asked.arg(folder.path()).arg(kind);
        let tract = told(asked);
        let ours = [own(at, Some(1))?, own(at, None)?];
        let name = match kind {
            "ecg" => format!("ecg, batch {batch}"),
            "resnet18" => format!("resnet18, {size} px, batch {batch}"),
            _ => format!("minilm, {size} tokens, batch {batch}"),
        };
        let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(f64::NAN);
        if number(&theirs, "apart") > APART {
            return Err(format!("{name}: the outputs are {} apart", theirs["apart"]));
        }
        measured.figure(format!("{name}: ours, one thread, ms"), ours[0]);
        measured.figure(format!("{name}: onnxruntime, one thread, ms"), number(&theirs, "one_thread_ms"));
        measured.at_most(
            format!("{name}: ratio, one thread"),
            ours[0] / number(&theirs, "one_thread_ms"),
            MOST,
        );
        measured.figure(format!("{name}: ratio, all threads"), ours[1] / number(&theirs, "all_threads_ms"));
        match tract {
            Ok(tract) if number(&tract, "apart") <= APART => {
                measured.figure(
                    format!("{name}: ratio to tract, one thread"),
                    ours[0] / number(&tract, "one_thread_ms"),
                );
            }
            Ok(tract) => println!("{name}: tract's output is {} apart", tract["apart"]),
            Err(reason) => println!("{name}: tract does not run it: {reason}"),
        }
    }
    Ok(measured)
}

/// This program again, for one network, so that it can have its own number of threads.
fn own(at: usize, threads: Option<usize>) -> Result<f64, String> {
    let mut asked = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    asked.env(ALONE, at.to_string());
    if let Some(threads) = threads {
        asked.env("RAYON_NUM_THREADS", threads.to_string());
    }
    told(asked)?.as_f64().ok_or_else(|| "no time was told".to_owned())
}

fn told(mut command: Command) -> Result<Value, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().last().unwrap_or("it failed").to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// A Python with what the comparison needs, made on first use.
fn python(sources: &Path) -> Result<PathBuf, String> {
    let folder = sources.join("../../target/peers/python");
    let python = folder.join("bin/python");
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    run(Command::new(&python)
        .args(["-m", "pip", "-q", "install", "-r"])
        .arg(sources.join("requirements.txt")))?;
    Ok(python)
}

fn tract(sources: &Path) -> Result<PathBuf, String> {
    let target = sources.join("../../target/peers/tract");
    let manifest = sources.join("Cargo.toml");
    run(Command::new("cargo")
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target))?;
    Ok(target.join("release/tract-times"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{:?} failed", command.get_program())) }
}

fn write(folder: &Path, network: &Network) -> Result<(), String> {
    let values = network.run();
    let output = Named { name: "output".to_owned(), shape: vec![values.len()], values };
    let all: Vec<&Named> = network.weights.iter().chain([&network.input, &output]).collect();
    let bytes: Vec<Vec<u8>> =
        all.iter().map(|named| named.values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let mut views = Vec::new();
    for (named, bytes) in all.iter().zip(&bytes) {
        let view =
            TensorView::new(Dtype::F32, named.shape.clone(), bytes).map_err(|error| error.to_string())?;
        views.push((named.name.clone(), view));
    }
    let file = safetensors::serialize(views, None).map_err(|error| error.to_string())?;
    std::fs::write(folder.join("network.safetensors"), file).map_err(|error| error.to_string())
}
