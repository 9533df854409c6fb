//! `singer inspect`: what a teacher, its refinement and its student do on images.

mod charts;
mod images;
mod names;
mod page;
mod positions;
mod ranges;
#[cfg_attr(not(test), expect(dead_code, reason = "the command that calls it is merged with this"))]
mod report;
mod subject;
mod tables;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
