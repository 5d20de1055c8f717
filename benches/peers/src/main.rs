//! Times tract on `network.onnx` in a folder, with the input of `network.safetensors` beside it; one thread. Prints how far
//! the output is from ours and the shortest time in milliseconds, as JSON.
#![allow(clippy::print_stdout, reason = "this program is there to print")]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use safetensors::SafeTensors;
use tract_onnx::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: tract-times FOLDER")?);
    let bytes = std::fs::read(folder.join("network.safetensors"))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let values = |name: &str| -> Result<(Vec<usize>, Vec<f32>), Box<dyn Error>> {
        let tensor = tensors.tensor(name)?;
        let numbers = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Ok((tensor.shape().to_vec(), numbers.collect()))
    };
    let (shape, input) = values("input")?;
    let (_, expected) = values("output")?;
    let model = tract_onnx::onnx().model_for_path(folder.join("network.onnx"))?.into_optimized()?.into_runnable()?;
    // Words are whole numbers.
    let whole = std::env::args().nth(2).is_some_and(|kind| kind == "minilm");
    let given: Tensor = if whole {
        let words: Vec<i64> = input.iter().map(|word| *word as i64).collect();
        Tensor::from_shape(&shape, &words)?
    } else {
        Tensor::from_shape(&shape, &input)?
    };
    let told = model.run(tvec!(given.clone().into()))?;
    let told = told[0].to_plain_array_view::<f32>()?;
    let apart = told.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let mut shortest = Duration::MAX;
    let (mut count, begun) = (0, Instant::now());
    while count < 5 || (begun.elapsed() < Duration::from_secs(2) && count < 400) {
        let started = Instant::now();
        model.run(tvec!(given.clone().into()))?;
        shortest = shortest.min(started.elapsed());
        count += 1;
    }
    println!("{{\"apart\": {apart:e}, \"one_thread_ms\": {}}}", shortest.as_secs_f64() * 1e3);
    Ok(())
}
