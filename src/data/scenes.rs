use std::ops::Range;

use image::{Rgb, RgbImage};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::image_set::{ImageSet, ImageSource};
use crate::error::Result;

/// The classes: the nearest shape of a scene.
const SHAPES: [&str; 8] =
    ["disc", "square", "triangle", "ring", "cross", "star", "bars", "crescent"];

/// Depth of the far end of the floor, in metres.
const FAR: f32 = 10.0;

/// A procedural scene with its ground truth.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scene {
    /// The image.
    pub image: RgbImage,
    /// Class of the nearest shape.
    pub class: usize,
    /// Row-major `[H, W]`: 0 for the background, 1 + class for a shape.
    pub mask: Vec<u8>,
    /// Row-major `[H, W]`, in metres.
    pub depth: Vec<f32>,
}

/// Procedural scenes of textured shapes before a plain sky and a textured floor. The
/// same seed and number give the same scene.
#[derive(Debug, Clone)]
pub struct Scenes {
    seed: u64,
    range: Range<usize>,
    side: u32,
    classes: Vec<String>,
}

impl Scenes {
    /// The scenes with numbers in `range`, of `side` times `side` pixels.
    pub fn new(seed: u64, range: Range<usize>, side: u32) -> Self {
        Self { seed, range, side, classes: SHAPES.map(str::to_owned).to_vec() }
    }

    /// The same scenes at `side` times `side` pixels.
    pub fn with_side(&self, side: usize) -> Self {
        Self { side: side as u32, ..self.clone() }
    }

    /// Height and width in pixels.
    pub fn side(&self) -> usize {
        self.side as usize
    }

    /// Scene `index` of the range, with mask and depth.
    pub fn scene(&self, index: usize) -> Scene {
        render(self.seed, self.range.start + index, self.side)
    }
}

impl ImageSource for Scenes {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some((self.range.start + index) % SHAPES.len())
    }

    fn name(&self, index: usize) -> String {
        format!("scene {}", self.range.start + index)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        Ok(self.scene(index).image)
    }

    fn drawn_at(&self, side: usize) -> Option<ImageSet> {
        Some(ImageSet::new(self.with_side(side)))
    }
}

/// Draws scene `index` of a seed, `side` times `side` pixels. Its class is
/// `index` modulo the number of shapes.
pub fn render(seed: u64, index: usize, side: u32) -> Scene {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(index as u64).to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);

    let class = index % SHAPES.len();
    let horizon = rng.random_range(0.25..0.5);
    let sky = [Surface::plain(&mut rng), Surface::plain(&mut rng)];
    let floor = Surface::random(&mut rng);
    let others = rng.random_range(0..3);
    let mut shapes: Vec<Shape> = (0..others)
        .map(|_| {
            let kind = rng.random_range(0..SHAPES.len());
            let depth = rng.random_range(5.0..8.0);
            Shape::random(kind, depth, horizon, &mut rng)
        })
        .collect();
    shapes.sort_by(|a, b| b.depth.total_cmp(&a.depth));
    let nearest = rng.random_range(2.0..3.5);
    shapes.push(Shape::random(class, nearest, horizon, &mut rng));

    let count = (side * side) as usize;
    let mut scene = Scene {
        image: RgbImage::new(side, side),
        class,
        mask: Vec::with_capacity(count),
        depth: Vec::with_capacity(count),
    };
    for y in 0..side {
        for x in 0..side {
            let mut colour = [0.0; 3];
            // Four samples a pixel for the colour, the centre for the labels.
            for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
                let at = [(x as f32 + dx) / side as f32, (y as f32 + dy) / side as f32];
                let (sample, _, _) = look(at, horizon, &sky, &floor, &shapes);
                for (sum, value) in colour.iter_mut().zip(sample) {
                    *sum += value / 4.0;
                }
            }
            let at = [(x as f32 + 0.5) / side as f32, (y as f32 + 0.5) / side as f32];
            let (_, label, depth) = look(at, horizon, &sky, &floor, &shapes);
            let pixel = colour.map(|value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8);
            scene.image.put_pixel(x, y, Rgb(pixel));
            scene.mask.push(label);
            scene.depth.push(depth);
        }
    }
    scene
}

/// Colour, label and depth at a point of the unit square.
fn look(
    at: [f32; 2],
    horizon: f32,
    sky: &[Surface; 2],
    floor: &Surface,
    shapes: &[Shape],
) -> ([f32; 3], u8, f32) {
    if let Some(shape) = shapes.iter().rev().find(|shape| shape.covers(at)) {
        let [u, v] = shape.local(at);
        return (faded(shape.surface.colour(u, v), shape.depth), 1 + shape.kind as u8, shape.depth);
    }
    if at[1] < horizon {
        let t = at[1] / horizon;
        let [top, bottom] = [sky[0].base, sky[1].base];
        return (std::array::from_fn(|i| top[i] * (1.0 - t) + bottom[i] * t), 0, FAR);
    }
    // A plane under the camera: depth falls as one over the angle below the horizon.
    let below = (at[1] - horizon) / (1.0 - horizon);
    let depth = (1.5 / (below + 0.15)).min(FAR);
    let colour = floor.colour((at[0] - 0.5) * depth, depth);
    (faded(colour, depth), 0, depth)
}

