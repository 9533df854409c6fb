use burn::tensor::{Tensor, TensorData};
use image::RgbaImage;
use singer::maps::{ColourRange, Colouring, FeatureMaps, Palette, Upsampling, draw};
use singer::{Device, Error};

use crate::support::{normal, software};

fn colourings() -> impl Iterator<Item = Colouring> {
    use Palette::{Diverging, Grey, Inferno, Magma, Turbo, Viridis};
    let ranges =
        [ColourRange::Automatic, ColourRange::Fixed(-0.5, 1.0), ColourRange::Fixed(2.0, 2.0)];
    [Inferno, Viridis, Magma, Turbo, Grey, Diverging].into_iter().flat_map(move |palette| {
        [Upsampling::Nearest, Upsampling::Bilinear].into_iter().flat_map(move |upsampling| {
            ranges.map(|range| Colouring { palette, upsampling, range, opacity: 0.6 })
        })
    })
}

/// One level of the table or of a byte may differ where rounding falls the other way.
fn assert_same(found: &RgbaImage, wanted: &RgbaImage, what: &str) {
    assert_eq!(found.dimensions(), wanted.dimensions());
    let apart = found.as_raw().iter().zip(wanted.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 6);
    assert_eq!(apart.count(), 0, "{what}");
    let unequal = found.as_raw().iter().zip(wanted.as_raw()).filter(|(a, b)| a != b).count();
    assert!(unequal * 100 <= found.as_raw().len(), "{what}: {unequal} bytes differ");
}

#[test]
fn pictures_equal_those_drawn_on_the_host() {
    let (opened, maps) = software();
    for (seed, (grid, size)) in
        [([1, 1], [5, 3]), ([3, 5], [48, 80]), ([14, 14], [224, 224]), ([7, 9], [50, 41])]
            .into_iter()
            .enumerate()
    {
        let mut values = normal(grid[0] * grid[1], seed as u64);
        if values.len() > 10 {
            values[7] = f32::NAN;
            values[8] = f32::INFINITY;
        }
        let under = RgbaImage::from_fn(size[1] as u32, size[0] as u32, |x, y| {
            image::Rgba([(x * 3) as u8, (y * 5) as u8, (x * y) as u8, 255])
        });
        let map = Tensor::<2>::from_data(TensorData::new(values.clone(), grid), opened.burn());
        for colouring in colourings() {
            for under in [None, Some(&under)] {
                let found = maps.picture(map.clone(), size, &colouring, under).unwrap();
                let wanted = draw(&values, grid, size, &colouring, under).unwrap();
                assert_same(&found, &wanted, &format!("{grid:?} {size:?} {colouring:?}"));
            }
        }
    }
}

#[test]
fn the_largest_value_gets_the_last_colour_and_the_least_the_first() {
    let (opened, maps) = software();
    let mut values = vec![1.0; 12];
    values[5] = 9.0;
    values[6] = -3.0;
    let map = Tensor::<2>::from_data(TensorData::new(values, [3, 4]), opened.burn());
    let picture = maps.picture(map, [30, 40], &Colouring::default(), None).unwrap();
    let table = Palette::Inferno.table();
    assert_eq!(picture.get_pixel(15, 15).0, table[255]);
    assert_eq!(picture.get_pixel(25, 15).0, table[0]);
}

#[test]
fn the_diverging_scale_is_blue_below_zero_pale_at_zero_and_red_above() {
    let table = Palette::Diverging.table();
    let [low, middle, high] = [0, Palette::LEVELS / 2, Palette::LEVELS - 1].map(|at| table[at]);
    assert!(low[2] > low[0] && high[0] > high[2], "{low:?} {high:?}");
    assert!(middle[..3].iter().all(|&channel| channel > 230), "{middle:?}");
}

#[test]
fn what_is_not_finite_is_transparent() {
    let (opened, maps) = software();
    let map =
        Tensor::<2>::from_data(TensorData::new(vec![f32::NAN, 1.0, 2.0], [1, 3]), opened.burn());
    let picture = maps.picture(map, [1, 3], &Colouring::default(), None).unwrap();
    assert_eq!(picture.get_pixel(0, 0).0, [0, 0, 0, 0]);
    assert_eq!(picture.get_pixel(1, 0).0[3], 255);
}

#[test]
fn pictures_that_cannot_be_drawn_are_errors_and_not_empty() {
    let (_, maps) = software();
    let cpu = FeatureMaps::new(&Device::cpu());
    let (colouring, image) = (Colouring::default(), RgbaImage::new(4, 5));
    let refused = |error: Option<Error>| assert!(matches!(error, Some(Error::Shape { .. })));
    for maps in [maps, cpu] {
        for (size, under) in [([0, 4], None), ([4, 0], None), ([4, 5], Some(&image))] {
            let map = Tensor::<2>::zeros([2, 2], maps.device());
            refused(maps.picture(map, size, &colouring, under).err());
        }
    }
    refused(draw(&[0.0; 3], [2, 2], [4, 4], &colouring, None).err());
    refused(draw(&[], [0, 2], [4, 4], &colouring, None).err());
    refused(draw(&[0.0; 4], [2, 2], [4, 5], &colouring, Some(&image)).err());
}
