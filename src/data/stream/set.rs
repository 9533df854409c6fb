//! Images of shards that are read by index.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use image::RgbImage;

use super::ImageStream;
use super::order::Turns;
use super::parquet::Table;
use super::sample::Sample;
use super::shard::{Format, Shard};
use crate::data::decode::decode_within;
use crate::data::image_set::{ImageSet, ImageSource};
use crate::error::{Error, Result};

/// Shards from which a limited number of images is taken.
const SPREAD: usize = 16;
/// The most bytes of encoded images that are kept in memory.
const MAX_BYTES: u64 = 4 << 30;
/// Groups of rows that are kept in memory, and their bytes beyond the newest.
const CACHED: (usize, u64) = (4, 512 << 20);

impl ImageStream {
    /// Images that are read by index; with a `limit` at most so many, spread over the shards.
    /// Local tar files are read where they are, local Parquet files group by group of rows. Of
    /// others the encoded images are kept in memory.
    ///
    /// # Errors
    /// [`Error::OnePass`] for shards on servers without a limit; [`Error::Data`] for more than
    /// 4 GiB in memory; errors of the shards.
    pub fn into_set(self, limit: Option<usize>) -> Result<ImageSet> {
        let all =
            |format| self.is_local() && self.shards.iter().all(|shard| shard.format == format);
        let part = self.part.1 > 1;
        let limit = limit.filter(|&limit| self.len().is_none_or(|length| limit < length));
        if all(Format::Tar) && !part {
            let set = ImageSet::new(Samples::all(self)?);
            return Ok(limit.map_or_else(|| set.clone(), |limit| set.sample(limit)));
        }
        if all(Format::Parquet) && !part && limit.is_none() {
            return Rows::new(self).map(ImageSet::new);
        }
        if limit.is_none() && !self.is_local() {
            return Err(Error::OnePass { place: self.named() });
        }
        Samples::kept(self, limit).map(ImageSet::new)
    }
}

fn decoded(sample: &Sample, stream: &ImageStream) -> Result<RgbImage> {
    decode_within(&sample.bytes()?, &sample.path(), stream.max_pixels)
}

/// Samples: references into local tar files, or encoded images in memory.
struct Samples {
    stream: ImageStream,
    images: Vec<(Sample, usize)>,
}

impl Samples {
    /// All samples of shards that are local.
    fn all(stream: ImageStream) -> Result<Self> {
        let mut samples = Vec::with_capacity(stream.len().unwrap_or(0));
        for shard in stream.shards.iter() {
            shard.read(&stream.client, &mut |sample| {
                samples.push(sample);
                true
            })?;
        }
        let images = samples.into_iter().map(|sample| {
            let label = stream.label(&sample)?.unwrap_or(0);
            Ok((Sample { label: None, ..sample }, label))
        });
        let images = images.collect::<Result<_>>()?;
        Ok(Self { stream, images })
    }

    /// At most `limit` samples in memory, of evenly spread shards.
    fn kept(stream: ImageStream, limit: Option<usize>) -> Result<Self> {
        let count = stream.shards.len();
        let most = limit.unwrap_or(usize::MAX);
        let width = count.min(SPREAD).min(most.max(1));
        // Evenly spread shards first, then the others.
        let mut shards: Vec<usize> = (0..width).map(|place| place * count / width).collect();
        let others: Vec<usize> = (0..count).filter(|shard| !shards.contains(shard)).collect();
        shards.extend(others);
        let (mut images, mut bytes) = (Vec::new(), 0);
        for sample in Turns::new(&stream, shards, width).take(most) {
            let sample = sample?;
            bytes += sample.length();
            if bytes > MAX_BYTES {
                let reason = format!(
                    "{} images of its shards come to more than {} GiB, which would have to be kept in memory",
                    images.len() + 1,
                    MAX_BYTES >> 30
                );
                return Err(Error::data(stream.named(), reason));
            }
            let label = stream.label(&sample)?.unwrap_or(0);
            images.push((sample, label));
        }
        if images.is_empty() {
            return Err(Error::NoImages);
        }
        Ok(Self { stream, images })
    }
}

