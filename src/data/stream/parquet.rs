//! Images in Parquet files, as the Hugging Face hub stores data sets: a column of groups
//! `{bytes, path}` or of plain bytes, and a column of labels.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use parquet::basic::{LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;

use super::remote::Client;
use super::sample::{Content, Sample};
use super::shard::{Give, Place, Shard, Survey};
use crate::data::files::MAX_FILE;
use crate::error::{Error, Result};

/// Usual names of the images' column.
const IMAGES: [&str; 4] = ["image", "img", "jpg", "png"];
/// Usual names of the labels' column, in order of preference.
const LABELS: [&str; 7] = ["label", "labels", "fine_label", "cls", "class", "target", "category"];
/// Rows that are decoded together.
const ROWS: usize = 16;
/// Bytes that are read over rather than asked for anew.
const GAP: u64 = 64 << 10;

type Parquet<T> = Result<T, ParquetError>;

/// What a shard holds, from its footer and, where that names no classes, its labels.
///
/// # Errors
/// [`Error::Data`] where it is damaged, encrypted, or has no images.
pub(super) fn survey(shard: &Arc<Shard>, client: &Client) -> Result<Survey> {
    shard.guarded(|| {
        let file = Table::open(shard, client)?;
        let mut survey = Survey { samples: file.rows(), ..Survey::default() };
        if file.columns.classes.is_some() {
            survey.labelled = if file.has_negative_labels() { 0 } else { survey.samples };
            survey.classes.clone_from(&file.columns.classes);
            return Ok(survey);
        }
        if file.columns.label.is_some() {
            survey.samples = 0;
            file.labels(|_, label| {
                survey.add(label);
                Ok(())
            })?;
        }
        Ok(survey)
    })
}

/// Gives all samples in the file's order.
///
/// # Errors
/// As [`survey`].
pub(super) fn read(shard: &Arc<Shard>, client: &Client, give: &mut Give<'_>) -> Result<()> {
    let file = Table::open(shard, client)?;
    for group in 0..file.meta.num_row_groups() {
        if !file.read_group(group, give)? {
            break;
        }
    }
    Ok(())
}

/// An open file.
pub(super) struct Table {
    shard: Arc<Shard>,
    client: Client,
    length: u64,
    meta: ParquetMetaData,
    columns: Columns,
}

/// The columns that matter, by number.
struct Columns {
    image: usize,
    label: Option<usize>,
    /// Names of the classes, where the file states them.
    classes: Option<Vec<String>>,
}

impl Table {
    /// Reads the footer.
    pub(super) fn open(shard: &Arc<Shard>, client: &Client) -> Result<Self> {
        let length = match &shard.place {
            Place::Local(path) => path.metadata().map_err(|error| Error::io(path, error))?.len(),
            Place::Remote(remote) => remote.length(client)?,
        };
        let bytes = Chunks::new(shard, client, length);
        let meta = ParquetMetaDataReader::new().parse_and_finish(&bytes);
        let meta = meta.map_err(|error| damaged(shard, &error))?;
        let columns = Columns::of(meta.file_metadata()).map_err(|reason| shard.error(reason))?;
        Ok(Self { shard: Arc::clone(shard), client: client.clone(), length, meta, columns })
    }

    fn damaged(&self, error: &ParquetError) -> Error {
        damaged(&self.shard, error)
    }

    pub(super) fn groups(&self) -> usize {
        self.meta.num_row_groups()
    }

    /// Rows of a group.
    pub(super) fn group_rows(&self, group: usize) -> usize {
        usize::try_from(self.meta.row_group(group).num_rows()).unwrap_or(0)
    }

    fn rows(&self) -> usize {
        (0..self.groups()).map(|group| self.group_rows(group)).sum()
    }

    /// Whether a label is below 0, as the hub marks test images.
    fn has_negative_labels(&self) -> bool {
        let Some(label) = self.columns.label else { return false };
        self.meta.row_groups().iter().any(|group| match group.column(label).statistics() {
            Some(Statistics::Int64(values)) => values.min_opt().is_some_and(|&least| least < 0),
            Some(Statistics::Int32(values)) => values.min_opt().is_some_and(|&least| least < 0),
            _ => false,
        })
    }

    /// Goes through the labels of all rows.
    ///
    /// # Errors
    /// [`Error::Data`] where they are damaged; the errors of `each`.
    pub(super) fn labels(
        &self,
        mut each: impl FnMut(usize, Option<&str>) -> Result<()>,
    ) -> Result<()> {
        let mut row = 0;
        for group in 0..self.groups() {
            let mut labels = match self.columns.label {
                Some(column) => self.column(group, column)?,
                None => return Ok(()),
            };
            loop {
                let some = labels.labels(ROWS * ROWS).map_err(|error| self.damaged(&error))?;
                if some.is_empty() {
                    break;
                }
                for label in some {
                    each(row, label.as_deref())?;
                    row += 1;
                }
            }
        }
        Ok(())
    }

