//! The sentence encoder beside the reference implementation. Needs `METACLINIC_MODELS`, a folder with
//! `model.safetensors` and `tokenizer.json` of all-MiniLM-L6-v2; says so and passes when there is none.
//!
//! `minilm/texts.json` and `minilm/embeddings.f32` hold twelve texts, the tokens that the `tokenizers` package makes
//! of them (truncated to 256, no padding), and what `BertModel` of transformers on PyTorch 2.15 makes of each by
//! itself: the last hidden state, averaged over all tokens, divided by its length; 384 little-endian f32 a text.

#![expect(clippy::unwrap_used, reason = "the whole target is a test")]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use metaclinic_inference::Backend;
use metaclinic_inference::text::{
    EMBEDDING, Embedding, HALF_WEIGHTS, MAX_TOKENS, SentenceEncoder, TOKENIZER, WEIGHTS, halve, nearest,
};
use serde_json::Value;

/// What the encoder may differ from the reference by.
const NEAR: f32 = 1e-4;

/// Weights and tokenizer, if the environment names their folder.
fn files() -> Option<(Vec<u8>, Vec<u8>)> {
    let folder = std::env::var_os("METACLINIC_MODELS").map(PathBuf::from);
    let read = |name| fs::read(folder.as_ref()?.join(name)).ok();
    let files = Some((read(WEIGHTS.name)?, read(TOKENIZER.name)?));
    files.inspect(|(weights, _)| assert!(WEIGHTS.is(weights), "another model"))
}

fn reference() -> (Vec<(String, Vec<u32>)>, Vec<Embedding>) {
    let texts: Vec<Value> = serde_json::from_str(include_str!("minilm/texts.json")).unwrap();
    let tokens = |text: &Value| {
        text["tokens"].as_array().unwrap().iter().map(|t| t.as_u64().unwrap() as u32).collect()
    };
    let texts = texts.iter().map(|text| (text["text"].as_str().unwrap().to_owned(), tokens(text))).collect();
    let values: Vec<f32> = include_bytes!("minilm/embeddings.f32")
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    (texts, values.as_chunks::<EMBEDDING>().0.to_vec())
}

fn farthest(a: &[Embedding], b: &[Embedding]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn embeddings_are_those_of_the_reference() {
    let Some((weights, tokenizer)) = files() else {
        println!("skipped: METACLINIC_MODELS names no folder with {} and {}", WEIGHTS.name, TOKENIZER.name);
        return;
    };
    let (texts, expected) = reference();
    let words: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    for backend in Backend::ALL {
        let started = Instant::now();
        let encoder = SentenceEncoder::load(&weights, &tokenizer, *backend).unwrap();
        println!("{backend}: loaded in {:?}", started.elapsed());
        for (text, tokens) in &texts {
            assert_eq!(&encoder.tokens(text), tokens, "{text}");
        }
        let together = farthest(&encoder.embed(&words).unwrap(), &expected);
        println!("{backend}: off by {together:e}");
        assert!(together < NEAR && encoder.embed(&[]).unwrap().is_empty());
    }
    assert_eq!(texts.iter().map(|(_, tokens)| tokens.len()).max(), Some(MAX_TOKENS));
}

#[test]
fn texts_by_themselves_are_the_same_and_take_this_long() {
    let Some((weights, tokenizer)) = files() else {
        println!("skipped: METACLINIC_MODELS names no folder with {} and {}", WEIGHTS.name, TOKENIZER.name);
        return;
    };
    let encoder = SentenceEncoder::load(&weights, &tokenizer, Backend::default()).unwrap();
    let (texts, expected) = reference();
    let alone: Vec<Embedding> = texts.iter().map(|(text, _)| encoder.embed(&[text]).unwrap()[0]).collect();
    assert!(farthest(&alone, &expected) < NEAR);
    for count in [16, 128, 256] {
        let text = "pain ".repeat(count - 2);
        assert_eq!(encoder.tokens(&text).len(), count);
        let times = (0..9).map(|_| {
            let started = Instant::now();
            encoder.embed(&[&text]).unwrap();
            started.elapsed()
        });
        println!("{count} tokens in {:?}", times.min().unwrap());
    }
}

#[test]
fn half_precision_is_as_near_as_it_says() {
    let Some((weights, tokenizer)) = files() else {
        println!("skipped: METACLINIC_MODELS names no folder with {} and {}", WEIGHTS.name, TOKENIZER.name);
        return;
    };
    let half = halve(&weights).unwrap();
    println!("{} bytes, {}", half.len(), metaclinic_inference::sha256(&half));
    assert!(HALF_WEIGHTS.is(&half));
    let (texts, expected) = reference();
    let words: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let embeddings =
        SentenceEncoder::load(&half, &tokenizer, Backend::default()).unwrap().embed(&words).unwrap();
    let worst =
        embeddings.iter().zip(&expected).map(|(a, b)| nearest(a, &[*b], 1)[0].cosine).fold(1.0, f32::min);
    println!("cosine with single precision: at least {worst}");
    assert!(worst > 0.9999);
}
