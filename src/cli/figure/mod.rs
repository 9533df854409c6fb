//! Drawing: maps with titles and colour bars, sheets of them, and charts, as
//! pixels and as SVG.

mod axis;
mod bar;
mod canvas;
mod encode;
mod hue;
mod layout;
mod number;
mod paint;
mod panel;
mod pen;
mod plate;
mod plot;
mod radar;
mod sheet;
mod tile;

pub(super) use axis::Axis;
pub(super) use bar::Bar;
pub(super) use encode::{jpeg, png};
pub(super) use hue::Hue;
pub(super) use number::number;
pub(super) use paint::Painter;
pub(super) use panel::{Dash, Line, Mark, Marker, Panel};
pub(super) use plate::{plate, radar_picture, radar_svg, svg};
pub(super) use radar::{Radar, Spoke, Web};
pub(super) use sheet::{Sheet, SheetRow};
pub(super) use tile::{Cross, Face, Tile};

use crate::error::Error;

/// A drawing library's complaint as this library's error.
fn undrawable(reason: impl std::fmt::Display) -> Error {
    Error::config(format!("cannot draw a figure: {reason}"))
}
