//! `singer inspect`: what a teacher, its refinement and its student do on images.

mod charts;
mod images;
mod names;
mod page;
mod positions;
mod ranges;
mod report;
mod subject;
mod tables;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
