//! Shards: what comes out, in which order, and what their faults lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parquet::basic::Compression;
use singer::Error;
use singer::data::{
    ImageStream, Images, Loader, LoaderSettings, Normalise, Order, Pixels, Split, TrainTransform,
    Transform,
};
use tempfile::TempDir;

use super::fuzz::fuzz;
use super::server::{Fault, serve};
use super::shards::{Table, parquet_of, png, shard, tar_of, write_tars};

const PLAIN: Normalise = Normalise { mean: [0.0; 3], std: [1.0; 3] };

fn settings(batch: usize, workers: usize, order: Order) -> LoaderSettings {
    LoaderSettings { batch, seed: 3, workers, order, max_unreadable: 0.0, part: (0, 1) }
}

fn open(place: &str) -> ImageStream {
    ImageStream::open(&[place], Split::Train).unwrap()
}

/// Numbers and labels of `count` batches from batch `first` on.
fn batches(
    stream: &ImageStream,
    settings: LoaderSettings,
    first: usize,
    count: usize,
) -> Vec<Vec<(usize, usize)>> {
    let transform = Transform::Stretch([2, 2]);
    let loader = Loader::start_with_bytes(stream.clone(), transform, PLAIN, settings, first);
    let batches = loader.unwrap().take(count).map(|batch| {
        let batch = batch.unwrap();
        let Pixels::Bytes(bytes, _) = batch.pixels else { panic!("bytes were asked for") };
        let numbers = bytes.chunks(12).map(|image| image[0] as usize + 256 * image[1] as usize);
        numbers.zip(batch.labels).collect()
    });
    batches.collect()
}

fn all(stream: &ImageStream, workers: usize) -> Vec<usize> {
    let batches = batches(stream, settings(7, workers, Order::Sequential), 0, usize::MAX);
    batches.into_iter().flatten().map(|(number, _)| number).collect()
}

fn pattern(folder: &Path, pattern: &str) -> String {
    folder.join(pattern).to_str().unwrap().to_owned()
}

/// A folder of seven tar shards of 31 images.
fn tars() -> (TempDir, ImageStream) {
    let folder = tempfile::tempdir().unwrap();
    write_tars(folder.path(), 7, 31);
    let stream = open(&pattern(folder.path(), "{0..6}.tar"));
    (folder, stream)
}

