//! Shards for tests: images of one colour that tells which one it is, in tar and Parquet files.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::{ImageFormat, Rgb, RgbImage};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

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
