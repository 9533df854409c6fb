//! Damaged and malicious pictures: one clear line with the file's name, never a panic.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::RgbImage;
use singer::data::{EvalTransform, Resize, decode, eval_crop};

use crate::fuzz::fuzz;

/// Pictures of every kind; `make.py` there wrote them.
const KINDS: &str = "tests/golden/preprocess/kinds";

fn refused(bytes: &[u8], wanted: &str) {
    let error = decode(bytes, Path::new("set/of/odd.png")).unwrap_err().to_string();
    assert!(error.contains("odd.png") && error.contains(wanted), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

fn kind(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(KINDS).join(name)).unwrap()
}

/// A PNG of these chunks.
fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        let mut sum = flate2::Crc::new();
        sum.update(*name);
        sum.update(data);
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(*name);
        bytes.extend(data);
        bytes.extend(sum.sum().to_be_bytes());
    }
    bytes
}

fn header(width: u32, height: u32, depth: u8, colour: u8) -> (&'static [u8; 4], Vec<u8>) {
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    (b"IHDR", [sides, vec![depth, colour, 0, 0, 0]].concat())
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_that_are_empty_cut_off_or_no_pictures_are_refused_by_name() {
    refused(b"", "the file is empty");
    refused(
        b"not a picture at all, whatever its name ends in",
        "not JPEG, PNG, WebP, BMP, GIF or TIFF",
    );
    refused(&[0; 4096], "not JPEG");
    for name in ["rgba.png", "progressive.jpg", "lossy.webp", "colour.bmp", "cmyk.jpg"] {
        let bytes = kind(name);
        for share in [0.1, 0.5, 0.9] {
            refused(&bytes[..(bytes.len() as f64 * share) as usize], "unreadable image");
        }
    }
}

const JPEGS: [&str; 5] =
    ["baseline_420.jpg", "progressive.jpg", "restarts.jpg", "cmyk.jpg", "orientation_6.jpg"];

#[test]
fn what_follows_a_jpeg_changes_nothing() {
    let film =
        [b"\0\0\0\x18ftypmp42\xff\xda\0\x08mdat".as_slice(), &[0xff, 0xd8, 0xff, 0xda, 0]].concat();
    for name in JPEGS {
        let clean = kind(name);
        let wanted = decode(&clean, Path::new(name)).unwrap();
        // A film, a second picture as in MPO, and padding.
        for tail in [film.clone(), kind("progressive.jpg"), vec![0; 700], vec![0xff; 3]] {
            let bytes = [clean.clone(), tail].concat();
            assert_eq!(decode(&bytes, Path::new(name)).unwrap(), wanted, "{name}");
        }
    }
}

#[test]
fn a_jpeg_that_is_cut_anywhere_is_refused_also_where_a_thumbnail_in_it_ends() {
    for name in JPEGS {
        let bytes = kind(name);
        for end in (2..bytes.len()).step_by(7).chain([bytes.len() - 2, bytes.len() - 1]) {
            refused(&bytes[..end], "unreadable image");
        }
    }
    // The thumbnail's own end marker lies in a segment.
    let thumbnail = kind("grey.jpg");
    let mut bytes = kind("baseline_420.jpg");
    let length = (thumbnail.len() as u16 + 8).to_be_bytes();
    let segment = [&[0xff, 0xe1], &length[..], b"Exif\0\0", &thumbnail].concat();
    bytes.splice(2..2, segment);
    let whole = decode(&bytes, Path::new("thumbnail.jpg")).unwrap();
    assert_eq!(whole, decode(&kind("baseline_420.jpg"), Path::new("plain.jpg")).unwrap());
    refused(&bytes[..bytes.len() - 40], "ends early");
}

#[test]
fn a_jpeg_cut_in_half_is_refused_also_with_an_end_put_behind_it() {
    for name in JPEGS {
        let bytes = kind(name);
        let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        let data = bytes.len() - scan;
        for share in [0.2, 0.35, 0.5] {
            let cut = &bytes[..scan + (data as f64 * share) as usize];
            refused(&[cut, &[0xff, 0xd9]].concat(), "unreadable image");
        }
    }
    // A picture that is grey to its end is none of those.
    for (grey, quality) in [(128, 90), (127, 60), (64, 75)] {
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
        let picture = RgbImage::from_pixel(50, 40, image::Rgb([grey; 3]));
        picture.write_with_encoder(encoder).unwrap();
        decode(&bytes, Path::new("grey.jpg")).unwrap();
    }
}

/// A TIFF file of one pixel with these channels.
fn tiff(channels: u16, colour: u32, extra: &[u16]) -> Vec<u8> {
    let bits: Vec<u32> = vec![8; channels.into()];
    let extra: Vec<u32> = extra.iter().map(|&kind| kind.into()).collect();
    let mut tags: Vec<(u16, Vec<u32>)> = vec![
        (256, vec![1]),
        (257, vec![1]),
        (258, bits),
        (259, vec![1]),
        (262, vec![colour]),
        (273, vec![8]),
        (277, vec![channels.into()]),
        (278, vec![1]),
        (279, vec![channels.into()]),
    ];
    if !extra.is_empty() {
        tags.push((338, extra));
    }
    let start = 8 + u32::from(channels);
    let (mut directory, mut tail) = ((tags.len() as u16).to_le_bytes().to_vec(), Vec::new());
    for (tag, values) in &tags {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let place = start + 6 + 12 * tags.len() as u32 + tail.len() as u32;
        directory.extend([tag.to_le_bytes(), 4_u16.to_le_bytes()].concat());
        directory.extend((values.len() as u32).to_le_bytes());
        match values.len() {
            1 => directory.extend(data),
            _ => {
                directory.extend(place.to_le_bytes());
                tail.extend(data);
            }
        }
    }
    let head = [b"II*\0".as_slice(), &start.to_le_bytes(), &vec![90; channels.into()]].concat();
    [head, directory, vec![0; 4], tail].concat()
}

#[test]
fn images_of_other_channels_are_refused_with_their_number() {
    let (grey, rgb, palette) = (1, 2, 3);
    let read = |bytes: &[u8]| decode(bytes, Path::new("a.tif")).unwrap().into_raw();
    assert_eq!(read(&tiff(1, grey, &[])), [90; 3]);
    assert_eq!(read(&tiff(3, rgb, &[])), [90; 3]);
    assert_eq!(read(&tiff(4, rgb, &[2])), [90; 3]);
    refused(&tiff(4, rgb, &[0]), "it has 4 channels");
    refused(&tiff(4, rgb, &[]), "it has 4 channels");
    refused(&tiff(13, grey, &[0; 12]), "it has 13 channels");
    refused(&tiff(5, rgb, &[0, 0]), "it has 5 channels");
    refused(&tiff(2, grey, &[0]), "it has 2 channels");
    refused(&tiff(1, palette, &[]), "palette");
    let header =
        b"\x93NUMPY\x01\0v\0{'descr': '<u2', 'fortran_order': False, 'shape': (64, 64, 13), }";
    refused(header, "NumPy array of shape (64, 64, 13)");
}

#[test]
fn no_mutated_tiff_file_panics_or_grows() {
    let names = [
        "lzw.tif",
        "deflate_predictor.tif",
        "packbits.tif",
        "planes.tif",
        "alpha16.tif",
        "cmyk.tif",
        "grey16.tif",
    ];
    let seeds: Vec<Vec<u8>> = names.iter().map(|name| kind(name)).collect();
    fuzz("tiff", &seeds, |bytes| drop(decode(bytes, Path::new("a.tif"))));
}

#[test]
fn no_mutated_jpeg_panics_or_grows() {
    let seeds: Vec<Vec<u8>> = JPEGS.iter().map(|name| kind(name)).collect();
    fuzz("jpeg", &seeds, |bytes| drop(decode(bytes, Path::new("a.jpg"))));
}

#[test]
fn a_picture_is_known_by_its_content_whatever_its_name_ends_in() {
    for (name, other) in [("rgba.png", "a.jpg"), ("cmyk.jpg", "a.png"), ("lossy.webp", "a")] {
        let bytes = kind(name);
        let own = decode(&bytes, Path::new(name)).unwrap();
        assert_eq!(own, decode(&bytes, Path::new(other)).unwrap());
    }
}

#[test]
fn absurd_dimensions_are_refused_with_the_limit_before_anything_is_allocated() {
    let data = (b"IDAT", deflated(&[0; 64]));
    let huge = |width, height| png(&[header(width, height, 8, 2), data.clone(), (b"IEND", vec![])]);
    refused(&huge(60_000, 60_000), "60000x60000 pixels are more than the limit of 178956970");
    refused(&huge(0x7fff_ffff, 0x7fff_ffff), "unreadable image");
    refused(&huge(0, 5), "unreadable image");
    let mut jpeg = kind("baseline_420.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    refused(&jpeg, "more than the limit");
    let mut bmp = kind("colour.bmp");
    bmp[18..26].copy_from_slice(&[0, 0, 1, 0, 0, 0, 1, 0]);
    refused(&bmp, "unreadable image");
}

#[test]
fn a_jpeg_of_108_megapixels_is_decoded_at_half_its_size() {
    let mut bytes = Vec::new();
    let grey = image::GrayImage::from_pixel(12_000, 9_000, image::Luma([77]));
    let encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    grey.write_with_encoder(encoder).unwrap();
    let image = decode(&bytes, Path::new("large.jpg")).unwrap();
    assert_eq!(image.dimensions(), (6_000, 4_500));
    assert!(image.pixels().all(|pixel| pixel.0.iter().all(|value| value.abs_diff(77) <= 1)));
}

#[test]
fn what_unpacks_to_much_more_than_the_pixels_is_not_unpacked() {
    let bomb = deflated(&vec![0; 256 << 20]);
    assert!(bomb.len() < 1 << 20);
    let pixels = (b"IDAT", deflated(&[0, 9, 9, 9]));
    for chunk in [*b"zTXt", *b"iCCP"] {
        let data = [b"name\0\0".to_vec(), bomb.clone()].concat();
        let file = png(&[header(1, 1, 8, 2), (&chunk, data), pixels.clone(), (b"IEND", vec![])]);
        // Metadata are no part of the picture: either is right, but not a gibibyte.
        match decode(&file, Path::new("bomb.png")) {
            Ok(image) => assert_eq!(image.get_pixel(0, 0).0, [9; 3]),
            Err(error) => assert!(error.to_string().contains("bomb.png"), "{error}"),
        }
    }
    let file = png(&[header(1, 1, 8, 2), (b"IDAT", bomb), (b"IEND", vec![])]);
    let _ = decode(&file, Path::new("bomb.png"));
}

#[test]
fn a_damaged_palette_gives_an_error_or_pixels() {
    let data = (b"IDAT", deflated(&[0, 250]));
    let none = png(&[header(1, 1, 8, 3), data.clone(), (b"IEND", vec![])]);
    refused(&none, "unreadable image");
    let short =
        png(&[header(1, 1, 8, 3), (b"PLTE", vec![1, 2, 3]), data.clone(), (b"IEND", vec![])]);
    let _ = decode(&short, Path::new("short.png"));
    let odd = png(&[header(1, 1, 8, 3), (b"PLTE", vec![1, 2]), data, (b"IEND", vec![])]);
    refused(&odd, "unreadable image");
}

#[test]
fn no_damaged_byte_makes_the_decoder_panic() {
    std::panic::set_hook(Box::new(|_| {}));
    for entry in std::fs::read_dir(KINDS).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "py" || end == "safetensors") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let step = (bytes.len() / 150).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            if let Err(error) = decode(&damaged, &path) {
                let message = error.to_string();
                assert_eq!(message.lines().count(), 1, "{message}");
            }
        }
    }
    let _ = std::panic::take_hook();
}

#[test]
fn a_picture_of_any_shape_is_cropped_in_bounded_memory() {
    let shade = |x: u32| image::Rgb([(x / 4000) as u8; 3]);
    for (width, height) in [(1_000_000, 1), (1, 1_000_000), (3, 400_000)] {
        let image = RgbImage::from_fn(width, height, |x, y| shade(x.max(y)));
        let middle = width.max(height) as f64 / 2.0 / 4000.0;
        let centre = eval_crop(&image, &EvalTransform::centre([224, 224], 256)).unwrap();
        let found = f64::from(centre.get_pixel(112, 112).0[0]);
        assert!((found - middle).abs() <= 1.0, "{width}x{height}: {found}, wanted {middle}");
        let squash =
            EvalTransform { resize: Resize::Exact([224; 2]), ..EvalTransform::centre([224; 2], 1) };
        let found = f64::from(eval_crop(&image, &squash).unwrap().get_pixel(112, 112).0[0]);
        assert!((found - middle).abs() <= 2.0, "{width}x{height}: {found}, wanted {middle}");
    }
}
