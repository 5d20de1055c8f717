//! What the numbers of a model are computed with.

use std::fmt;
use std::str::FromStr;

use burn::prelude::Device;

/// A backend of burn. All give the same results within rounding; they differ in speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// burn-flex: the default. As fast as the other for the models here (`benches/results/backend.json`), and kept up.
    #[default]
    Flex,
    /// burn-ndarray: for comparison; its authors have given it up.
    #[cfg(feature = "ndarray")]
    NdArray,
}

/// A backend that this program was not built with, or that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such backend here; built with: {}", Backend::names())]
pub struct UnknownBackend;

impl Backend {
    /// Those that this program was built with, the default first.
    pub const ALL: &'static [Backend] = &[
        Backend::Flex,
        #[cfg(feature = "ndarray")]
        Backend::NdArray,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Flex => "flex",
            #[cfg(feature = "ndarray")]
            Backend::NdArray => "ndarray",
        }
    }

    fn names() -> String {
        Backend::ALL.iter().map(|backend| backend.name()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn device(self) -> Device {
        match self {
            Backend::Flex => Device::flex(),
            #[cfg(feature = "ndarray")]
            #[expect(deprecated, reason = "kept for comparison, behind a feature")]
            Backend::NdArray => Device::ndarray(),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Backend, UnknownBackend> {
        Backend::ALL.iter().copied().find(|backend| backend.name() == text).ok_or(UnknownBackend)
    }
}
