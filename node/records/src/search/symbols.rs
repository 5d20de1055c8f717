//! Texts that occur often, each kept once and named by a small number.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The number of a text in [`Symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Symbol(u32);

/// The empty text: no system, no type.
pub(crate) const EMPTY: Symbol = Symbol(0);

/// An interner. Texts stay until the index is dropped, which locking the home does.
pub(crate) struct Symbols {
    /// By hash, so that no text is kept twice; a text whose hash is taken goes to the next free number.
    numbers: HashMap<u64, Symbol>,
    texts: Vec<Box<str>>,
    hasher: RandomState,
}

impl Symbols {
    pub(crate) fn new() -> Self {
        let mut symbols = Self { numbers: HashMap::new(), texts: Vec::new(), hasher: RandomState::new() };
        symbols.intern("");
        symbols
    }

    /// The number of `text`, new if need be.
    ///
    /// # Panics
    /// When more than 2^32 different texts are kept, which needs hundreds of gigabytes.
    pub(crate) fn intern(&mut self, text: &str) -> Symbol {
        match self.slot(text) {
            Ok(symbol) => symbol,
            Err(free) => {
                let number = u32::try_from(self.texts.len()).expect("memory ends long before 2^32 texts");
                self.texts.push(text.into());
                self.numbers.insert(free, Symbol(number));
                Symbol(number)
            }
        }
    }

    /// The number of `text`, if any resource has brought it.
    pub(crate) fn find(&self, text: &str) -> Option<Symbol> {
        self.slot(text).ok()
    }

    /// The text behind a number of this interner.
    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol.0 as usize).map_or("", AsRef::as_ref)
    }

    /// The number of `text`, or the hash under which it can be kept.
    fn slot(&self, text: &str) -> Result<Symbol, u64> {
        let mut hash = self.hasher.hash_one(text);
        loop {
            match self.numbers.get(&hash) {
                None => return Err(hash),
                Some(symbol) if self.text(*symbol) == text => return Ok(*symbol),
                Some(_) => hash = hash.wrapping_add(1),
            }
        }
    }
}