    /// Gives the samples of a group of rows; false where no more are wanted.
    pub(super) fn read_group(&self, group: usize, give: &mut Give<'_>) -> Result<bool> {
        let damaged = |error| self.damaged(&error);
        let mut images = self.column(group, self.columns.image)?;
        let mut labels = self.columns.label.map(|column| self.column(group, column)).transpose()?;
        let mut row: usize = (0..group).map(|group| self.group_rows(group)).sum();
        loop {
            let some = images.images(ROWS).map_err(damaged)?;
            if some.is_empty() {
                return Ok(true);
            }
            let mut texts = match &mut labels {
                Some(labels) => labels.labels(some.len()).map_err(damaged)?,
                None => Vec::new(),
            };
            texts.resize(some.len(), None);
            for (image, label) in some.into_iter().zip(texts) {
                let content = match image {
                    // Copied: a slice would keep its whole page in memory.
                    Some(image) if image.len() as u64 <= MAX_FILE => {
                        Content::Bytes(image.data().to_vec())
                    }
                    Some(image) => Content::Refused(format!("has {} bytes", image.len())),
                    None => Content::Refused(
                        "has no image bytes, only a path perhaps; save the set with its images embedded".into(),
                    ),
                };
                let name = format!("row {row}");
                row += 1;
                if !give(Sample {
                    shard: Arc::clone(&self.shard),
                    name,
                    label,
                    content,
                    further: 0,
                }) {
                    return Ok(false);
                }
            }
        }
    }

    /// A reader of one column of a group of rows, by a connection of its own.
    fn column(&self, group: usize, column: usize) -> Result<Column> {
        let rows = self.meta.row_group(group);
        let chunk = rows.column(column);
        let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        if start < 0 || chunk.compressed_size() < 0 {
            return Err(self
                .shard
                .error("not a readable Parquet file (a column before its start)"));
        }
        let bytes = Arc::new(Chunks::new(&self.shard, &self.client, self.length));
        let pages = SerializedPageReader::new(bytes, chunk, self.group_rows(group), None);
        let pages = pages.map_err(|error| self.damaged(&error))?;
        let most = chunk.column_descr().max_def_level();
        let reader = get_column_reader(chunk.column_descr_ptr(), Box::new(pages));
        Ok(Column { reader, most })
    }
}

fn damaged(shard: &Shard, error: &ParquetError) -> Error {
    let reason = match error {
        // What a server said stands for itself.
        ParquetError::External(error) => error.to_string(),
        other => format!("not a readable Parquet file ({other})"),
    };
    shard.error(reason.replace('\n', " "))
}

impl Columns {
    fn of(file: &FileMetaData) -> Result<Self, String> {
        let schema = file.schema_descr();
        let features = features(file);
        let feature = |kind: &str| {
            let all = features.as_ref().and_then(Value::as_object).into_iter().flatten();
            let mut names: Vec<&str> = all
                .filter(|(_, feature)| feature["_type"] == kind)
                .map(|(name, _)| name.as_str())
                .collect();
            names.sort_by_key(|name| LABELS.iter().position(|known| known == name).unwrap_or(99));
            names.first().map(|name| (*name).to_owned())
        };
        let columns: Vec<&ColumnDescriptor> =
            schema.columns().iter().map(|column| &**column).collect();
        let is_bytes = |column: &ColumnDescriptor| {
            column.physical_type() == Type::BYTE_ARRAY
                && column.max_rep_level() == 0
                && !matches!(column.logical_type_ref(), Some(LogicalType::String))
        };
        let image_at = |name: &str| {
            columns.iter().position(|column| {
                let parts = column.path().parts();
                is_bytes(column)
                    && (parts == [name]
                        || (parts.len() == 2 && parts[0] == name && parts[1] == "bytes"))
            })
        };
        let by_name = feature("Image").into_iter().chain(IMAGES.map(str::to_owned));
        let groups = columns
            .iter()
            .filter(|column| matches!(column.path().parts(), [_, bytes] if bytes == "bytes"));
        let mut candidates = by_name.chain(groups.map(|column| column.path().parts()[0].clone()));
        let binary: Vec<usize> =
            (0..columns.len()).filter(|&index| is_bytes(columns[index])).collect();
        let only = match binary.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        let image = candidates.find_map(|name| image_at(&name)).or(only).ok_or_else(|| {
            let names: Vec<String> = columns.iter().map(|column| column.path().string()).collect();
            format!(
                "has no column of images, of the bytes of image files; its columns are {}",
                names.join(", ")
            )
        })?;
        let label_at = |name: &str| {
            columns.iter().position(|column| {
                let simple = column.path().parts() == [name] && column.max_rep_level() == 0;
                let kinds = [Type::INT32, Type::INT64, Type::BYTE_ARRAY];
                simple && kinds.contains(&column.physical_type())
            })
        };
        let named = feature("ClassLabel");
        let label = named.iter().map(String::as_str).chain(LABELS).find_map(|name| {
            label_at(name).filter(|&column| column != image).map(|column| (column, name.to_owned()))
        });
        let classes = label.as_ref().and_then(|(_, name)| {
            let names = features.as_ref()?.get(name)?.get("names")?.as_array()?;
            names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        });
        Ok(Self { image, label: label.map(|(column, _)| column), classes })
    }
}

