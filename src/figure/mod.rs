//! Figures as pixels and as SVG: sheets of feature maps with titles and colour
//! bars, charts with axes and a legend, radar charts.
//!
//! A chart is a value: [`Panel`] holds its axes and [`Mark`]s, [`Panel::to_svg`]
//! and [`subplots`] draw it. A [`Sheet`] holds rows of [`Tile`]s, images and maps
//! of one value per patch. [`png()`] and [`jpeg()`] encode the pictures.
//!
//! ```
//! use singer::figure::{Axis, Dash, Hue, Line, Mark, Marker, Panel, png, subplots};
//!
//! let norms = Line {
//!     points: vec![[0.0, 12.0], [1.0, 14.0], [2.0, 90.0]],
//!     hue: Hue::Blue,
//!     width: 2.0,
//!     dash: Dash::Solid,
//!     marker: Marker::Disc,
//! };
//! let panel = Panel {
//!     title: "teacher".into(),
//!     x: Axis::integers("block", 0, 2),
//!     y: Axis::from_zero("largest patch norm", 90.0, ""),
//!     marks: vec![(Mark::Line(norms), Some("largest".into()))],
//! };
//! assert!(panel.to_svg()?.starts_with("<svg"));
//! let file = png(subplots("Patch norms by depth", &[panel])?)?;
//! assert!(file.starts_with(b"\x89PNG"));
//! # Ok::<(), singer::Error>(())
//! ```

mod axis;
mod canvas;
mod colour_bar;
mod encode;
mod hue;
mod number;
mod paint;
mod panel;
mod pen;
mod plot;
mod radar;
mod render;
mod sheet;
mod text;
mod tile;

pub use axis::Axis;
pub use colour_bar::ColourBar;
pub use encode::{jpeg, png};
pub use hue::Hue;
pub use number::number;
pub(crate) use paint::small_map_picture;
pub use panel::{Dash, Line, Mark, Marker, Panel};
pub use radar::{Radar, RadarAxis, RadarSeries};
pub use render::subplots;
pub use sheet::{Sheet, SheetRow};
pub use tile::{Cross, Tile, TileImage};

use crate::error::Error;

/// A drawing error of plotters or `image` as this library's.
fn undrawable(reason: impl std::fmt::Display) -> Error {
    Error::Drawing { reason: reason.to_string() }
}
