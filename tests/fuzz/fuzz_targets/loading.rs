use std::path::Path;

use singer::weights::WeightsFile;

/// Opens the bytes as a file of weights and reads all that it holds, none of
/// which may panic or take more memory than the file allows.
pub fn load(bytes: &[u8]) {
    let path = format!("/dev/shm/singer-fuzz-{}", std::process::id());
    let path = Path::new(&path);
    std::fs::write(path, bytes).expect("/dev/shm takes files");
    match WeightsFile::open(path) {
        Ok(file) => {
            for name in file.names() {
                match file.read(name) {
                    // The smallest element on disk has two bytes, in memory four.
                    Some(Ok(read)) => assert!(read.as_bytes().len() <= 2 * bytes.len()),
                    Some(Err(error)) => assert!(!error.to_string().contains('\n')),
                    None => unreachable!("the file named it"),
                }
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
}
