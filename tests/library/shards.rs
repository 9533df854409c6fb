//! Shards for tests: images of one colour that tells which one it is, in tar and Parquet files,
//! and a server for them.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tiny_http::{Header, Response, Server};

/// A PNG that says that it is image `number`.
pub(crate) fn png(number: usize) -> Vec<u8> {
    let colour = Rgb([(number % 256) as u8, (number / 256) as u8, 9]);
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(6, 5, colour).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A tar file of members by name.
pub(crate) fn tar_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A shard of images with their number modulo 5 as `.cls`.
pub(crate) fn shard(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let members = numbers.flat_map(|number| {
        [
            (format!("{number:06}.png"), png(number)),
            (format!("{number:06}.cls"), (number % 5).to_string().into_bytes()),
        ]
    });
    tar_of(&members.collect::<Vec<_>>())
}

/// `shards` tar files `0.tar`, `1.tar`, … of `each` images in a folder.
pub(crate) fn write_tars(folder: &Path, shards: usize, each: usize) {
    for index in 0..shards {
        let bytes = shard(index * each..(index + 1) * each);
        std::fs::write(folder.join(format!("{index}.tar")), bytes).unwrap();
    }
}

/// How a Parquet file is written.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    /// Rows in a group.
    pub group: usize,
    /// Whether the footer names the classes, as the hub does.
    pub named: bool,
    pub compression: Compression,
}

impl Default for Table {
    fn default() -> Self {
        Self { group: 7, named: true, compression: Compression::SNAPPY }
    }
}

/// A Parquet file as the hub stores images, labelled by their number modulo 5.
pub(crate) fn parquet_of(numbers: std::ops::Range<usize>, table: Table) -> Vec<u8> {
    let schema = "message schema {
        optional group image { optional binary bytes; optional binary path (STRING); }
        optional int64 label;
    }";
    let features = r#"{"info": {"features": {"image": {"_type": "Image"}, "label":
        {"names": ["zero", "one", "two", "three", "four"], "_type": "ClassLabel"}}}}"#;
    let pair = KeyValue::new("huggingface".to_owned(), Some(features.to_owned()));
    let properties = WriterProperties::builder()
        .set_compression(table.compression)
        .set_key_value_metadata(table.named.then(|| vec![pair]))
        .set_data_page_row_count_limit(3)
        .set_write_batch_size(3)
        .build();
    let mut writer = SerializedFileWriter::new(
        Vec::new(),
        Arc::new(parse_message_type(schema).unwrap()),
        Arc::new(properties),
    )
    .unwrap();
    let numbers: Vec<usize> = numbers.collect();
    for rows in numbers.chunks(table.group) {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> = rows.iter().map(|&number| png(number).into()).collect();
        let mut column = group.next_column().unwrap().unwrap();
        let there = vec![2; rows.len()];
        column.typed::<ByteArrayType>().write_batch(&images, Some(&there), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let absent = vec![1; rows.len()];
        column.typed::<ByteArrayType>().write_batch(&[], Some(&absent), None).unwrap();
        column.close().unwrap();
        let labels: Vec<i64> = rows.iter().map(|number| (number % 5) as i64).collect();
        let mut column = group.next_column().unwrap().unwrap();
        let there = vec![1; rows.len()];
        column.typed::<Int64Type>().write_batch(&labels, Some(&there), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

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
    let asked = Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
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

fn answer(request: tiny_http::Request, path: &PathBuf, fault: Fault, first: bool) {
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
