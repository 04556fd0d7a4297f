//! Generates and compiles the cxx glue. $SLUICE_CXX_INCLUDE, when CMake sets it, gets copies of the
//! generated headers in a place whose name has no hash in it.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    cxx_build::bridge("src/lib.rs").std("c++20").compile("sluice_text_glue");
    println!("cargo:rerun-if-changed=src/lib.rs");
    println!("cargo:rerun-if-env-changed=SLUICE_CXX_INCLUDE");
    if let Some(include) = env::var_os("SLUICE_CXX_INCLUDE").map(PathBuf::from) {
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        let generated = out.join("cxxbridge/include");
        copy(&generated.join("rust/cxx.h"), &include.join("rust/cxx.h"));
        let header = generated.join("sluice-text/src/lib.rs.h");
        copy(&header, &include.join("sluice_text.h"));
    }
}

/// Leaves an equal file alone, so that nothing is compiled anew.
fn copy(from: &Path, to: &Path) {
    let bytes = fs::read(from).expect("cxx-build wrote its headers");
    if fs::read(to).ok().as_ref() != Some(&bytes) {
        fs::create_dir_all(to.parent().expect("has a folder")).expect("can create the folder");
        fs::write(to, bytes).expect("can write the header");
    }
}
