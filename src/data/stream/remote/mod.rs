//! Shards on servers, by URL: `http://`, `https://`, `s3://BUCKET/KEY` and `gs://BUCKET/KEY`.

#[cfg(feature = "remote")]
mod body;
#[cfg(feature = "remote")]
mod objects;

use std::fmt;
use std::time::Duration;

#[cfg(not(feature = "remote"))]
use crate::error::{Error, Result};

/// How long a server may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// Why a server gave no bytes, inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(String);

/// What speaks with servers, and how patiently.
#[derive(Debug, Clone)]
pub(super) struct Client {
    #[cfg(feature = "remote")]
    agent: ureq::Agent,
    #[cfg(feature = "remote")]
    idle: Duration,
}

impl Default for Client {
    fn default() -> Self {
        Self::new(IDLE)
    }
}

impl Client {
    /// A client that tries again where a server is silent for this long.
    pub(super) fn new(idle: Duration) -> Self {
        #[cfg(feature = "remote")]
        return Self { agent: body::agent(idle), idle };
        #[cfg(not(feature = "remote"))]
        {
            let _ = idle;
            Self {}
        }
    }
}

/// The URL of a shard. It is shown without its query, which may hold a signature.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    url: String,
}

impl Remote {
    /// Whether a place is a URL that can be read.
    pub(super) fn is_url(place: &str) -> bool {
        ["http://", "https://", "s3://", "gs://"].iter().any(|scheme| {
            place.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
    }

    pub(super) fn new(url: String) -> Self {
        Self { url }
    }

    /// The URL up to its query; an object's key has none.
    pub(super) fn path(url: &str) -> &str {
        let scheme = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
        let end = if scheme.starts_with("http") { url.find(['?', '#']) } else { None };
        &url[..end.unwrap_or(url.len())]
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Self::path(&self.url);
        // Nor the user and password that may stand before the host.
        let Some((scheme, rest)) = path.split_once("://") else { return out.write_str(path) };
        let host = rest.split('/').next().unwrap_or_default();
        let rest = host.rfind('@').map_or(rest, |at| &rest[at + 1..]);
        write!(out, "{scheme}://{rest}")
    }
}

#[cfg(not(feature = "remote"))]
impl Remote {
    /// # Errors
    /// [`Error::Data`]: this build reads no URLs.
    pub(super) fn body(&self, _: u64, _: &Client) -> Result<std::io::Empty> {
        Err(self.lacking())
    }

    /// # Errors
    /// [`Error::Data`]: this build reads no URLs.
    pub(super) fn length(&self, _: &Client) -> Result<u64> {
        Err(self.lacking())
    }

    fn lacking(&self) -> Error {
        Error::data(
            self.to_string(),
            "this build reads no URLs; build it with the feature `remote`",
        )
    }
}