/// The hub's description of the columns, in the footer.
fn features(file: &FileMetaData) -> Option<Value> {
    let pairs = file.key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_ref()?;
    let mut value: Value = serde_json::from_str(text).ok()?;
    Some(value["info"]["features"].take())
}

/// A column that is being read.
struct Column {
    reader: ColumnReader,
    /// The level at which a value is there.
    most: i16,
}

impl Column {
    /// The next `count` images, fewer at the end.
    fn images(&mut self, count: usize) -> Parquet<Vec<Option<ByteArray>>> {
        match &mut self.reader {
            ColumnReader::ByteArrayColumnReader(reader) => {
                records::<ByteArrayType>(reader, count, self.most)
            }
            _ => Err(ParquetError::General("its images are of another type".into())),
        }
    }

    /// The next `count` labels, fewer at the end; none for those below 0.
    fn labels(&mut self, count: usize) -> Parquet<Vec<Option<String>>> {
        let number = |value: i64| (value >= 0).then(|| value.to_string());
        Ok(match &mut self.reader {
            ColumnReader::Int64ColumnReader(reader) => {
                let values = records(reader, count, self.most)?;
                values.into_iter().map(|value| number(value?)).collect()
            }
            ColumnReader::Int32ColumnReader(reader) => {
                let values = records(reader, count, self.most)?;
                values.into_iter().map(|value| number(value?.into())).collect()
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let values = records::<ByteArrayType>(reader, count, self.most)?;
                let text = |value: ByteArray| String::from_utf8_lossy(value.data()).into_owned();
                values.into_iter().map(|value| value.map(text)).collect()
            }
            _ => return Err(ParquetError::General("its labels are of another type".into())),
        })
    }
}

/// The next `count` values of a column without lists; none for nulls.
fn records<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    count: usize,
    most: i16,
) -> Parquet<Vec<Option<T::T>>> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let (read, ..) = reader.read_records(count, Some(&mut levels), None, &mut values)?;
    if most == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let values =
        levels.iter().take(read).map(|&level| (level == most).then(|| values.next()).flatten());
    Ok(values.collect())
}

/// The bytes of a file for the Parquet reader, which goes through a column from front to back.
struct Chunks {
    cursor: Arc<Mutex<Cursor>>,
    length: u64,
}

struct Cursor {
    shard: Arc<Shard>,
    client: Client,
    reader: Option<Box<dyn Read + Send>>,
    at: u64,
}

impl Chunks {
    fn new(shard: &Arc<Shard>, client: &Client, length: u64) -> Self {
        let cursor =
            Cursor { shard: Arc::clone(shard), client: client.clone(), reader: None, at: 0 };
        Self { cursor: Arc::new(Mutex::new(cursor)), length }
    }
}

impl Cursor {
    /// The reader, at `place`.
    fn seek(&mut self, place: u64) -> io::Result<&mut (dyn Read + Send)> {
        let gap = place.checked_sub(self.at).filter(|&gap| gap <= GAP);
        if let (Some(reader), Some(gap)) = (&mut self.reader, gap) {
            self.at += io::copy(&mut reader.take(gap), &mut io::sink())?;
        }
        if self.at != place || self.reader.is_none() {
            let reader: Box<dyn Read + Send> = match &self.shard.place {
                Place::Local(path) => {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(place))?;
                    Box::new(BufReader::with_capacity(GAP as usize, file))
                }
                Place::Remote(remote) => {
                    Box::new(remote.body(place, &self.client).map_err(io::Error::other)?)
                }
            };
            self.at = place;
            return Ok(&mut **self.reader.insert(reader));
        }
        match &mut self.reader {
            Some(reader) => Ok(&mut **reader),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A reader from some place on; those of one file share its cursor.
struct From {
    cursor: Arc<Mutex<Cursor>>,
    place: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut cursor = self.cursor.lock().unwrap_or_else(|poison| poison.into_inner());
        let count = cursor.seek(self.place)?.read(buffer)?;
        cursor.at += count as u64;
        self.place += count as u64;
        Ok(count)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunks {
    type T = From;

    fn get_read(&self, start: u64) -> Parquet<From> {
        Ok(From { cursor: Arc::clone(&self.cursor), place: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Parquet<Bytes> {
        if start.saturating_add(length as u64) > self.length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.length)));
        }
        let mut bytes = Vec::new();
        self.get_read(start)?.take(length as u64).read_to_end(&mut bytes)?;
        match bytes.len() == length {
            true => Ok(bytes.into()),
            false => Err(ParquetError::EOF("it ends early".into())),
        }
    }
}