/// A folder of three Parquet files of 40 images.
fn tables(table: Table) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    for index in 0..3 {
        let bytes = parquet_of(index * 40..(index + 1) * 40, table);
        let name = format!("data/train-{index:05}-of-00003.parquet");
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn a_shard_gives_its_images_in_its_order_with_their_labels() {
    let (_folder, stream) = tars();
    assert_eq!((stream.len(), stream.shards(), stream.classes().len()), (Some(217), 7, 5));
    assert_eq!(all(&stream, 2), (0..217).collect::<Vec<_>>());
    for (number, label) in batches(&stream, settings(5, 2, Order::Shuffled), 0, 20).concat() {
        assert_eq!(label, number % 5);
    }
}

#[test]
fn each_sample_comes_once_in_an_epoch_and_the_next_has_another_order() {
    let (_folder, stream) = tars();
    let numbers: Vec<usize> = batches(&stream, settings(7, 2, Order::Shuffled), 0, 62)
        .concat()
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    let (first, second) = numbers.split_at(217);
    let set: BTreeSet<&usize> = first.iter().collect();
    assert_eq!(set.len(), 217);
    assert_eq!(second.iter().collect::<BTreeSet<_>>(), set);
    assert_ne!(first, second);
    assert_ne!(first, (0..217).collect::<Vec<_>>());
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    let (_folder, stream) = tars();
    let transform = Transform::Train(TrainTransform {
        size: [8, 8],
        scale: [0.2, 1.0],
        ratio: [0.7, 1.4],
        flip: 0.5,
    });
    let run = |workers| -> Vec<(Pixels, Vec<usize>)> {
        let settings = settings(9, workers, Order::Shuffled);
        let loader = Loader::start(stream.clone(), transform, PLAIN, settings, 0).unwrap();
        loader.take(40).map(|batch| batch.unwrap()).map(|b| (b.pixels, b.labels)).collect()
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn a_loader_resumes_exactly_in_the_middle_of_an_epoch() {
    let (folder, tar) = tars();
    let parquet = tables(Table::default());
    let served = serve(folder.path(), Fault::None);
    let remote = open(&format!("{}/{{0..6}}.tar", served.url));
    let parquet = open(parquet.path().to_str().unwrap());
    for stream in [&tar, &parquet, &remote] {
        let settings = settings(8, 2, Order::Shuffled);
        let whole = batches(stream, settings, 0, 60);
        for first in [1, 2, 13, 27, 28, 54] {
            assert_eq!(batches(stream, settings, first, 5), whole[first..first + 5], "{first}");
        }
    }
}

#[test]
fn the_order_is_the_same_from_disk_and_from_a_server() {
    let (folder, stream) = tars();
    let served = serve(folder.path(), Fault::None);
    let remote = open(&format!("{}/{{0..6}}.tar?key=secret", served.url));
    assert_eq!(remote.len(), None);
    let remote = remote.with_classes(5).unwrap();
    let settings = settings(16, 2, Order::Shuffled);
    assert_eq!(batches(&stream, settings, 0, 30), batches(&remote, settings, 0, 30));
}

#[test]
fn parts_are_disjoint_and_cover_all() {
    let (_folder, stream) = tars();
    // More parts than shards, too.
    for of in [2, 3, 7, 10] {
        let mut seen = BTreeMap::new();
        for part in 0..of {
            let stream = stream.clone().with_part(part, of).unwrap();
            for number in all(&stream, 1) {
                assert_eq!(seen.insert(number, part), None, "{number} is in two parts of {of}");
            }
        }
        assert_eq!(seen.len(), 217, "of {of} parts");
    }
    // In an epoch of the shuffled order, too, and parts resume.
    let mut seen = BTreeSet::new();
    for part in 0..7 {
        let stream = stream.clone().with_part(part, 7).unwrap();
        let settings = settings(31, 1, Order::Shuffled);
        let numbers = batches(&stream, settings, 0, 3);
        assert_eq!(batches(&stream, settings, 2, 1), numbers[2..]);
        seen.extend(numbers[0].iter().map(|&(number, _)| number));
    }
    assert_eq!(seen.len(), 217);
    assert!(matches!(stream.with_part(2, 2), Err(Error::Setting { .. })));
}

#[test]
fn the_parts_of_a_batch_of_local_shards_are_the_batch() {
    let (_folder, stream) = tars();
    let settings = settings(16, 2, Order::Shuffled);
    let whole = batches(&stream, settings, 0, 30);
    for of in [2, 3, 5] {
        let part = |part| batches(&stream, LoaderSettings { part: (part, of), ..settings }, 0, 30);
        let parts: Vec<_> = (0..of).map(part).collect();
        for (number, batch) in whole.iter().enumerate() {
            let joined: Vec<_> = parts.iter().flat_map(|part| part[number].clone()).collect();
            assert_eq!(&joined, batch, "batch {number} of {of} parts");
        }
    }
}

#[test]
fn the_parts_of_a_batch_from_a_server_read_other_shards() {
    let (folder, _) = tars();
    let served = serve(folder.path(), Fault::None);
    let remote = open(&format!("{}/{{0..6}}.tar?key=secret", served.url)).with_classes(5).unwrap();
    let settings = settings(14, 2, Order::Shuffled);
    let mut seen = BTreeSet::new();
    for part in 0..2 {
        // 7 of 14 images each; 4 and 3 shards of 31 images in the first epoch.
        let settings = LoaderSettings { part: (part, 2), ..settings };
        for batch in batches(&remote, settings, 0, 13) {
            assert_eq!(batch.len(), 7);
            assert!(batch.iter().all(|&(number, _)| seen.insert(number)));
        }
    }
    assert_eq!(seen.len(), 182);
}

#[test]
fn members_belong_together_by_their_path_up_to_the_first_point() {
    let folder = tempfile::tempdir().unwrap();
    let long = "d/".repeat(90) + "x";
    let member = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let members = [
        member("a/1.cls", b"cat\n"),
        member("a/1.png", &png(1)),
        member("b/1.seg.png", &png(2)),
        member("b/1.png", &png(99)),
        member("b/1.json", br#"{"caption": "x", "label": "dog"}"#),
        member("noimage.json", b"{}"),
        member("._1.png", b"AppleDouble"),
        (format!("{long}.png"), png(3)),
        (format!("{long}.cls"), b"cat".to_vec()),
    ];
    let path = folder.path().join("all.tar");
    std::fs::write(&path, tar_of(&members)).unwrap();
    let stream = open(path.to_str().unwrap());
    assert_eq!(stream.classes(), ["cat", "dog"]);
    let further: Vec<usize> = stream.left_out().into_values().collect();
    assert_eq!(further, [1], "b/1 has two images");
    let found = batches(&stream, settings(3, 1, Order::Sequential), 0, 1).concat();
    assert_eq!(found, [(1, 0), (2, 1), (3, 0)]);
}

#[test]
fn a_truncated_shard_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write_tars(folder.path(), 2, 20);
    let path = folder.path().join("1.tar");
    let bytes = std::fs::read(&path).unwrap();
    for length in [5_000, 12_345] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let place = pattern(folder.path(), "{0..1}.tar");
        let error = ImageStream::open(&[place], Split::Train).unwrap_err().to_string();
        assert!(error.contains("1.tar") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn unreadable_samples_are_replaced_up_to_the_share() {
    let folder = tempfile::tempdir().unwrap();
    let members = |bad: usize| -> Vec<(String, Vec<u8>)> {
        let image = |n| if n < bad { b"no image".to_vec() } else { png(n) };
        (0..200).map(|number| (format!("{number:03}.jpg"), image(number))).collect()
    };
    let run = |bad| {
        std::fs::write(folder.path().join("0.tar"), tar_of(&members(bad))).unwrap();
        let stream = open(&pattern(folder.path(), "*.tar"));
        let settings = LoaderSettings { max_unreadable: 0.01, ..settings(20, 2, Order::Shuffled) };
        let transform = Transform::Stretch([2, 2]);
        let mut loader = Loader::start_with_bytes(stream, transform, PLAIN, settings, 0).unwrap();
        let batches: Result<Vec<_>, _> = loader.by_ref().take(30).collect();
        batches.map(|batches| {
            assert!(batches.iter().all(|batch| batch.labels.len() == 20));
            loader.unreadable()
        })
    };
    assert_eq!(run(2).unwrap(), 2);
    let error = run(5).unwrap_err();
    assert!(matches!(error, Error::Unreadable { images: 200, .. }), "{error}");
}

#[test]
fn parquet_files_of_the_hub_give_images_labels_and_class_names() {
    let codecs = [Compression::UNCOMPRESSED, Compression::ZSTD(Default::default())];
    for compression in codecs.into_iter().chain([Compression::SNAPPY]) {
        let folder = tables(Table { compression, ..Table::default() });
        let stream = open(folder.path().to_str().unwrap());
        assert_eq!(stream.classes(), ["zero", "one", "two", "three", "four"]);
        assert_eq!(stream.len(), Some(120));
        assert_eq!(all(&stream, 2), (0..120).collect::<Vec<_>>());
        for (number, label) in batches(&stream, settings(8, 2, Order::Shuffled), 0, 15).concat() {
            assert_eq!(label, number % 5);
        }
    }
    let folder = tables(Table { named: false, ..Table::default() });
    assert_eq!(open(folder.path().to_str().unwrap()).classes(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_folder_gives_the_files_of_the_split() {
    let folder = tables(Table::default());
    let place = folder.path().to_str().unwrap();
    let bytes = parquet_of(500..510, Table::default());
    std::fs::write(folder.path().join("data/validation-00000-of-00001.parquet"), bytes).unwrap();
    std::fs::write(folder.path().join("README.md"), "a card").unwrap();
    let images = |split| Images::open(&[place], split).unwrap().len();
    assert_eq!(images(Split::Train), Some(120));
    assert_eq!(images(Split::Val), Some(10));
    assert_eq!(images(Split::TrainVal), Some(130));
}

#[test]
fn parquet_is_read_from_a_server_by_parts() {
    let folder = tables(Table::default());
    let served = serve(folder.path(), Fault::None);
    let place = format!("{}/data/train-{{00000..00002}}-of-00003.parquet", served.url);
    let remote = open(&place);
    assert_eq!((remote.len(), remote.classes().len()), (Some(120), 5));
    let local = open(folder.path().to_str().unwrap());
    let settings = settings(8, 2, Order::Shuffled);
    assert_eq!(batches(&remote, settings, 0, 15), batches(&local, settings, 0, 15));
    let served = serve(folder.path(), Fault::NoRange);
    let place = format!("{}/data/train-00000-of-00003.parquet", served.url);
    let error = ImageStream::open(&[place], Split::Train).unwrap_err().to_string();
    assert!(error.contains("Range"), "{error}");
}

#[test]
fn what_is_no_parquet_file_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let whole = parquet_of(0..20, Table::default());
    let path = folder.path().join("x.parquet");
    for bytes in [&b"PAR1"[..], b"no Parquet file at all", &whole[..whole.len() / 2]] {
        std::fs::write(&path, bytes).unwrap();
        let error = ImageStream::open(&[path.to_str().unwrap()], Split::Train).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("x.parquet") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let folder = tempfile::tempdir().unwrap();
    write_tars(folder.path(), 2, 300);
    for fault in [
        Fault::None,
        Fault::NoRange,
        Fault::Cut,
        Fault::CutNoRange,
        Fault::Silent(1500),
        Fault::FirstStatus(503),
    ] {
        let served = serve(folder.path(), fault);
        let stream = open(&format!("{}/{{0..1}}.tar", served.url));
        let idle = Duration::from_millis(500);
        assert_eq!(all(&stream.with_idle_timeout(idle), 2), (0..600).collect::<Vec<_>>());
    }
}

#[test]
fn a_refusal_is_one_line_without_secrets_and_without_retries() {
    let folder = tempfile::tempdir().unwrap();
    write_tars(folder.path(), 1, 5);
    for status in [403, 404, 500] {
        let served = serve(folder.path(), Fault::Status(status));
        let stream = open(&format!("{}/0.tar?sig=secret", served.url));
        let stream = stream.with_idle_timeout(Duration::from_millis(200));
        let loader = Loader::start(
            stream,
            Transform::Stretch([2, 2]),
            PLAIN,
            settings(2, 1, Order::Shuffled),
            0,
        );
        let error = loader.unwrap().next().unwrap().unwrap_err().to_string();
        assert!(error.contains(&format!("status {status}")) && error.contains("/0.tar"), "{error}");
        assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
        let tries = served.requests.load(Ordering::Relaxed);
        assert_eq!(tries, if status == 500 { 6 } else { 1 });
    }
}

#[test]
fn a_compressed_shard_is_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.tar.gz");
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    file.write_all(&shard(0..50)).unwrap();
    std::fs::write(&path, file.finish().unwrap()).unwrap();
    let stream = open(path.to_str().unwrap());
    assert_eq!(stream.len(), None);
    assert_eq!(all(&stream, 2), (0..50).collect::<Vec<_>>());
    let settings = settings(8, 2, Order::Shuffled);
    assert_eq!(batches(&stream, settings, 9, 2), batches(&stream, settings, 0, 11)[9..]);
}

#[test]
fn shards_become_sets_that_are_read_by_index() {
    let (folder, tar) = tars();
    let tables = tables(Table::default());
    let parquet = open(tables.path().to_str().unwrap());
    let served = serve(folder.path(), Fault::None);
    let remote = open(&format!("{}/{{0..6}}.tar", served.url));
    for (stream, count) in [(&tar, 217), (&parquet, 120)] {
        let set = stream.clone().into_set(None).unwrap();
        assert_eq!(set.len(), count);
        for index in [0, count - 1, count / 2, 3] {
            assert_eq!(set.read(index).unwrap().get_pixel(0, 0).0[0] as usize, index % 256);
            assert_eq!(set.label(index), Some(index % 5));
        }
    }
    for stream in [&tar, &parquet, &remote] {
        let set = stream.clone().into_set(Some(30)).unwrap();
        let numbers: BTreeSet<u8> =
            (0..30).map(|index| set.read(index).unwrap().get_pixel(0, 0).0[0]).collect();
        assert_eq!((set.len(), numbers.len()), (30, 30));
        assert!(numbers.iter().any(|&number| number >= 80), "of one shard alone: {numbers:?}");
    }
    assert!(matches!(remote.into_set(None), Err(Error::OnePass { .. })));
}

#[test]
fn other_places_are_still_sets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.png"), png(1)).unwrap();
    std::fs::write(folder.path().join("2.png"), png(2)).unwrap();
    let images = Images::open(&[folder.path().to_str().unwrap()], Split::Train).unwrap();
    assert!(matches!(&images, Images::Set(set) if set.len() == 2));
    // A tar file of class folders is a folder of images.
    let members = [("cat/1.png".to_owned(), png(1)), ("dog/2.png".to_owned(), png(2))];
    let path = folder.path().join("classes.tar");
    std::fs::write(&path, tar_of(&members)).unwrap();
    let images = Images::open(&[path.to_str().unwrap()], Split::Train).unwrap();
    assert!(matches!(&images, Images::Set(set) if set.classes() == ["cat", "dog"]));
    let error = ImageStream::open(&["https://host/photos.zip"], Split::Train).unwrap_err();
    assert!(error.to_string().contains(".tar"), "{error}");
}

#[test]
fn a_stream_stops_at_once_when_its_loader_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    write_tars(folder.path(), 1, 300);
    let served = serve(folder.path(), Fault::Silent(60_000));
    let stream = open(&format!("{}/0.tar", served.url));
    let begun = std::time::Instant::now();
    let settings = settings(4, 2, Order::Shuffled);
    drop(Loader::start(stream, Transform::Stretch([2, 2]), PLAIN, settings, 0).unwrap());
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// Goes through a stream's samples, errors or not.
fn drain(stream: ImageStream) {
    let settings = LoaderSettings { max_unreadable: 1.0, ..settings(4, 1, Order::Sequential) };
    let loader = Loader::start(stream, Transform::Stretch([2, 2]), PLAIN, settings, 0);
    loader.unwrap().take(8).map_while(Result::ok).for_each(drop);
}

#[test]
fn mutated_tar_shards_are_errors_or_images() {
    let folder = tempfile::tempdir().unwrap();
    let long = ("d/".repeat(80) + "x.png", png(7));
    let labels = [("a.json".to_owned(), br#"{"label": 3}"#.to_vec()), ("a.png".to_owned(), png(3))];
    let seeds = [shard(0..3), tar_of(&[long]), tar_of(&labels)];
    let path = folder.path().join("0.tar");
    fuzz("tar-shards", &seeds, |bytes| {
        // A pattern, as one file may be a folder of images.
        std::fs::write(&path, bytes).unwrap();
        let pattern = folder.path().join("{0..0}.tar");
        if let Ok(stream) = ImageStream::open(&[pattern.to_str().unwrap()], Split::Train) {
            drain(stream);
        }
    });
}

#[test]
fn mutated_compressed_tar_shards_are_errors_or_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.tar.gz");
    let stored = |bytes: Vec<u8>| {
        // Not compressed, so that mutations reach the tar file.
        let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        file.write_all(&bytes).unwrap();
        file.finish().unwrap()
    };
    let seeds = [stored(shard(0..3)), stored(tar_of(&[("d/".repeat(80) + "x.png", png(7))]))];
    fuzz("tar-gz-shards", &seeds, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        if let Ok(stream) = ImageStream::open(&[path.to_str().unwrap()], Split::Train) {
            drain(stream);
        }
    });
}

#[test]
fn mutated_parquet_files_are_errors_or_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.parquet");
    let codecs =
        [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())];
    let seeds: Vec<Vec<u8>> = codecs
        .into_iter()
        .enumerate()
        .map(|(index, compression)| {
            parquet_of(0..5, Table { compression, named: index != 0, group: 3 })
        })
        .collect();
    fuzz("parquet", &seeds, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        if let Ok(stream) = ImageStream::open(&[path.to_str().unwrap()], Split::Train) {
            if let Ok(set) = stream.clone().into_set(None) {
                (0..set.len().min(8)).for_each(|index| drop(set.read(index)));
            }
            drain(stream);
        }
    });
}
