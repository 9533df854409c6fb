use image::imageops::{FilterType, resize};
use image::{RgbImage, RgbaImage};

use super::canvas::Canvas;
use super::paint::{hatch, map_picture};
use super::text::TextStyle;
use super::{ColourBar, Hue, Tile, TileImage};
use crate::error::Result;
use crate::maps::FeatureMaps;

/// Rows of tiles under a title, all of one aspect ratio.
#[derive(Debug, Clone)]
pub struct Sheet<'a> {
    /// Its title, shortened where it is too long.
    pub title: String,
    /// Paragraphs under the title.
    pub notes: Vec<String>,
    /// From top to bottom.
    pub rows: Vec<SheetRow<'a>>,
    /// Height and width of what the tiles show; only their ratio matters.
    pub size: [usize; 2],
}

/// One row of a sheet.
#[derive(Debug, Clone)]
pub struct SheetRow<'a> {
    /// Its heading; may be empty.
    pub heading: String,
    /// From left to right.
    pub tiles: Vec<Tile<'a>>,
}

const MARGIN: u32 = 18;
const GAP: u32 = 16;
const LINE: u32 = 15;
/// Area of a tile's picture in square points, about.
const AREA: f32 = 170.0 * 170.0;
const LONGEST: f32 = 340.0;
/// The narrowest column that holds the titles.
const NARROWEST: u32 = 124;
const BAR: u32 = 9;
/// Sheets of more square points than this are drawn at one pixel per point.
const LARGE: u32 = 24_000_000;

const TITLE: f64 = 19.0;
const TEXT: f64 = 12.5;
const SMALL: f64 = 11.5;

impl Sheet<'_> {
    /// Draws the sheet at two pixels per point, very large ones at one. `maps` colours
    /// the feature maps on its device.
    ///
    /// # Errors
    /// [`Error::Drawing`](crate::Error::Drawing) for a map that does not fill its
    /// grid; those of the device.
    pub fn draw(&self, maps: &FeatureMaps) -> Result<RgbImage> {
        let [width, height] = self.picture_size();
        let cell = width.max(NARROWEST);
        let columns = self.rows.iter().map(|row| row.tiles.len()).max().unwrap_or(0).max(3) as u32;
        let inner = columns * (cell + GAP) - GAP;
        let notes = self.wrapped(&self.notes, inner)?;
        let numbers: Vec<Vec<Vec<String>>> = self
            .rows
            .iter()
            .map(|row| {
                let wrap =
                    |tile: &Tile| TextStyle::plain(SMALL).wrap(&tile.numbers, f64::from(cell));
                row.tiles.iter().map(wrap).collect()
            })
            .collect::<Result<_>>()?;

        let head = MARGIN + 30 + notes.len() as u32 * LINE + 6;
        let row_height = |row: &SheetRow, numbers: &[Vec<String>]| {
            let lines = numbers.iter().map(Vec::len).max().unwrap_or(0) as u32;
            row.head() + 2 * LINE + 4 + height + 5 + BAR + 3 + LINE + lines * LINE + 8
        };
        let total = head
            + self
                .rows
                .iter()
                .zip(&numbers)
                .map(|(row, numbers)| row_height(row, numbers))
                .sum::<u32>()
            + MARGIN;
        let full = inner + 2 * MARGIN;
        let scale = if full.saturating_mul(total) > LARGE { 1 } else { 2 };
        let mut canvas = Canvas::new(full, total, scale);

        let title = TextStyle::bold(TITLE);
        let text = title.fit(&self.title, f64::from(inner))?;
        canvas.text(&text, [MARGIN, MARGIN], title, Hue::Ink)?;
        for (index, line) in notes.iter().enumerate() {
            let y = MARGIN + 30 + index as u32 * LINE;
            canvas.text(line, [MARGIN, y], TextStyle::plain(TEXT), Hue::Faint)?;
        }
        let mut y = head;
        for (row, numbers) in self.rows.iter().zip(&numbers) {
            canvas.fill(Hue::Rule, [MARGIN, y + 2], [inner, 1]);
            canvas.text(&row.heading, [MARGIN, y + 8], TextStyle::bold(TEXT + 1.0), Hue::Ink)?;
            for (index, (tile, numbers)) in row.tiles.iter().zip(numbers).enumerate() {
                let at = [MARGIN + index as u32 * (cell + GAP), y + row.head()];
                let drawing = TileDrawing { tile, numbers, cell, size: [width, height], scale };
                drawing.place(&mut canvas, at, maps)?;
            }
            y += row_height(row, numbers);
        }
        Ok(canvas.into_pixels())
    }

    /// Width and height of a tile's picture in points.
    fn picture_size(&self) -> [u32; 2] {
        let [height, width] = self.size.map(|side| side.max(1) as f32);
        let ratio = width / height;
        let wide = (AREA * ratio).sqrt().min(LONGEST);
        let high = (wide / ratio).min(LONGEST);
        let wide = wide.min(high * ratio);
        [(wide.round() as u32).max(1), (high.round() as u32).max(1)]
    }

    fn wrapped(&self, paragraphs: &[String], room: u32) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for paragraph in paragraphs {
            lines.extend(TextStyle::plain(TEXT).wrap(paragraph, f64::from(room))?);
        }
        Ok(lines)
    }
}

