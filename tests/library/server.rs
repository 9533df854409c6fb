//! A server of files that does things wrong.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tiny_http::{Header, Response, Server};

/// What a server does wrong.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Sends whole files only.
    NoRange,
    /// Breaks each first connection for a file halfway.
    Cut,
    /// The same, and sends whole files only.
    CutNoRange,
    /// Is silent at the first request for a file, for this many milliseconds.
    Silent(u64),
    /// Answers with this status.
    Status(u16),
    /// Answers with this status at the first request for a file.
    FirstStatus(u16),
}

/// A server of the files in a folder; it stops with the test's process.
pub(crate) struct Served {
    pub url: String,
    pub requests: Arc<AtomicUsize>,
}

pub(crate) fn serve(folder: &Path, fault: Fault) -> Served {
    let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
    let url = format!("http://{}", server.server_addr());
    let requests = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    for _ in 0..8 {
        let (server, folder, requests) = (server.clone(), folder.to_owned(), requests.clone());
        let asked = asked.clone();
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                requests.fetch_add(1, Ordering::Relaxed);
                let path = request.url().split('?').next().unwrap_or_default().to_owned();
                let first = asked.lock().unwrap().insert(path.clone());
                answer(request, &folder.join(path.trim_start_matches('/')), fault, first);
            }
        });
    }
    Served { url, requests }
}

fn answer(request: tiny_http::Request, path: &Path, fault: Fault, first: bool) {
    let status = match fault {
        Fault::Status(status) => Some(status),
        Fault::FirstStatus(status) if first => Some(status),
        _ => None,
    };
    if let Some(status) = status {
        let _ = request.respond(Response::empty(status));
        return;
    }
    if let (Fault::Silent(time), true) = (fault, first) {
        std::thread::sleep(Duration::from_millis(time));
    }
    let Ok(bytes) = std::fs::read(path) else {
        let _ = request.respond(Response::empty(404));
        return;
    };
    let range = request.headers().iter().find(|header| header.field.equiv("Range"));
    let from = range.and_then(|header| {
        header.value.as_str().strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok()
    });
    let from = from.filter(|_| !matches!(fault, Fault::NoRange | Fault::CutNoRange));
    let start = from.unwrap_or(0).min(bytes.len());
    let part = bytes[start..].to_vec();
    let length = part.len();
    let cut = matches!(fault, Fault::Cut | Fault::CutNoRange) && first;
    let sent = if cut { length / 2 } else { length };
    let mut headers = Vec::new();
    if from.is_some() {
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        headers.push(Header::from_bytes(&b"Content-Range"[..], range.as_bytes()).unwrap());
    }
    let body = Cursor::new(part).take(sent as u64);
    // A body shorter than its length ends the connection, as a broken one does.
    let status = if from.is_some() { 206 } else { 200 };
    let response = Response::new(status.into(), headers, body, Some(length), None);
    let _ = request.respond(response.with_chunked_threshold(usize::MAX));
}