/// Haze: colours lose contrast with depth.
fn faded(colour: [f32; 3], depth: f32) -> [f32; 3] {
    let haze = 0.5 * depth / FAR;
    colour.map(|value| value * (1.0 - haze) + 0.75 * haze)
}

struct Shape {
    kind: usize,
    centre: [f32; 2],
    radius: f32,
    angle: f32,
    depth: f32,
    surface: Surface,
}

impl Shape {
    fn random(kind: usize, depth: f32, horizon: f32, rng: &mut ChaCha8Rng) -> Self {
        let radius = rng.random_range(0.5..0.7) / depth;
        Self {
            kind,
            centre: [rng.random_range(0.15..0.85), rng.random_range(horizon..0.85f32)],
            radius: radius.min(0.35),
            angle: rng.random_range(-0.5..0.5),
            depth,
            surface: Surface::random(rng),
        }
    }

    /// Coordinates with the shape in -1..1.
    fn local(&self, at: [f32; 2]) -> [f32; 2] {
        let (x, y) =
            ((at[0] - self.centre[0]) / self.radius, (at[1] - self.centre[1]) / self.radius);
        let (sin, cos) = self.angle.sin_cos();
        [x * cos + y * sin, y * cos - x * sin]
    }

    fn covers(&self, at: [f32; 2]) -> bool {
        let [x, y] = self.local(at);
        let r = x.hypot(y);
        match self.kind {
            0 => r < 1.0,
            1 => x.abs() < 0.85 && y.abs() < 0.85,
            2 => y < 0.8 && y > -0.95 && x.abs() < (y + 0.95) * 0.6,
            3 => r < 1.0 && r > 0.55,
            4 => (x.abs() < 0.3 && y.abs() < 1.0) || (y.abs() < 0.3 && x.abs() < 1.0),
            5 => {
                let turn = x.atan2(-y) * 5.0 / std::f32::consts::TAU;
                let spike = 1.0 - 2.0 * (turn - turn.round()).abs();
                r < 0.4 + 0.6 * spike * spike
            }
            6 => x.abs() < 0.9 && y.abs() < 0.9 && (y * 2.5).rem_euclid(1.0) < 0.55,
            _ => r < 1.0 && (x - 0.45).hypot(y) > 0.75,
        }
    }
}

struct Surface {
    base: [f32; 3],
    second: [f32; 3],
    pattern: usize,
    frequency: f32,
    phase: f32,
    salt: u32,
}

impl Surface {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let base: [f32; 3] = std::array::from_fn(|_| rng.random_range(0.1..0.9));
        let shift: [f32; 3] = std::array::from_fn(|_| rng.random_range(-0.3..0.3));
        Self {
            base,
            second: std::array::from_fn(|i| (base[i] + shift[i]).clamp(0.0, 1.0)),
            pattern: rng.random_range(0..3),
            frequency: rng.random_range(2.0..5.0),
            phase: rng.random_range(0.0..6.0),
            salt: rng.random(),
        }
    }

    fn plain(rng: &mut ChaCha8Rng) -> Self {
        Self { base: std::array::from_fn(|_| rng.random_range(0.55..0.95)), ..Self::random(rng) }
    }

    fn colour(&self, u: f32, v: f32) -> [f32; 3] {
        let (u, v) = (u * self.frequency + self.phase, v * self.frequency);
        let mix = match self.pattern {
            0 => f32::from((u.floor() as i64 + v.floor() as i64).rem_euclid(2) == 0),
            1 => (u * 3.0).sin() * 0.5 + 0.5,
            _ => self.noise(u, v),
        };
        std::array::from_fn(|i| self.base[i] * (1.0 - mix) + self.second[i] * mix)
    }

    /// Value noise: random values on a grid, smoothly blended.
    fn noise(&self, u: f32, v: f32) -> f32 {
        let (u, v) = (u * 2.0, v * 2.0);
        let (i, j) = (u.floor(), v.floor());
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (s, t) = (smooth(u - i), smooth(v - j));
        let at = |di: i32, dj: i32| self.hash(i as i32 + di, j as i32 + dj);
        let top = at(0, 0) * (1.0 - s) + at(1, 0) * s;
        let bottom = at(0, 1) * (1.0 - s) + at(1, 1) * s;
        top * (1.0 - t) + bottom * t
    }

    fn hash(&self, i: i32, j: i32) -> f32 {
        let mut h = (i as u32).wrapping_mul(0x9e37_79b1) ^ (j as u32).wrapping_mul(0x85eb_ca77);
        h ^= self.salt;
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
        (h ^ (h >> 15)) as f32 / u32::MAX as f32
    }
}