impl ImageSource for Samples {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        self.stream.classes()
    }

    fn label(&self, index: usize) -> Option<usize> {
        (!self.classes().is_empty()).then_some(self.images[index].1)
    }

    fn name(&self, index: usize) -> String {
        self.images[index].0.path().display().to_string()
    }

    fn file_size(&self, index: usize) -> Result<Option<u64>> {
        Ok(Some(self.images[index].0.length()))
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        decoded(&self.images[index].0, &self.stream)
    }
}

/// Rows of local Parquet files, of which some groups are in memory.
struct Rows {
    stream: ImageStream,
    tables: Vec<Table>,
    /// Table, group and number of the first row of each group.
    groups: Vec<(usize, usize, usize)>,
    /// The class of each row; empty where the images have no labels.
    labels: Vec<usize>,
    length: usize,
    cache: Mutex<VecDeque<(usize, Arc<Vec<Sample>>)>>,
}

impl Rows {
    fn new(stream: ImageStream) -> Result<Self> {
        let opened = |shard: &Arc<Shard>| shard.guarded(|| Table::open(shard, &stream.client));
        let tables = stream.shards.iter().map(opened).collect::<Result<Vec<_>>>()?;
        let (mut groups, mut labels, mut length) = (Vec::new(), Vec::new(), 0);
        for (number, (table, shard)) in tables.iter().zip(stream.shards.iter()).enumerate() {
            for group in 0..table.groups() {
                groups.push((number, group, length));
                length += table.group_rows(group);
            }
            if !stream.classes().is_empty() {
                shard.guarded(|| {
                    table.labels(|row, label| {
                        labels
                            .push(stream.class(label, || shard.path().join(format!("row {row}")))?);
                        Ok(())
                    })
                })?;
            }
        }
        Ok(Self { stream, tables, groups, labels, length, cache: Mutex::default() })
    }

    /// Number of the group that holds row `index`.
    fn group(&self, index: usize) -> usize {
        self.groups.partition_point(|&(.., first)| first <= index) - 1
    }

    fn samples(&self, number: usize) -> Result<Arc<Vec<Sample>>> {
        let mut cache = self.cache.lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some((_, samples)) = cache.iter().find(|(known, _)| *known == number) {
            return Ok(Arc::clone(samples));
        }
        let (table, group, _) = self.groups[number];
        let mut samples = Vec::new();
        self.stream.shards[table].guarded(|| {
            self.tables[table].read_group(group, &mut |sample| {
                samples.push(sample);
                true
            })
        })?;
        let samples = Arc::new(samples);
        let size = |samples: &[Sample]| samples.iter().map(Sample::length).sum::<u64>();
        let (most, most_bytes) = CACHED;
        let bytes = |cache: &VecDeque<(usize, Arc<Vec<Sample>>)>| {
            cache.iter().map(|(_, samples)| size(samples)).sum::<u64>()
        };
        while cache.len() >= most || (!cache.is_empty() && bytes(&cache) > most_bytes) {
            cache.pop_front();
        }
        cache.push_back((number, Arc::clone(&samples)));
        Ok(samples)
    }
}

impl ImageSource for Rows {
    fn len(&self) -> usize {
        self.length
    }

    fn classes(&self) -> &[String] {
        self.stream.classes()
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).copied()
    }

    fn name(&self, index: usize) -> String {
        let (table, _, _) = self.groups[self.group(index)];
        let before = self.groups.iter().find(|&&(other, ..)| other == table);
        let row = index - before.map_or(0, |&(.., first)| first);
        self.stream.shards[table].path().join(format!("row {row}")).display().to_string()
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let number = self.group(index);
        let samples = self.samples(number)?;
        let sample = samples.get(index - self.groups[number].2).ok_or_else(|| {
            Error::data(self.name(index), "is missing, though the file counts it")
        })?;
        decoded(sample, &self.stream)
    }
}
