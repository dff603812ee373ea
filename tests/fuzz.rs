//! The corpus of `fuzz/`, replayed through the same checks by an ordinary compiler: what was found once stays found.

#[expect(unreachable_pub, reason = "to the fuzz targets they are an interface")]
#[path = "../fuzz/src/checks/mod.rs"]
mod checks;

use crate::cases::strict;
use checks::TARGETS;
use std::{fs, path::Path};

#[test]
fn the_corpus_of_every_fuzz_target_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, check) in TARGETS {
        let folder =
            fs::read_dir(corpus.join(target)).unwrap_or_else(|error| panic!("{target} has no corpus: {error}"));
        let files: Vec<_> = folder.map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{target} has an empty corpus");
        for file in files {
            // A panic shows which.
            println!("{}", file.display());
            check(&fs::read(&file).unwrap());
        }
    }
}