impl SheetRow<'_> {
    /// Height of the rule and the heading above the tiles.
    fn head(&self) -> u32 {
        if self.heading.is_empty() { 12 } else { 30 }
    }
}

/// A tile at its place in a sheet.
struct TileDrawing<'a> {
    tile: &'a Tile<'a>,
    numbers: &'a [String],
    cell: u32,
    size: [u32; 2],
    scale: u32,
}

impl TileDrawing<'_> {
    fn place(&self, canvas: &mut Canvas, [x, mut y]: [u32; 2], maps: &FeatureMaps) -> Result<()> {
        let room = f64::from(self.cell);
        let [width, height] = self.size;
        let kind = TextStyle::plain(TEXT).fit(&self.tile.kind, room)?;
        canvas.text(&kind, [x, y], TextStyle::plain(TEXT), Hue::Faint)?;
        let subject = TextStyle::bold(TEXT).fit(&self.tile.subject, room)?;
        canvas.text(&subject, [x, y + LINE], TextStyle::bold(TEXT), Hue::Ink)?;
        y += 2 * LINE + 4;
        let pixels = [width * self.scale, height * self.scale];
        match &self.tile.image {
            TileImage::Photo(photo) => canvas.photo(photo, [x, y], [width, height]),
            TileImage::Map { values, grid, bar } => {
                canvas.picture(&hatch(pixels[0], pixels[1]), [x, y]);
                let size = [pixels[1] as usize, pixels[0] as usize];
                canvas.picture(&map_picture(maps, values, *grid, size, bar)?, [x, y]);
            }
            TileImage::Patches(patches) => {
                canvas.picture(&hatch(pixels[0], pixels[1]), [x, y]);
                let [width, height] = pixels;
                canvas.picture(&resize(patches, width, height, FilterType::Nearest), [x, y]);
            }
        }
        if let Some(cross) = self.tile.cross {
            let arm = 5.5 * self.scale as f32;
            canvas.picture(&cross.drawn(pixels[0], pixels[1], arm), [x, y]);
        }
        y += height + 5;
        if let TileImage::Map { bar, .. } = &self.tile.image {
            self.bar(canvas, bar, [x, y], maps)?;
            y += BAR + 3 + LINE;
        }
        for line in self.numbers {
            canvas.text(line, [x, y], TextStyle::plain(SMALL), Hue::Faint)?;
            y += LINE;
        }
        Ok(())
    }

    /// The colour bar, with the numbers at its ends.
    fn bar(
        &self,
        canvas: &mut Canvas,
        bar: &ColourBar,
        [x, y]: [u32; 2],
        maps: &FeatureMaps,
    ) -> Result<()> {
        // Labels need room, even where the picture is narrow.
        let width = self.size[0].max(NARROWEST);
        canvas.picture(&bar_picture(bar, [width * self.scale, BAR * self.scale], maps)?, [x, y]);
        let face = TextStyle::plain(SMALL);
        canvas.text(&bar.ends[0], [x, y + BAR + 3], face, Hue::Ink)?;
        let long = face.width(&bar.ends[1])?.ceil() as u32;
        canvas.text(&bar.ends[1], [(x + width).saturating_sub(long), y + BAR + 3], face, Hue::Ink)
    }
}

fn bar_picture(
    bar: &ColourBar,
    [width, height]: [u32; 2],
    maps: &FeatureMaps,
) -> Result<RgbaImage> {
    let steps: Vec<f32> = (0..width)
        .map(|x| bar.low + (bar.high - bar.low) * x as f32 / (width - 1).max(1) as f32)
        .collect();
    let size = [height as usize, width as usize];
    let mut picture = map_picture(maps, &steps, [1, width as usize], size, bar)?;
    if let Some(tick) = bar.tick {
        let x = (bar.share(tick) * (width - 1) as f32) as u32;
        for column in x.saturating_sub(2)..(x + 3).min(width) {
            let colour = if column.abs_diff(x) < 2 { [255, 255, 255, 255] } else { [0, 0, 0, 255] };
            for row in 0..height {
                picture.put_pixel(column, row, image::Rgba(colour));
            }
        }
    }
    Ok(picture)
}
