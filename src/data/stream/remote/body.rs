//! The bytes of a URL, asked for again where the connection breaks or the server is silent.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{HeaderMap, Response};
use ureq::{Agent, BodyReader};

use super::objects::resolve;
use super::{Client, Failed, Remote};
use crate::error::{Error, Result};

/// Tries without a byte after which a server is given up.
const TRIES: u32 = 6;
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// Shares of the idle time that are waited before the first and the last try.
const PAUSES: [u32; 2] = [120, 4];

const NO_RANGE: &str = "the server sends whole files only (no HTTP Range), which Parquet needs; \
     download it first";

pub(super) fn agent(idle: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("SINGER/", env!("CARGO_PKG_VERSION")))
        // The bytes as they are stored, or a range of them would not be what was asked for.
        .accept_encoding("identity")
        .timeout_connect(Some(idle.min(CONNECT)))
        .timeout_recv_response(Some(idle))
        .timeout_per_read(Some(idle));
    config.build().new_agent()
}

/// A try that failed.
enum Failure {
    /// Another may not.
    Passing(String),
    /// So will all others.
    Lasting(String),
}

/// The bytes of a URL from some place on.
pub(in crate::data::stream) struct Body {
    remote: Remote,
    client: Client,
    /// Place of the next byte.
    at: u64,
    /// Where the first byte was.
    from: u64,
    /// Length of the whole, where the server states it.
    total: Option<u64>,
    /// The server's mark of this version.
    version: Option<String>,
    reader: Option<BodyReader<'static>>,
    /// Tries since the last byte.
    tries: u32,
}

impl Remote {
    /// The bytes from `from` on.
    ///
    /// # Errors
    /// [`Error::Data`] where the server refuses, or does not answer several times.
    pub(in crate::data::stream) fn body(&self, from: u64, client: &Client) -> Result<Body> {
        let mut body = Body {
            remote: self.clone(),
            client: client.clone(),
            at: from,
            from,
            total: None,
            version: None,
            reader: None,
            tries: 0,
        };
        body.connect().map_err(|Failed(reason)| Error::data(self.to_string(), reason))?;
        Ok(body)
    }

    /// Length of the whole in bytes.
    ///
    /// # Errors
    /// As [`body`](Self::body), and where the server does not state it.
    pub(in crate::data::stream) fn length(&self, client: &Client) -> Result<u64> {
        let body = self.body(1, client)?;
        body.total.ok_or_else(|| Error::data(self.to_string(), NO_RANGE))
    }
}

impl Body {
    /// Asks until there is an answer or no hope.
    fn connect(&mut self) -> std::result::Result<(), Failed> {
        loop {
            match self.ask() {
                Ok(reader) => {
                    self.reader = Some(reader);
                    return Ok(());
                }
                Err(Failure::Lasting(reason)) => return Err(Failed(reason)),
                Err(Failure::Passing(reason)) => self.wait(&reason)?,
            }
        }
    }

    /// Waits before another try; fails where there were enough.
    fn wait(&mut self, reason: &str) -> std::result::Result<(), Failed> {
        self.reader = None;
        self.tries += 1;
        if self.tries >= TRIES {
            return Err(Failed(format!("{reason}, {TRIES} times in a row; try again later")));
        }
        let [first, last] = PAUSES.map(|share| self.client.idle / share);
        std::thread::sleep((first * 2_u32.pow(self.tries - 1)).min(last));
        Ok(())
    }

    fn ask(&mut self) -> std::result::Result<BodyReader<'static>, Failure> {
        let url = resolve(&self.remote.url).map_err(Failure::Lasting)?;
        let mut request = self.client.agent.get(&url);
        if self.at > 0 {
            request = request.header("Range", format!("bytes={}-", self.at));
        }
        let answer = request.call().map_err(|error| failure(&error))?;
        let status = answer.status().as_u16();
        match status {
            200 => self.whole(answer),
            206 => {
                let range = header(answer.headers(), "content-range").unwrap_or_default();
                let range = content_range(range);
                let Some((start, total)) = range.filter(|&(start, _)| start == self.at) else {
                    return Err(Failure::Lasting("the server sent another part than asked".into()));
                };
                debug_assert_eq!(start, self.at);
                self.same(answer.headers(), total)?;
                Ok(answer.into_body().into_reader())
            }
            408 | 425 | 429 | 500..=599 => {
                Err(Failure::Passing(format!("the server answered with status {status}")))
            }
            _ => {
                let said = match status {
                    401 | 403 => ": it wants keys, or others than these",
                    404 | 410 => ": there is no such file",
                    _ => "",
                };
                Err(Failure::Lasting(format!("the server answered with status {status}{said}")))
            }
        }
    }

    /// From an answer with the whole: what was read already is read again.
    fn whole(
        &mut self,
        answer: Response<ureq::Body>,
    ) -> std::result::Result<BodyReader<'static>, Failure> {
        if self.from > 0 {
            return Err(Failure::Lasting(NO_RANGE.into()));
        }
        let total = header(answer.headers(), "content-length").and_then(|text| text.parse().ok());
        self.same(answer.headers(), total)?;
        let mut reader = answer.into_body().into_reader();
        let skipped = io::copy(&mut reader.by_ref().take(self.at), &mut io::sink());
        match skipped {
            Ok(skipped) if skipped == self.at => Ok(reader),
            Ok(_) => Err(Failure::Passing("the connection broke".into())),
            Err(error) => Err(Failure::Passing(format!("the connection broke ({error})"))),
        }
    }

    /// Fails where this is another version than before.
    fn same(
        &mut self,
        headers: &HeaderMap,
        total: Option<u64>,
    ) -> std::result::Result<(), Failure> {
        let version = header(headers, "etag").map(str::to_owned);
        let differs = |old: bool| old.then(|| "it changed on the server while it was read".into());
        let other_total = self.total.zip(total).is_some_and(|(old, new)| old != new);
        let other_version =
            self.version.as_ref().zip(version.as_ref()).is_some_and(|(old, new)| old != new);
        if let Some(reason) = differs(other_total || other_version) {
            return Err(Failure::Lasting(reason));
        }
        self.total = self.total.or(total);
        self.version = self.version.take().or(version);
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.total.is_some_and(|total| self.at >= total) {
                return Ok(0);
            }
            let Some(reader) = &mut self.reader else {
                self.connect().map_err(io::Error::other)?;
                continue;
            };
            let reason = match reader.read(buffer) {
                Ok(0) if self.total.is_none() => return Ok(0),
                Ok(0) => "the connection broke".to_owned(),
                Ok(count) => {
                    self.at += count as u64;
                    self.tries = 0;
                    return Ok(count);
                }
                Err(error) => format!("the connection broke ({error})"),
            };
            self.wait(&reason).map_err(io::Error::other)?;
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Start and whole length in `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split('-').next()?.trim().parse().ok()?, total.trim().parse().ok()))
}

fn failure(error: &ureq::Error) -> Failure {
    use ureq::Error as Ureq;
    match error {
        Ureq::Timeout(_) => Failure::Passing("the server was silent for too long".into()),
        Ureq::Io(error) => Failure::Passing(format!("the server cannot be reached ({error})")),
        Ureq::HostNotFound => Failure::Passing("there is no such server".into()),
        Ureq::ConnectionFailed | Ureq::Protocol(_) => {
            Failure::Passing(format!("the server cannot be reached ({error})"))
        }
        _ => Failure::Lasting(error.to_string()),
    }
}
